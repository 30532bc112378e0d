"""Where the mail of an invitation leads: plain forms to the API."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.ui.components.frame import api_path
from datanika.ui.components.pieces import PlainForm
from datanika.ui.pages.account.login import entrance, messages
from datanika.ui.state.i18n import I18nState
from datanika.ui.state.invitation_state import InvitationState
from datanika.ui.state.session import SessionState
from datanika.ui.wrappers.browser import LogoutButton

_t = I18nState.translations


def invitation_page() -> rx.Component:
    return entrance(
        rx.el.div(
            rx.el.h1(_t["invitation.title"]),
            messages(),
            rx.match(
                InvitationState.view,
                ("answer", rx.fragment(_offer(), _answer("accept"), _answer("decline"))),
                ("join", rx.fragment(_offer(), _join())),
                ("login", _login()),
                ("other", _other()),
                ("invalid", rx.el.p(_t["invitation.invalid"], class_name="muted")),
                rx.fragment(),
            ),
            class_name="login-form",
        )
    )


def _offer() -> rx.Component:
    rows = (
        (_t["invitation.organization"], InvitationState.organization),
        (_t["invitation.inviter"], InvitationState.inviter),
        (_t["invitation.role"], InvitationState.role),
    )
    return rx.el.dl(*(rx.el.div(rx.el.dt(name), rx.el.dd(value)) for name, value in rows))


def _answer(what: str) -> rx.Component:
    labels = {"accept": _t["invitation.accept"], "decline": _t["invitation.decline"]}
    style = "button primary" if what == "accept" else "button"
    return _form(
        rx.el.button(labels[what], type="submit", class_name=style),
        path=f"/api/v1/invitations/{what}",
    )


def _join() -> rx.Component:
    return _form(
        rx.el.label(
            _t["invitation.name"],
            rx.el.input(name="name", auto_complete="name", required=True, max_length=200),
        ),
        rx.el.label(
            _t["login.password"],
            rx.el.input(
                type="password", name="password", auto_complete="new-password", required=True,
                min_length=8, max_length=72,
            ),
        ),
        rx.el.button(_t["invitation.join"], type="submit", class_name="button primary"),
        path="/api/v1/invitations/register",
    )  # fmt: skip


def _login() -> rx.Component:
    return rx.fragment(
        rx.el.p(_t["invitation.login_text"], class_name="muted"),
        rx.el.a(
            _t["invitation.login"], href=InvitationState.login_path, class_name="button primary"
        ),
    )


def _other() -> rx.Component:
    return rx.fragment(
        rx.el.p(_t["invitation.other"], class_name="muted"),
        LogoutButton.create(
            _t["frame.logout"],
            action=api_path("/api/v1/auth/session"),
            to="/login",
            class_name="button",
        ),
    )


def _form(*content: Any, path: str) -> rx.Component:
    token = rx.el.input(
        type="hidden", name="token", value=SessionState.mailed_token, read_only=True
    )
    return PlainForm.create(*content, token, action=api_path(path), method="post")
