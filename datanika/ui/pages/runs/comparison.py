"""A run beside the last good one: durations and rows, step by step."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.services.run_comparison import Verdict
from datanika.ui.components.dialogs import dialog
from datanika.ui.components.link import link
from datanika.ui.components.pieces import table
from datanika.ui.state.i18n import I18nState
from datanika.ui.state.run_state import RunPageState
from datanika.ui.views.run import DifferenceRow
from datanika.ui.wrappers.values import duration, local_time, number

_t = I18nState.translations
_found = RunPageState.comparison
_VERDICTS = {
    Verdict.NEW: _t["run.is_new"],
    Verdict.GONE: _t["run.is_gone"],
    Verdict.NOT_RUN: _t["run.not_run"],
    Verdict.FAILED: _t["home.failed"],
    Verdict.SLOWER: _t["run.is_slower"],
    Verdict.FASTER: _t["run.is_faster"],
    Verdict.FEWER_ROWS: _t["run.has_fewer_rows"],
}


def comparison_dialog() -> rx.Component:
    return dialog(
        rx.cond(
            _found.other > 0,
            rx.fragment(_summary(), _lines()),
            rx.el.p(_t["run.no_good_run"], class_name="log-empty"),
        ),
        is_open=RunPageState.compares,
        title=_t["run.compare"],
        on_close=RunPageState.close_dialogs,
        wide=True,
    )


def _summary() -> rx.Component:
    return rx.el.dl(
        _pair(_t["column.duration"], _time(_found.seconds), _time(_found.seconds_before)),
        _pair(_t["column.rows"], number(_found.rows), number(_found.rows_before)),
        rx.el.div(
            rx.el.dt(_t["run.good_run"]),
            rx.el.dd(
                link(
                    rx.Var.create("#") + _found.other.to(str),
                    to=_found.other_href,
                    on_click=RunPageState.close_dialogs,
                ),
                " ",
                rx.el.span(local_time(_found.other_at), class_name="muted"),
            ),
        ),
        class_name="facts",
    )


def _pair(name: Any, now: rx.Component, before: rx.Component) -> rx.Component:
    return rx.el.div(
        rx.el.dt(name),
        rx.el.dd(now, rx.el.span(" / ", before, class_name="muted before")),
    )


def _time(seconds: Any) -> rx.Component:
    return rx.cond(seconds == None, rx.el.span("–"), duration(seconds=seconds))  # noqa: E711


def _lines() -> rx.Component:
    return rx.fragment(
        table(
            [
                (_t["column.name"], ""),
                (_t["column.duration"], "end"),
                (_t["run.before"], "end"),
                ("", "end"),
                (_t["column.rows"], "end"),
                (_t["run.before"], "end"),
                (_t["run.difference"], ""),
            ],
            rx.foreach(_found.lines, _line),
            _t["run.compare"],
        ),
        rx.cond(
            _found.more > 0, rx.el.p(_t["queue.more"], " ", _found.more, class_name="log-empty")
        ),
    )


def _line(one: DifferenceRow) -> rx.Component:
    return rx.el.tr(
        rx.el.td(rx.el.span(one.name, dir="ltr")),
        rx.el.td(_time(one.seconds), class_name="end"),
        rx.el.td(_time(one.seconds_before), class_name="end muted"),
        rx.el.td(one.ratio, class_name="end number muted"),
        rx.el.td(number(one.rows), class_name="end"),
        rx.el.td(number(one.rows_before), class_name="end muted"),
        rx.el.td(
            rx.match(
                one.verdict,
                *((key.value, rx.el.span(text)) for key, text in _VERDICTS.items()),
                rx.el.span("–", class_name="muted"),
            ),
            class_name=rx.Var.create("verdict-") + one.verdict,
        ),
        key=one.key,
        class_name=rx.Var.create("depth-") + one.depth.to(str),
    )
