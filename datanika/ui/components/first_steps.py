"""What somebody with a new organisation does first: for pages that have nothing to show yet."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.contracts.catalog import connector_kinds
from datanika.ui.components.link import link
from datanika.ui.components.permitted import may
from datanika.ui.state.i18n import I18nState
from datanika.ui.wrappers.kinds import kind_icon

_t = I18nState.translations

QUICK = ("postgres", "mysql", "files", "google_sheets", "rest_api", "stripe")
"""Kinds that people start with."""


def first_steps() -> rx.Component:
    """Three steps from nothing to a first run, and the kinds that people start with."""
    return rx.el.section(
        rx.el.div(
            rx.el.h2(_t["first.title"]),
            rx.el.p(_t["first.text"], class_name="muted"),
            class_name="first-head",
        ),
        rx.el.ol(
            _step("plug", _t["first.source"], _t["first.source_text"]),
            _step("database", _t["first.destination"], _t["first.destination_text"]),
            _step("workflow", _t["first.pipeline"], _t["first.pipeline_text"]),
            class_name="first-steps",
        ),
        rx.cond(
            may("connection:write"),
            rx.el.div(
                rx.el.h3(_t["first.start_with"]),
                rx.el.div(
                    *(
                        link(
                            kind_icon(kind),
                            rx.el.span(connector_kinds()[kind].title),
                            to=f"/connections/new?kind={kind}",
                            class_name="quick-kind",
                        )
                        for kind in QUICK
                    ),
                    link(
                        rx.icon("layout-grid", aria_hidden="true"),
                        rx.el.span(_t["first.all_kinds"]),
                        to="/connections/new",
                        class_name="quick-kind",
                    ),
                    class_name="quick-kinds",
                ),
                class_name="first-foot",
            ),
            rx.el.p(_t["first.viewer"], class_name="muted first-foot"),
        ),
        class_name="card",
    )


def _step(icon: str, title: Any, text: Any) -> rx.Component:
    return rx.el.li(
        rx.el.span(rx.icon(icon, aria_hidden="true"), class_name="first-icon"),
        rx.el.strong(title),
        rx.el.p(text, class_name="muted"),
    )
