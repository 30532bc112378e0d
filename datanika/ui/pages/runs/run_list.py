"""What ran, what runs: filtered and paged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import reflex as rx

from datanika.contracts.enums import RunState, RunTrigger
from datanika.ui.components.forms import button
from datanika.ui.components.frame import frame
from datanika.ui.components.link import link
from datanika.ui.components.paging import pager
from datanika.ui.components.pieces import badge, empty, page_head, table
from datanika.ui.state.i18n import I18nState
from datanika.ui.state.run_list_state import RunListState
from datanika.ui.views.run_list import RunView
from datanika.ui.wrappers.values import duration, local_time, number

_t = I18nState.translations


def runs_page() -> rx.Component:
    return frame(
        page_head(_t["runs.title"], _t["runs.text"]),
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
                    _filters(),
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
                    pager(RunListState),
                ),
            ),
            class_name="card",
        ),
        active="/runs",
    )


def _row(run: RunView) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            link(rx.Var.create("#") + run.id.to(str), to=run.href, class_name="row-link number")
        ),
        rx.el.td(run.pipeline),
        rx.el.td(
            badge(run.state),
            rx.cond(
                run.error != "",
                rx.el.span(run.error, title=run.error, class_name="why", dir="auto"),
            ),
        ),
        rx.el.td(run.trigger, class_name="muted"),
        rx.el.td(local_time(run.created_at)),
        rx.el.td(duration(run.started_at, run.finished_at), class_name="end"),
        rx.el.td(number(run.rows), class_name="end"),
        key=run.id.to(str),
    )


def _filters() -> rx.Component:
    return rx.el.div(
        _select(
            _t["runs.filter"],
            _t["runs.all_states"],
            (rx.el.option(state.value, value=state.value) for state in RunState),
            RunListState.state_filter,
            RunListState.filter_by_state,
        ),
        _select(
            _t["runs.filter_pipeline"],
            _t["runs.all_pipelines"],
            (
                rx.foreach(
                    RunListState.pipelines,
                    lambda one: rx.el.option(one.name, value=one.id, key=one.id),
                ),
            ),
            RunListState.pipeline_filter,
            RunListState.filter_by_pipeline,
        ),
        _select(
            _t["runs.filter_trigger"],
            _t["runs.all_triggers"],
            (rx.el.option(trigger.value, value=trigger.value) for trigger in RunTrigger),
            RunListState.trigger_filter,
            RunListState.filter_by_trigger,
        ),
        _select(
            _t["runs.filter_time"],
            _t["runs.all_times"],
            (rx.el.option(text, value=period) for period, text in _PERIODS.items()),
            RunListState.period_filter,
            RunListState.filter_by_period,
        ),
        rx.cond(_is_filtered(), button(_t["runs.clear"], RunListState.clear_filters, icon="x")),
        class_name="toolbar",
        role="search",
    )


_PERIODS = {
    "hour": _t["runs.last_hour"],
    "day": _t["runs.last_day"],
    "week": _t["runs.last_week"],
    "month": _t["runs.last_month"],
}


def _is_filtered() -> rx.Var[bool]:
    names = (
        RunListState.state_filter,
        RunListState.pipeline_filter,
        RunListState.trigger_filter,
        RunListState.period_filter,
    )
    return names[0] + names[1] + names[2] + names[3] != ""


def _select(
    label: Any, everything: Any, options: Iterable[rx.Component], value: Any, on_change: Any
) -> rx.Component:
    return rx.el.select(
        rx.el.option(everything, value=""),
        *options,
        value=value,
        on_change=on_change,
        aria_label=label,
        class_name="select",
    )
