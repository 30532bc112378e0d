"""What surrounds every page: navigation, organisation, search, language, colours, logout."""

from __future__ import annotations

import reflex as rx
from reflex.config import get_config
from reflex_components_core.core.banner import has_connection_errors

from datanika.i18n import LOCALES
from datanika.ui.components.link import link
from datanika.ui.components.logo import mark
from datanika.ui.components.navigation import navigation, palette_entries
from datanika.ui.reflex_config import is_development
from datanika.ui.state.i18n import I18nState
from datanika.ui.state.palette_state import PaletteState
from datanika.ui.state.session import SessionState
from datanika.ui.state.tenant import TenantState
from datanika.ui.wrappers.arrival import Arrival, ArrivedPage
from datanika.ui.wrappers.browser import LogoutButton, PageLanguage
from datanika.ui.wrappers.dialog import Toast
from datanika.ui.wrappers.shell import (
    CommandPalette,
    MenuButton,
    OrganizationMenu,
    PaletteButton,
)

_t = I18nState.translations


def api_path(path: str) -> str:
    """Where the browser finds an API path. In development it is another port than the page's."""
    return f"{get_config().api_url.rstrip('/')}{path}" if is_development() else path


def language_select() -> rx.Component:
    return rx.el.select(
        *(rx.el.option(name, value=locale, lang=locale) for locale, name in LOCALES.items()),
        value=I18nState.locale,
        on_change=I18nState.set_locale,
        aria_label=_t["frame.language"],
        class_name="select",
        id="language",
    )


def theme_button() -> rx.Component:
    return rx.el.button(
        rx.el.span(rx.icon("moon", aria_hidden="true"), class_name="only-light"),
        rx.el.span(rx.icon("sun", aria_hidden="true"), class_name="only-dark"),
        on_click=rx.toggle_color_mode,
        aria_label=_t["frame.theme"],
        title=_t["frame.theme"],
        class_name="icon-button",
        type="button",
    )


def page_language() -> rx.Component:
    """Keeps the document's language and direction those of the page."""
    return PageLanguage.create(
        locale=I18nState.locale, direction=I18nState.direction, chosen=I18nState.chosen
    )


def _sidebar(active: str) -> rx.Component:
    return rx.el.header(
        link(mark(), "Datanika", to="/", class_name="brand"),
        OrganizationMenu.create(
            organizations=SessionState.organizations,
            name=SessionState.organization,
            api=api_path("/api/v1"),
            texts=_t,
        ),
        _palette_button(),
        navigation(active),
        rx.el.div(
            link(
                rx.el.span(SessionState.initials, class_name="avatar", aria_hidden="true"),
                rx.el.span(
                    rx.el.strong(SessionState.email),
                    rx.el.span(SessionState.role),
                    class_name="who-text",
                ),
                to="/settings/account",
                class_name="who",
                title=_t["settings.account"],
            ),
            rx.el.div(
                language_select(),
                theme_button(),
                LogoutButton.create(
                    rx.icon("log-out", aria_hidden="true"),
                    action=api_path("/api/v1/auth/session"),
                    to="/login",
                    aria_label=_t["frame.logout"],
                    title=_t["frame.logout"],
                    class_name="icon-button",
                    id="logout",
                ),
                class_name="tools",
            ),
            class_name="sidebar-foot",
        ),
        class_name="sidebar",
        id="sidebar",
    )


def _palette_button() -> rx.Component:
    return PaletteButton.create(
        rx.icon("search", aria_hidden="true"),
        rx.el.span(_t["palette.open"], class_name="palette-text"),
        rx.el.kbd("Ctrl K"),
        label=_t["palette.title"],
    )


def _top_bar() -> rx.Component:
    """Where there is no room for the sidebar: what opens it."""
    return rx.el.nav(
        MenuButton.create(
            rx.icon("menu", aria_hidden="true"), label=_t["frame.menu"], controls="sidebar"
        ),
        link(mark(), "Datanika", to="/", class_name="brand"),
        _palette_button(),
        class_name="top-bar",
        aria_label=_t["frame.menu"],
    )


def _offline() -> rx.Component:
    return rx.cond(
        has_connection_errors,
        rx.el.div(_t["frame.offline"], role="alert", class_name="notice bad"),
    )


def _error() -> rx.Component:
    return rx.cond(
        TenantState.error != "",
        rx.el.div(
            rx.el.strong(_t[TenantState.error]),
            rx.cond(TenantState.error_detail != "", rx.el.p(TenantState.error_detail, dir="auto")),
            role="alert",
            class_name="notice bad",
        ),
    )


def frame(*content: rx.Component, active: str) -> rx.Component:
    """A page for people who are logged in. ``active`` is the address of its menu entry."""
    return Arrival.create(
        page_language(),
        rx.cond(
            SessionState.is_ready,
            rx.el.div(
                rx.el.a(_t["frame.skip"], href="#content", class_name="skip"),
                _top_bar(),
                _sidebar(active),
                rx.el.main(
                    rx.el.div(
                        _offline(),
                        _error(),
                        ArrivedPage.create(*content, label=_t["frame.loading"]),
                        class_name="page",
                    ),
                    id="content",
                    class_name="content",
                ),
                Toast.create(text=_t[TenantState.notice], number=TenantState.notice_number),
                CommandPalette.create(
                    entries=palette_entries(),
                    permissions=SessionState.permissions,
                    is_operator=SessionState.is_operator,
                    found=PaletteState.found,
                    texts=_t,
                    on_search=PaletteState.search,
                ),
                class_name="frame",
            ),
            rx.el.main(
                rx.el.h1("Datanika", class_name="visually-hidden"),
                rx.el.div(class_name="spinner", role="status", aria_label=_t["frame.loading"]),
                class_name="loading",
            ),
        ),
        loaded_path=SessionState.loaded_path,
        is_hydrated=rx.State.is_hydrated,
    )
