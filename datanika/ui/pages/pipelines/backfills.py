"""Backfills of a pipeline: an interval of the past that is loaded again, a chunk a run."""

from __future__ import annotations

import reflex as rx

from datanika.ui.components.dialogs import confirm, dialog
from datanika.ui.components.forms import button, check_field, text_field
from datanika.ui.components.frame import frame
from datanika.ui.components.link import link
from datanika.ui.components.permitted import may
from datanika.ui.components.pieces import badge, empty, table
from datanika.ui.pages.pipelines.dependencies import span_field
from datanika.ui.pages.pipelines.head import pipeline_head, step_boxes
from datanika.ui.state.backfill_state import BackfillState as State
from datanika.ui.state.i18n import I18nState
from datanika.ui.state.pipeline_head_state import PipelineHeadState as Head
from datanika.ui.views.pipelines import BackfillRow

_t = I18nState.translations


def backfills_page() -> rx.Component:
    return frame(
        pipeline_head("/backfills"),
        rx.cond(Head.pipeline_id > 0, _list()),
        _dialog(),
        confirm(
            is_open=State.cancelling > 0,
            title=_t["backfill.cancel"],
            text=_t["backfill.cancel_text"],
            action=_t["backfill.cancel"],
            on_confirm=State.cancel,
            on_close=State.close_cancel,
        ),
        active="/pipelines",
    )


def _new() -> rx.Component:
    return rx.cond(
        may("run:trigger"),
        button(
            _t["backfill.new"],
            State.open_new,
            aria_haspopup="dialog",
            icon="history",
            style="primary",
        ),
    )


def _list() -> rx.Component:
    return rx.el.section(
        rx.cond(
            State.backfills.length() == 0,
            empty("history", _t["backfill.empty"], _t["backfill.empty_text"], _new()),
            rx.fragment(
                rx.el.div(
                    rx.el.h2(_t["pipeline.backfills"]), _new(), class_name="card-head spread"
                ),
                table(
                    [
                        (_t["backfill.interval"], ""),
                        (_t["column.state"], ""),
                        (_t["backfill.progress"], ""),
                        (_t["column.run"], ""),
                        (rx.el.span(_t["column.action"], class_name="visually-hidden"), ""),
                    ],
                    rx.foreach(State.backfills, _row),
                    _t["pipeline.backfills"],
                ),
            ),
        ),
        class_name="card",
    )


def _row(one: BackfillRow) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            rx.el.span(one.start, " → ", one.end, " UTC", class_name="number", dir="ltr"),
            rx.el.div(_t["backfill.chunk"], " ", rx.el.bdi(one.chunk), class_name="muted"),
        ),
        rx.el.td(badge(one.state)),
        rx.el.td(
            rx.el.div(
                rx.el.div(
                    class_name=rx.Var.create("bar is-") + one.state,
                    style={"inset_inline_start": "0", "width": one.percent},
                ),
                class_name="bar-track",
                role="progressbar",
                aria_valuemin=0,
                aria_valuemax=one.chunks,
                aria_valuenow=one.done,
                aria_label=_t["backfill.progress"],
            ),
            rx.el.span(one.done.to(str), " / ", one.chunks.to(str), class_name="number", dir="ltr"),
        ),
        rx.el.td(
            rx.cond(one.run_id > 0, link("#" + one.run_id.to(str), to=one.run_href)),
        ),
        rx.el.td(
            rx.cond(
                one.is_live,
                rx.cond(
                    may("run:cancel"),
                    button(
                        _t["backfill.cancel"],
                        State.ask_cancel(one.id),
                        aria_haspopup="dialog",
                        style="danger",
                    ),
                ),
                rx.cond(
                    may("run:trigger") & (one.state != "succeeded"),
                    button(_t["backfill.retry"], State.retry(one.id)),
                ),
            ),
            class_name="end",
        ),
        key=one.id.to(str),
    )


def _dialog() -> rx.Component:
    return dialog(
        rx.el.form(
            rx.el.div(
                rx.el.p(_t["backfill.text"], class_name="muted"),
                rx.cond(
                    State.problem != "",
                    rx.el.div(State.problem, class_name="notice bad", role="alert"),
                ),
                rx.el.div(
                    text_field(
                        _t["backfill.start"],
                        "start",
                        type="datetime-local",
                        required=True,
                        default_value=State.edit["start"],
                    ),
                    text_field(
                        _t["backfill.end"],
                        "end",
                        type="datetime-local",
                        required=True,
                        default_value=State.edit["end"],
                    ),
                    span_field(_t["backfill.chunk"], "chunk", State.edit, required=True),
                    class_name="form-grid",
                ),
                step_boxes(Head.steps),
                check_field(_t["backfill.full"], "full", help=_t["backfill.full_help"]),
                _chunks(),
                class_name="dialog-body",
            ),
            rx.el.div(
                button(_t["dialog.cancel"], State.close_new),
                rx.el.button(_t["backfill.preview"], type="submit", class_name="button"),
                button(
                    _t["backfill.start_now"],
                    State.start,
                    style="primary",
                    disabled=State.total == 0,
                ),
                class_name="dialog-foot",
            ),
            on_submit=State.preview,
            reset_on_submit=False,
        ),
        is_open=State.opens,
        title=_t["backfill.new"],
        on_close=State.close_new,
        wide=True,
    )


def _chunks() -> rx.Component:
    return rx.cond(
        State.total > 0,
        rx.el.div(
            rx.el.strong(_t["backfill.runs"], " ", State.total.to(str)),
            rx.el.ol(
                rx.foreach(
                    State.chunks,
                    lambda one: rx.el.li(
                        rx.el.span(one["number"], class_name="muted number"),
                        " ",
                        rx.el.span(one["start"], " → ", one["end"], dir="ltr"),
                    ),
                ),
                class_name="chunks",
                id="chunks",
            ),
            rx.cond(State.more_chunks > 0, rx.el.p("+ ", State.more_chunks.to(str), dir="ltr")),
            rx.cond(
                State.left_out.length() > 0,
                rx.el.div(
                    rx.el.strong(_t["backfill.left_out"]),
                    rx.el.ul(
                        rx.foreach(State.left_out, lambda line: rx.el.li(line, dir="auto")),
                        class_name="plan-details",
                    ),
                ),
            ),
            class_name="stack",
            aria_live="polite",
        ),
    )
