"""Login: a plain form that the API answers with a cookie and a full page load."""

from __future__ import annotations

import reflex as rx

from datanika.services.sign_up import FORGOT_PAGE, SIGN_UP_PAGE
from datanika.ui.components.frame import api_path, language_select, page_language, theme_button
from datanika.ui.components.link import link
from datanika.ui.components.logo import login_picture, mark
from datanika.ui.components.pieces import PlainForm
from datanika.ui.state.i18n import I18nState
from datanika.ui.state.session import SessionState

_t = I18nState.translations


def login_page() -> rx.Component:
    return entrance(_form())


def entrance(form: rx.Component) -> rx.Component:
    """A page for those who are not logged in: ``form`` beside the picture."""
    return rx.fragment(
        page_language(),
        rx.el.div(
            rx.el.main(_top(), form, rx.el.span(), class_name="login-pane"),
            rx.el.aside(
                login_picture(),
                rx.el.p(_t["login.promise"]),
                class_name="login-art",
                aria_label="Datanika",
            ),
            class_name="login",
        ),
    )


def messages() -> rx.Component:
    """Why the form before failed, or what it has done."""
    return rx.fragment(
        rx.cond(
            SessionState.login_error != "",
            rx.el.div(_t[SessionState.login_error], role="alert", class_name="notice bad"),
        ),
        rx.cond(
            SessionState.login_notice != "",
            rx.el.div(_t[SessionState.login_notice], role="status", class_name="notice"),
        ),
    )


def _top() -> rx.Component:
    return rx.el.div(
        rx.el.span(mark(), "Datanika", class_name="brand"),
        rx.el.div(language_select(), theme_button(), class_name="tools"),
        class_name="login-top",
    )


def _form() -> rx.Component:
    return rx.el.div(
        rx.el.div(
            rx.el.h1(_t["login.title"]),
            rx.el.p(_t["login.text"], class_name="muted"),
        ),
        messages(),
        # No script ever holds the password.
        PlainForm.create(
            rx.el.label(
                _t["login.email"],
                rx.el.input(
                    type="email",
                    name="email",
                    auto_complete="username",
                    required=True,
                    auto_focus=True,
                    placeholder="ada@example.com",
                ),
            ),
            rx.el.label(
                _t["login.password"],
                rx.el.input(
                    type="password",
                    name="password",
                    auto_complete="current-password",
                    required=True,
                ),
            ),
            rx.cond(
                SessionState.asks_code,
                rx.el.label(
                    _t["login.code"],
                    rx.el.input(name="totp_code", auto_complete="one-time-code", required=True),
                ),
            ),
            rx.el.input(type="hidden", name="next", value=SessionState.next_page, read_only=True),
            rx.el.button(_t["login.submit"], type="submit", class_name="button primary"),
            action=api_path("/api/v1/auth/session"),
            method="post",
        ),
        rx.foreach(SessionState.login_providers, _provider),
        link(_t["login.forgot"], to=FORGOT_PAGE),
        rx.cond(
            SessionState.may_register,
            rx.el.p(
                _t["login.no_account"],
                " ",
                link(_t["sign_up.link"], to=SIGN_UP_PAGE),
                class_name="muted",
            ),
        ),
        rx.el.p(_t["login.first_time"], " ", rx.el.code("datanika demo"), class_name="hint"),
        class_name="login-form",
    )


def _provider(provider: rx.Var[dict[str, str]]) -> rx.Component:
    # A whole page load: the API answers with a redirect.
    return rx.el.a(
        _t["login.with"], " ", provider["label"], href=provider["href"], class_name="button"
    )
