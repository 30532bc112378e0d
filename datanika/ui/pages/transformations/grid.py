"""Rows of a result."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.ui.state.i18n import I18nState
from datanika.ui.views.transformations import Grid

_t = I18nState.translations


def grid(rows: rx.Var[Grid], label: Any) -> rx.Component:
    """A table of texts; values are shown as they are, from left to right."""
    shown = rows.to(Grid)
    return rx.cond(
        shown.columns.length() > 0,
        rx.fragment(
            rx.el.div(
                rx.el.table(
                    rx.el.caption(label, class_name="visually-hidden"),
                    rx.el.thead(
                        rx.el.tr(
                            rx.foreach(
                                shown.columns, lambda name: rx.el.th(name, scope="col", dir="ltr")
                            )
                        )
                    ),
                    rx.el.tbody(
                        rx.foreach(
                            shown.rows,
                            lambda row: rx.el.tr(rx.foreach(row, _cell)),
                        )
                    ),
                ),
                class_name="table-wrap grid",
                tab_index=0,
                role="region",
                aria_label=label,
            ),
            rx.cond(
                shown.rows.length() == 0,
                rx.el.p(_t["grid.no_rows"], class_name="log-empty"),
            ),
            rx.cond(
                shown.is_truncated,
                rx.el.p(_t["grid.more"], class_name="log-empty"),
            ),
        ),
    )


def _cell(value: rx.Var[str | None]) -> rx.Component:
    return rx.el.td(
        rx.cond(value.is_none(), rx.el.span("NULL", class_name="null"), value), dir="auto"
    )
