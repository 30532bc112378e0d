"""What the pages of the settings share: tabs, lists with pages, secrets that are shown once."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.ui.components.frame import frame
from datanika.ui.components.link import link
from datanika.ui.components.permitted import may
from datanika.ui.components.pieces import page_head
from datanika.ui.state.i18n import I18nState
from datanika.ui.wrappers.shell import CopyButton

_t = I18nState.translations

_EVERYBODY = "organization:read"
TABS = (
    (_t["settings.organization"], "/settings", _EVERYBODY),
    (_t["settings.members"], "/settings/members", "member:read"),
    (_t["settings.api_keys"], "/settings/api-keys", "api_key:read"),
    (_t["settings.notifications"], "/settings/notifications", "notification:read"),
    (_t["settings.audit"], "/settings/audit", "audit:read"),
    (_t["settings.account"], "/settings/account", _EVERYBODY),
)
"""Text, address, and the permission without which a tab is not shown."""


def settings_frame(
    *content: rx.Component, active: str, title: Any, text: Any, actions: tuple[Any, ...] = ()
) -> rx.Component:
    """A page of the settings below its tabs; without its permission only why it is empty."""
    needed = next(permission for _, href, permission in TABS if href == active)
    return frame(
        page_head(title, text, *actions),
        rx.el.nav(
            *(_tab(*tab, active=active) for tab in TABS),
            class_name="tabs",
            aria_label=_t["nav.settings"],
        ),
        *(content if needed == _EVERYBODY else [rx.cond(may(needed), rx.fragment(*content))]),
        active="/settings",
    )


def _tab(text: Any, href: str, permission: str, *, active: str) -> rx.Component:
    current = {"aria_current": "page"} if href == active else {}
    return rx.cond(may(permission), link(text, to=href, **current))


def card(
    title: Any, *content: rx.Component, text: Any = None, extra: Any = None, **props: Any
) -> rx.Component:
    """A part of a page under a heading."""
    return rx.el.section(
        rx.el.div(
            rx.el.div(
                rx.el.h2(title), *([rx.el.p(text, class_name="muted")] if text is not None else [])
            ),
            *([extra] if extra is not None else []),
            class_name="card-head settings-head",
        ),
        *content,
        class_name=f"card {props.pop('style_name', '')}".strip(),
        **props,
    )


def search_form(on_submit: Any, label: Any) -> rx.Component:
    """A search that is sent with Enter."""
    return rx.el.form(
        rx.el.input(
            name="search", type="search", class_name="input grow", aria_label=label,
            placeholder=label,
        ),
        rx.el.button(_t["settings.search"], type="submit", class_name="button"),
        on_submit=on_submit,
        reset_on_submit=False,
        class_name="toolbar",
        role="search",
    )  # fmt: skip


def shown_once(text: Any, value: Any) -> rx.Component:
    """A secret that nobody can read again, and a button that copies it."""
    return rx.el.div(
        rx.el.p(text),
        rx.el.div(
            rx.el.code(value, class_name="once-value", dir="ltr"),
            CopyButton.create(text=value, label=_t["settings.copy"], done=_t["settings.copied"]),
            class_name="row",
        ),
        class_name="once",
        role="status",
    )
