"""Pages that mails lead to, and the one that asks for such a mail: plain forms to the API."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.ui.components.frame import api_path
from datanika.ui.components.link import link
from datanika.ui.components.pieces import PlainForm
from datanika.ui.pages.account.login import entrance, messages
from datanika.ui.state.i18n import I18nState
from datanika.ui.state.session import SessionState

_t = I18nState.translations


def forgot_password_page() -> rx.Component:
    return _page(
        _t["mailed.forgot.title"],
        _t["mailed.forgot.text"],
        rx.el.label(
            _t["login.email"],
            rx.el.input(type="email", name="email", auto_complete="username", required=True),
        ),
        submit=_t["mailed.forgot.submit"],
        path="/api/v1/auth/password-reset",
    )


def reset_password_page() -> rx.Component:
    return _page(
        _t["mailed.forgot.title"],
        _t["mailed.reset.text"],
        rx.el.label(
            _t["mailed.reset.password"],
            rx.el.input(
                type="password", name="password", auto_complete="new-password", required=True,
                min_length=8, max_length=72,
            ),
        ),
        rx.el.label(
            rx.el.input(type="checkbox", name="revoke_keys"), " ", _t["mailed.reset.revoke_keys"],
            class_name="check",
        ),
        _token(),
        submit=_t["mailed.reset.submit"],
        path="/api/v1/auth/password-reset/confirm",
    )  # fmt: skip


def verify_email_page() -> rx.Component:
    # A button: programs that look into mails open links, but press nothing.
    return _page(
        _t["mailed.verify.title"],
        _t["mailed.verify.text"],
        _token(),
        submit=_t["mailed.verify.submit"],
        path="/api/v1/auth/email-confirmation/confirm",
    )


def _token() -> rx.Component:
    return rx.el.input(type="hidden", name="token", value=SessionState.mailed_token, read_only=True)


def _page(title: Any, text: Any, *fields: rx.Component, submit: Any, path: str) -> rx.Component:
    return entrance(
        rx.el.div(
            rx.el.div(rx.el.h1(title), rx.el.p(text, class_name="muted")),
            messages(),
            PlainForm.create(
                *fields,
                rx.el.button(
                    submit,
                    type="submit",
                    class_name="button primary",
                    # What the form posts may come with the page's state: not before it is there.
                    disabled=~SessionState.is_hydrated,
                ),
                action=api_path(path),
                method="post",
            ),
            link(_t["mailed.back"], to="/login"),
            class_name="login-form",
        )
    )
