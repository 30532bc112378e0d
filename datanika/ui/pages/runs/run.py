"""One run, live: what it is, its graph, its steps, its log."""

from __future__ import annotations

import reflex as rx

from datanika.ui.components.frame import frame
from datanika.ui.components.link import link
from datanika.ui.components.permitted import may
from datanika.ui.components.pieces import badge, table
from datanika.ui.state.i18n import I18nState
from datanika.ui.state.run_state import RunPageState
from datanika.ui.views import LogRow, StepRow
from datanika.ui.wrappers.browser import LogView
from datanika.ui.wrappers.run_graph import run_graph
from datanika.ui.wrappers.values import duration, local_time, number

_t = I18nState.translations
_run = RunPageState.run


def run_page() -> rx.Component:
    return frame(
        _head(),
        rx.cond(
            RunPageState.found,
            rx.fragment(_facts(), _failure(), _graph(), _steps(), _log()),
        ),
        active="/",
    )


def _head() -> rx.Component:
    return rx.el.div(
        rx.el.div(
            link(_t["run.back"], to="/", class_name="crumb"),
            rx.el.div(
                rx.el.h1(
                    rx.cond(
                        RunPageState.found,
                        _run.pipeline + " #" + _run.id.to(str),
                        _t["column.run"],
                    )
                ),
                rx.cond(RunPageState.found, rx.el.span(badge(_run.state), aria_live="polite")),
                rx.cond(
                    RunPageState.is_live,
                    rx.el.span(
                        rx.el.span(class_name="dot is-running", aria_hidden="true"),
                        _t["run.live"],
                        class_name="live",
                    ),
                ),
                class_name="title-line",
            ),
        ),
        rx.el.div(
            rx.cond(
                RunPageState.is_live & may("run:cancel"),
                rx.el.button(
                    rx.icon("square", aria_hidden="true"),
                    _t["run.cancel"],
                    on_click=RunPageState.cancel,
                    class_name="button danger",
                    type="button",
                ),
            ),
            rx.cond(
                RunPageState.found & ~RunPageState.is_live & may("run:trigger"),
                rx.el.button(
                    rx.icon("rotate-cw", aria_hidden="true"),
                    _t["run.again"],
                    on_click=RunPageState.run_again,
                    class_name="button",
                    type="button",
                ),
            ),
            class_name="actions",
        ),
        class_name="page-head",
    )


def _facts() -> rx.Component:
    facts = (
        (_t["column.duration"], duration(_run.started_at, _run.finished_at)),
        (_t["column.rows"], number(_run.rows)),
        (_t["column.started"], local_time(_run.started_at)),
        (_t["column.trigger"], _run.trigger),
        (_t["run.attempt"], number(_run.attempt)),
    )
    return rx.el.dl(
        *(rx.el.div(rx.el.dt(name), rx.el.dd(value)) for name, value in facts),
        class_name="card facts",
    )


def _failure() -> rx.Component:
    return rx.cond(
        _run.error_message != "",
        rx.el.div(
            rx.el.strong(_t["run.failure"]),
            rx.el.pre(_run.error_message),
            rx.cond(_run.error_hint != "", rx.el.p(_run.error_hint)),
            role="alert",
            class_name="notice bad",
        ),
    )


def _graph() -> rx.Component:
    return rx.el.section(
        rx.el.div(
            rx.el.h2(_t["run.graph"]),
            rx.el.span(_t["run.graph_text"], class_name="muted"),
            class_name="card-head",
        ),
        run_graph(
            graph=RunPageState.graph,
            locale=I18nState.locale,
            label=_t["run.graph"],
            rows_label=_t["run.rows_unit"],
        ),
        class_name="card",
    )


def _steps() -> rx.Component:
    return rx.el.section(
        rx.el.div(rx.el.h2(_t["run.steps"]), class_name="card-head"),
        table(
            [
                (_t["column.name"], ""),
                (_t["column.kind"], ""),
                (_t["column.state"], ""),
                (_t["column.timeline"], ""),
                (_t["column.duration"], "end"),
                (_t["column.rows"], "end"),
            ],
            rx.foreach(RunPageState.steps, _step),
            _t["run.steps"],
        ),
        class_name="card steps",
    )


def _step(step: StepRow) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            rx.el.span(step.name, dir="ltr"),
            rx.cond(step.error != "", rx.el.span(step.error, class_name="error")),
        ),
        rx.el.td(step.kind, class_name="muted"),
        rx.el.td(badge(step.state)),
        rx.el.td(
            rx.el.div(
                rx.el.div(
                    class_name=rx.Var.create("bar is-") + step.state,
                    style={"inset_inline_start": step.left, "width": step.width},
                ),
                class_name="bar-track",
                aria_hidden="true",
            )
        ),
        rx.el.td(duration(step.started_at, step.finished_at, step.seconds), class_name="end"),
        rx.el.td(number(step.rows), class_name="end"),
        key=step.key,
        class_name=rx.Var.create("depth-") + step.depth.to(str),
    )


def _log() -> rx.Component:
    return rx.el.section(
        rx.el.div(rx.el.h2(_t["run.log"]), class_name="card-head"),
        rx.cond(
            RunPageState.log.length() > 0,
            LogView.create(
                rx.foreach(RunPageState.log, _log_line),
                label=_t["run.log"],
                count=RunPageState.last_log_id,
            ),
            rx.el.p(_t["run.log_empty"], class_name="log-empty"),
        ),
        class_name="card",
    )


def _log_line(line: LogRow) -> rx.Component:
    return rx.el.div(
        local_time(line.at, with_date=False),
        rx.el.span(line.level, class_name="log-level"),
        rx.el.span(line.step, class_name="log-step"),
        rx.el.span(line.message, class_name="log-message"),
        key=line.id.to(str),
        class_name=rx.Var.create("log-line level-") + line.level,
    )
