"""For people who are logged in, and in no organisation any more."""

from __future__ import annotations

import reflex as rx

from datanika.ui.components.frame import api_path
from datanika.ui.pages.account.login import entrance
from datanika.ui.state.i18n import I18nState
from datanika.ui.wrappers.browser import LogoutButton

_t = I18nState.translations


def no_organization_page() -> rx.Component:
    return entrance(
        rx.el.div(
            rx.el.div(
                rx.el.h1(_t["nowhere.title"]), rx.el.p(_t["nowhere.text"], class_name="muted")
            ),
            LogoutButton.create(
                _t["frame.logout"],
                action=api_path("/api/v1/auth/session"),
                to="/login",
                class_name="button primary",
                id="logout",
            ),
            class_name="login-form",
        )
    )
