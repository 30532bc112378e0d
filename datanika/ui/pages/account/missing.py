"""For addresses that no page has."""

from __future__ import annotations

import reflex as rx

from datanika.ui.components.link import link
from datanika.ui.pages.account.login import entrance
from datanika.ui.state.i18n import I18nState
from datanika.ui.wrappers.shell import RequestId

_t = I18nState.translations


def missing_page() -> rx.Component:
    return entrance(
        rx.el.div(
            rx.el.div(
                rx.el.p("404", class_name="missing-number", aria_hidden="true"),
                rx.el.h1(_t["missing.title"]),
                rx.el.p(_t["missing.text"], class_name="muted"),
            ),
            RequestId.create(label=_t["failure.request"]),
            link(_t["missing.home"], to="/", class_name="button primary"),
            class_name="login-form",
        )
    )
