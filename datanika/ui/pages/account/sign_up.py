"""A new account and the organisation it owns: a plain form to the API."""

from __future__ import annotations

import reflex as rx

from datanika.ui.components.frame import api_path
from datanika.ui.components.link import link
from datanika.ui.components.pieces import PlainForm
from datanika.ui.pages.account.login import entrance, messages
from datanika.ui.state.i18n import I18nState
from datanika.ui.state.session import SessionState

_t = I18nState.translations


def sign_up_page() -> rx.Component:
    return entrance(
        rx.el.div(
            rx.el.div(
                rx.el.h1(_t["sign_up.title"]),
                rx.el.p(_t["sign_up.text"], class_name="muted"),
            ),
            messages(),
            rx.cond(
                SessionState.may_register,
                _form(),
                rx.el.p(_t["sign_up.closed"], class_name="notice", role="status"),
            ),
            rx.foreach(SessionState.login_providers, _provider),
            rx.el.p(
                _t["sign_up.has_account"], " ", link(_t["login.submit"], to="/login"),
                class_name="muted",
            ),
            class_name="login-form",
        )
    )  # fmt: skip


def _form() -> rx.Component:
    # The browser looks first; what the server refuses comes back as a code in the address.
    return PlainForm.create(
        rx.el.label(
            _t["invitation.name"],
            rx.el.input(name="name", auto_complete="name", required=True, max_length=200),
        ),
        rx.el.label(
            _t["login.email"],
            rx.el.input(
                type="email", name="email", auto_complete="username", required=True,
                max_length=320, placeholder="ada@example.com",
            ),
        ),
        rx.el.label(
            _t["sign_up.organization"],
            rx.el.input(
                name="organization_name", auto_complete="organization", required=True,
                max_length=200,
            ),
            rx.el.span(_t["sign_up.organization_help"], class_name="help"),
        ),
        rx.el.label(
            _t["login.password"],
            rx.el.input(
                type="password", name="password", auto_complete="new-password", required=True,
                min_length=8, max_length=72,
            ),
            rx.el.span(_t["login.error.password"], class_name="help"),
        ),
        rx.el.input(type="hidden", name="locale", value=I18nState.locale, read_only=True),
        rx.el.button(
            _t["sign_up.submit"],
            type="submit",
            class_name="button primary",
            # The language that is sent is known only then.
            disabled=~SessionState.is_hydrated,
        ),
        action=api_path("/api/v1/auth/register"),
        method="post",
    )  # fmt: skip


def _provider(provider: rx.Var[dict[str, str]]) -> rx.Component:
    return rx.el.a(
        _t["login.with"], " ", provider["label"], href=provider["href"], class_name="button"
    )
