"""The platform in figures: health, workers, organisations, the queue of everybody."""

from __future__ import annotations

import reflex as rx

from datanika.ui.components.frame import frame
from datanika.ui.components.paging import pager
from datanika.ui.components.pieces import badge, empty, page_head, table
from datanika.ui.pages.runs.queue import reason_text
from datanika.ui.pages.settings.parts import search_form
from datanika.ui.state.i18n import I18nState
from datanika.ui.state.operator_state import (
    OperatorState,
    OrganizationRow,
    PartRow,
    WaitingRow,
    WorkerRow,
)
from datanika.ui.wrappers.values import byte_size, duration, local_time, number

_t = I18nState.translations


def operators_page() -> rx.Component:
    return frame(
        page_head(
            _t["operators.title"],
            _t["operators.text"],
            rx.cond(
                OperatorState.prefect_url != "",
                rx.el.a(
                    rx.icon("external-link", aria_hidden="true"),
                    _t["operators.prefect"],
                    href=OperatorState.prefect_url,
                    target="_blank",
                    rel="noreferrer",
                    class_name="button",
                ),
            ),
        ),
        rx.cond(
            OperatorState.is_allowed,
            rx.fragment(_health(), _workers(), _organizations(), _queue()),
        ),
        active="/operators",
    )


def _health() -> rx.Component:
    return rx.fragment(
        rx.cond(
            OperatorState.problem != "",
            rx.el.div(OperatorState.problem, role="alert", class_name="notice bad"),
        ),
        rx.el.ul(
            rx.foreach(OperatorState.parts, _part),
            class_name="platform-health",
            aria_label=_t["operators.health"],
        ),
    )


def _part(part: PartRow) -> rx.Component:
    return rx.el.li(
        rx.el.strong(part.name), badge(part.state), class_name="card health-part", key=part.name
    )


def _workers() -> rx.Component:
    return rx.el.section(
        rx.el.div(rx.el.h2(_t["operators.workers"]), class_name="card-head"),
        rx.cond(
            OperatorState.workers.length() > 0,
            table(
                [
                    (_t["column.name"], ""),
                    (_t["operators.pool"], ""),
                    (_t["column.state"], ""),
                    (_t["operators.last_seen"], ""),
                ],
                rx.foreach(OperatorState.workers, _worker),
                _t["operators.workers"],
            ),
            empty("server-off", _t["operators.no_workers"], _t["operators.no_workers_text"]),
        ),
        class_name="card",
    )


def _worker(worker: WorkerRow) -> rx.Component:
    return rx.el.tr(
        rx.el.td(worker.name, class_name="mono"),
        rx.el.td(worker.pool),
        rx.el.td(badge(worker.state)),
        rx.el.td(local_time(worker.last_seen)),
        key=worker.name,
    )


def _organizations() -> rx.Component:
    return rx.el.section(
        rx.el.div(
            rx.el.h2(_t["operators.organizations"]),
            class_name="card-head",
        ),
        search_form(OperatorState.find, _t["operators.search"]),
        table(
            [
                (_t["operators.organization"], ""),
                (_t["operators.people"], "end"),
                (_t["nav.connections"], "end"),
                (_t["nav.pipelines"], "end"),
                (_t["operators.open_runs"], "end"),
                (_t["operators.runs_day"], "end"),
                (_t["operators.failed_day"], "end"),
                (_t["operators.rows_month"], "end"),
                (_t["operators.storage"], "end"),
                (_t["operators.since"], ""),
            ],
            rx.foreach(OperatorState.organizations, _organization),
            _t["operators.organizations"],
        ),
        pager(OperatorState),
        class_name="card",
    )


def _organization(one: OrganizationRow) -> rx.Component:
    return rx.el.tr(
        rx.el.td(rx.el.strong(one.name), rx.el.div(one.slug, class_name="muted mono")),
        rx.el.td(number(one.members), class_name="end"),
        rx.el.td(number(one.connections), class_name="end"),
        rx.el.td(number(one.pipelines), class_name="end"),
        rx.el.td(number(one.open_runs), class_name="end"),
        rx.el.td(number(one.runs_24h), class_name="end"),
        rx.el.td(
            rx.cond(
                one.failed_24h > 0,
                rx.el.span(number(one.failed_24h), class_name="wrong-number"),
                number(one.failed_24h),
            ),
            class_name="end",
        ),
        rx.el.td(
            number(one.rows_this_month),
            rx.cond(one.max_rows, rx.el.span(" / ", number(one.max_rows), class_name="muted")),
            class_name="end",
        ),
        rx.el.td(byte_size(one.storage_bytes), class_name="end"),
        rx.el.td(local_time(one.created_at)),
        key=one.id.to(str),
    )


def _queue() -> rx.Component:
    return rx.el.section(
        rx.el.div(rx.el.h2(_t["operators.queue"]), class_name="card-head"),
        rx.cond(
            OperatorState.waiting.length() > 0,
            table(
                [
                    (_t["column.position"], "end"),
                    (_t["column.run"], ""),
                    (_t["operators.organization"], ""),
                    (_t["column.waiting"], "end"),
                    (_t["column.reason"], ""),
                ],
                rx.foreach(OperatorState.waiting, _waiting),
                _t["operators.queue"],
            ),
            empty("hourglass", _t["queue.empty.title"], _t["operators.queue_empty"]),
        ),
        class_name="card",
    )


def _waiting(run: WaitingRow) -> rx.Component:
    return rx.el.tr(
        rx.el.td(run.position, class_name="end number"),
        rx.el.td("#", run.run_id, class_name="number"),
        rx.el.td(run.organization, class_name="mono"),
        rx.el.td(duration(run.created_at), class_name="end"),
        rx.el.td(reason_text(run.reason), class_name="wide"),
        key=run.run_id.to(str),
    )
