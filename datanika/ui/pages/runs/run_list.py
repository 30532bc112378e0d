"""The first page: what ran, what runs."""

from __future__ import annotations

import reflex as rx

from datanika.contracts.enums import RunState
from datanika.ui.components.frame import frame
from datanika.ui.components.link import link
from datanika.ui.components.pieces import badge, empty, page_head, table
from datanika.ui.state.i18n import I18nState
from datanika.ui.state.run_list_state import RunListState
from datanika.ui.views import RunView
from datanika.ui.wrappers.values import duration, local_time, number

_t = I18nState.translations


def runs_page() -> rx.Component:
    return frame(
        page_head(_t["runs.title"], _t["runs.text"], _state_filter()),
        rx.el.section(
            rx.cond(
                RunListState.is_empty,
                empty(
                    "activity",
                    _t["runs.empty.title"],
                    _t["runs.empty.text"],
                    link(_t["runs.empty.action"], to="/pipelines", class_name="button primary"),
                ),
                rx.fragment(
                    table(
                        [
                            (_t["column.run"], ""),
                            (_t["column.pipeline"], ""),
                            (_t["column.state"], ""),
                            (_t["column.trigger"], ""),
                            (_t["column.started"], ""),
                            (_t["column.duration"], "end"),
                            (_t["column.rows"], "end"),
                        ],
                        rx.foreach(RunListState.runs, _row),
                        _t["runs.title"],
                    ),
                    rx.cond(
                        RunListState.runs.length() == 0,
                        rx.el.p(_t["runs.none_match"], class_name="log-empty"),
                    ),
                    _pager(),
                ),
            ),
            class_name="card",
        ),
        active="/",
    )


def _row(run: RunView) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            link(rx.Var.create("#") + run.id.to(str), to=run.href, class_name="row-link number")
        ),
        rx.el.td(run.pipeline),
        rx.el.td(badge(run.state)),
        rx.el.td(run.trigger, class_name="muted"),
        rx.el.td(local_time(run.created_at)),
        rx.el.td(duration(run.started_at, run.finished_at), class_name="end"),
        rx.el.td(number(run.rows), class_name="end"),
        key=run.id.to(str),
    )


def _state_filter() -> rx.Component:
    return rx.el.select(
        rx.el.option(_t["runs.all_states"], value=""),
        *(rx.el.option(state.value, value=state.value) for state in RunState),
        value=RunListState.state_filter,
        on_change=RunListState.filter_by_state,
        aria_label=_t["runs.filter"],
        class_name="select",
    )


def _pager() -> rx.Component:
    return rx.cond(
        RunListState.has_newer | RunListState.has_older,
        rx.el.nav(
            rx.el.button(
                _t["runs.newer"],
                on_click=RunListState.show_newer,
                disabled=~RunListState.has_newer,
                class_name="button",
                type="button",
            ),
            rx.el.button(
                _t["runs.older"],
                on_click=RunListState.show_older,
                disabled=~RunListState.has_older,
                class_name="button",
                type="button",
            ),
            class_name="pager",
            aria_label=_t["runs.pages"],
        ),
    )
