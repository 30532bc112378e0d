"""One run, live: what it is, what can be done with it, its graph, its steps, its log."""

from __future__ import annotations

import reflex as rx

from datanika.ui.components.dialogs import confirm
from datanika.ui.components.forms import button
from datanika.ui.components.frame import api_path, frame
from datanika.ui.components.link import link
from datanika.ui.components.permitted import may
from datanika.ui.components.pieces import badge
from datanika.ui.pages.runs.comparison import comparison_dialog
from datanika.ui.state.i18n import I18nState
from datanika.ui.state.run_state import RunPageState
from datanika.ui.wrappers.run_live import run_live
from datanika.ui.wrappers.values import local_time

_t = I18nState.translations
_run = RunPageState.run


def run_page() -> rx.Component:
    return frame(
        _head(),
        rx.cond(
            RunPageState.found,
            rx.fragment(
                _failure(),
                run_live(
                    address=rx.Var.create(api_path("/api/v1/runs/")) + _run.id.to(str),
                    run=_run,
                    log_after=RunPageState.log_after,
                    log_skipped=RunPageState.log_skipped,
                    on_change=lambda _state: RunPageState.refresh(),
                    key=_run.id.to(str),
                ),
            ),
        ),
        comparison_dialog(),
        confirm(
            is_open=RunPageState.asks_cancel,
            title=_t["run.cancel"],
            text=_t["run.cancel_text"],
            action=_t["run.cancel"],
            on_confirm=RunPageState.cancel,
            on_close=RunPageState.close_dialogs,
        ),
        active="/runs",
    )


def _head() -> rx.Component:
    return rx.el.div(
        rx.el.div(
            link(_t["run.back"], to="/runs", class_name="crumb"),
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
            _origin(),
        ),
        rx.el.div(
            rx.cond(
                RunPageState.is_live & may("run:cancel"),
                button(
                    _t["run.cancel"],
                    RunPageState.ask_cancel,
                    aria_haspopup="dialog",
                    icon="square",
                    style="danger",
                    disabled=_run.state == "cancelling",
                ),
            ),
            rx.cond(
                RunPageState.found,
                button(
                    _t["run.compare"],
                    RunPageState.compare,
                    aria_haspopup="dialog",
                    icon="git-compare-arrows",
                ),
            ),
            rx.cond(
                RunPageState.found & ~RunPageState.is_live & may("run:trigger"),
                rx.fragment(
                    rx.cond(
                        _run.can_retry,
                        button(
                            _t["run.retry"],
                            RunPageState.retry,
                            icon="step-forward",
                            style="primary",
                        ),
                    ),
                    button(_t["run.again"], RunPageState.run_again, icon="rotate-cw"),
                ),
            ),
            class_name="actions",
        ),
        class_name="page-head",
    )


def _origin() -> rx.Component:
    """What the run repeats, or is a part of, or waits for."""
    return rx.el.p(
        rx.cond(
            _run.retry_of > 0,
            rx.el.span(
                _t["run.retry_of"],
                " ",
                link(
                    rx.Var.create("#") + _run.retry_of.to(str),
                    to=rx.Var.create("/runs/") + _run.retry_of.to(str),
                ),
            ),
        ),
        rx.cond(
            _run.backfill_id > 0,
            rx.el.span(
                _t["run.of_backfill"],
                rx.Var.create(" #") + _run.backfill_id.to(str) + ": ",
                local_time(_run.interval_start),
                " – ",
                local_time(_run.interval_end),
            ),
        ),
        rx.cond(
            _run.scheduled_for,
            rx.el.span(_t["run.scheduled_for"], " ", local_time(_run.scheduled_for)),
        ),
        rx.cond(
            _run.waits_until,
            rx.el.span(_t["queue.waits_for_upstream"], ": ", local_time(_run.waits_until)),
        ),
        class_name="origin muted",
    )


def _failure() -> rx.Component:
    """The cause and the way out."""
    return rx.cond(
        _run.error_message != "",
        rx.el.div(
            rx.el.strong(_t["run.failure"]),
            rx.el.pre(_run.error_message, dir="auto"),
            rx.cond(
                _run.error_hint != "",
                rx.el.p(rx.el.strong(_t["run.way_out"]), " ", rx.el.bdi(_run.error_hint)),
            ),
            rx.cond(
                _run.error_code != "",
                rx.el.code(_run.error_code, class_name="error-code"),
            ),
            role="alert",
            class_name="notice bad",
        ),
    )
