"""When a pipeline runs by itself."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.contracts.enums import OverlapPolicy
from datanika.ui.components.dialogs import confirm, dialog
from datanika.ui.components.forms import button, field
from datanika.ui.components.frame import frame
from datanika.ui.components.permitted import may
from datanika.ui.components.pieces import empty
from datanika.ui.pages.pipelines.head import pipeline_head
from datanika.ui.state.i18n import I18nState
from datanika.ui.state.pipeline_head_state import PipelineHeadState as Head
from datanika.ui.state.schedule_state import ScheduleState as State
from datanika.ui.views.pipelines import DayView, ScheduleRow
from datanika.ui.wrappers.values import local_time

_t = I18nState.translations
UNIT_TEXTS = (
    ("seconds", _t["unit.seconds"]),
    ("minutes", _t["unit.minutes"]),
    ("hours", _t["unit.hours"]),
    ("days", _t["unit.days"]),
)
_EXAMPLES = (
    ("0 * * * *", _t["schedule.every_hour"]),
    ("0 6 * * *", _t["schedule.every_day"]),
    ("0 6 * * 1-5", _t["schedule.every_weekday"]),
    ("0 6 1 * *", _t["schedule.every_month"]),
)
_OVERLAPS = {
    OverlapPolicy.SKIP: _t["schedule.overlap_skip"],
    OverlapPolicy.QUEUE: _t["schedule.overlap_queue"],
    OverlapPolicy.ALLOW: _t["schedule.overlap_allow"],
}
_DAYS = (
    _t["day.mon"], _t["day.tue"], _t["day.wed"], _t["day.thu"], _t["day.fri"], _t["day.sat"],
    _t["day.sun"],
)  # fmt: skip


def schedule_page() -> rx.Component:
    return frame(
        pipeline_head("/schedule"),
        rx.cond(Head.pipeline_id > 0, rx.fragment(_list(), _overlap())),
        _editor(),
        confirm(
            is_open=State.deleting > 0,
            title=_t["schedule.delete"],
            text=_t["schedule.delete_text"],
            action=_t["schedule.delete"],
            on_confirm=State.delete,
            on_close=State.close_delete,
        ),
        active="/pipelines",
    )


def _new() -> rx.Component:
    return rx.cond(
        may("schedule:write"),
        button(
            _t["schedule.new"], State.open_new, aria_haspopup="dialog", icon="plus", style="primary"
        ),
    )


def _list() -> rx.Component:
    return rx.el.section(
        rx.cond(
            State.schedules.length() == 0,
            empty("calendar-clock", _t["schedule.empty"], _t["schedule.empty_text"], _new()),
            rx.fragment(
                rx.el.div(rx.el.h2(_t["schedule.title"]), _new(), class_name="card-head spread"),
                rx.el.ul(rx.foreach(State.schedules, _row), class_name="schedule-list"),
            ),
        ),
        class_name="card",
    )


def _row(schedule: ScheduleRow) -> rx.Component:
    return rx.el.li(
        rx.el.div(
            rx.el.strong(schedule.when, class_name="mono", dir="ltr"),
            rx.el.span(schedule.timezone, class_name="chip", dir="ltr"),
            rx.cond(
                schedule.is_active,
                rx.cond(
                    Head.is_paused,
                    rx.el.span(_t["schedule.pipeline_paused"], class_name="badge is-warned"),
                    rx.el.span(_t["schedule.on"], class_name="badge is-succeeded"),
                ),
                rx.el.span(_t["schedule.off"], class_name="badge"),
            ),
            rx.el.p(
                _t["schedule.catchup"],
                " ",
                rx.el.bdi(schedule.catchup),
                rx.cond(
                    schedule.jitter != "",
                    rx.fragment(" · ", _t["schedule.jitter"], " ", rx.el.bdi(schedule.jitter)),
                ),
                rx.cond(
                    schedule.starts_at,
                    rx.fragment(" · ", _t["schedule.starts"], " ", local_time(schedule.starts_at)),
                ),
                rx.cond(
                    schedule.ends_at,
                    rx.fragment(" · ", _t["schedule.ends"], " ", local_time(schedule.ends_at)),
                ),
                class_name="muted",
            ),
            class_name="schedule-what",
        ),
        rx.el.ol(
            rx.foreach(schedule.fires, lambda fire: rx.el.li(fire, dir="ltr")),
            class_name="fires",
            aria_label=_t["schedule.next_times"],
        ),
        rx.el.div(
            rx.cond(
                may("schedule:write"),
                rx.fragment(
                    rx.cond(
                        schedule.is_active,
                        button(_t["schedule.turn_off"], State.switch(schedule.id)),
                        button(_t["schedule.turn_on"], State.switch(schedule.id)),
                    ),
                    button(
                        _t["schedule.edit"], State.open_edit(schedule.id), aria_haspopup="dialog"
                    ),
                ),
            ),
            rx.cond(
                may("schedule:delete"),
                button(
                    _t["schedule.delete"],
                    State.ask_delete(schedule.id),
                    aria_haspopup="dialog",
                    style="danger",
                ),
            ),
            class_name="row end",
        ),
        key=schedule.id.to(str),
    )


def _overlap() -> rx.Component:
    return rx.el.section(
        rx.el.div(
            field(
                _t["schedule.overlap"],
                rx.el.select(
                    *(rx.el.option(text, value=policy.value) for policy, text in _OVERLAPS.items()),
                    id="overlap",
                    value=State.overlap,
                    on_change=State.set_overlap,
                    disabled=~may("pipeline:write"),
                ),
                name="overlap",
                help=_t["schedule.overlap_help"],
            ),
            class_name="form",
        ),
        class_name="card",
    )


def _input(label: Any, name: str, help: Any = None, **props: Any) -> rx.Component:
    return field(
        label,
        rx.el.input(
            id=name,
            default_value=State.edit[name],
            on_change=lambda value: State.change(name, value).debounce(300),
            key=rx.Var.create(f"{name}-") + State.form_number.to(str),
            **props,
        ),
        name=name,
        help=help,
    )


def _span(label: Any, name: str, help: Any = None) -> rx.Component:
    """A number and its unit."""
    unit = f"{name}_unit"
    return field(
        label,
        rx.el.div(
            rx.el.input(
                id=name,
                type="number",
                min=0,
                default_value=State.edit[name],
                on_change=lambda value: State.change(name, value).debounce(300),
                key=rx.Var.create(f"{name}-") + State.form_number.to(str),
            ),
            rx.el.select(
                *(rx.el.option(text, value=value) for value, text in UNIT_TEXTS),
                value=State.edit[unit],
                on_change=lambda value: State.change(unit, value),
                aria_label=_t["unit.unit"],
            ),
            class_name="span-field",
        ),
        name=name,
        help=help,
    )


def _editor() -> rx.Component:
    return dialog(
        rx.el.div(
            rx.el.div(_when(), _limits(), class_name="stack"),
            rx.el.div(_next_times(), _calendar(), class_name="stack schedule-preview"),
            class_name="dialog-body schedule-editor",
        ),
        rx.el.div(
            button(_t["dialog.cancel"], State.close_editor),
            button(
                _t["schedule.save"],
                State.save,
                style="primary",
                disabled=State.problem != "",
                id="save-schedule",
            ),
            class_name="dialog-foot",
        ),
        is_open=State.is_open,
        title=rx.cond(State.editing > 0, _t["schedule.edit"], _t["schedule.new"]),
        on_close=State.close_editor,
        wide=True,
    )


def _when() -> rx.Component:
    return rx.el.div(
        field(
            _t["schedule.mode"],
            rx.el.select(
                rx.el.option(_t["schedule.by_cron"], value="cron"),
                rx.el.option(_t["schedule.by_interval"], value="interval"),
                id="mode",
                value=State.edit["mode"],
                on_change=lambda value: State.change("mode", value),
            ),
            name="mode",
        ),
        rx.cond(
            State.edit["mode"] == "cron",
            rx.el.div(
                _input("Cron", "cron", help=_t["schedule.cron_help"], dir="ltr", spell_check=False),
                rx.el.div(
                    *(
                        rx.el.button(
                            text,
                            type="button",
                            class_name="chip chip-button",
                            on_click=State.use_cron(cron),
                        )
                        for cron, text in _EXAMPLES
                    ),
                    class_name="chips",
                ),
                class_name="stack tight",
            ),
            _span(_t["schedule.every"], "every"),
        ),
        field(
            _t["schedule.timezone"],
            rx.el.select(
                rx.foreach(State.zones, lambda zone: rx.el.option(zone, value=zone)),
                id="timezone",
                value=State.edit["timezone"],
                on_change=lambda value: State.change("timezone", value),
                dir="ltr",
            ),
            name="timezone",
            help=_t["schedule.timezone_help"],
        ),
        class_name="stack",
    )


def _limits() -> rx.Component:
    return rx.el.details(
        rx.el.summary(_t["schedule.more"]),
        rx.el.div(
            _input(_t["schedule.starts"], "starts_at", type="datetime-local"),
            _input(_t["schedule.ends"], "ends_at", type="datetime-local"),
            _span(_t["schedule.catchup"], "catchup", help=_t["schedule.catchup_help"]),
            _span(_t["schedule.jitter"], "jitter", help=_t["schedule.jitter_help"]),
            class_name="builder-section-body",
        ),
        class_name="builder-section",
    )


def _next_times() -> rx.Component:
    return rx.el.div(
        rx.el.h3(_t["schedule.next_times"]),
        rx.cond(
            State.problem != "",
            rx.el.div(
                rx.el.strong(State.problem),
                rx.cond(State.problem_hint != "", rx.el.p(State.problem_hint)),
                class_name="notice bad",
                role="alert",
            ),
            rx.cond(
                State.fires.length() > 0,
                rx.el.ol(
                    rx.foreach(State.fires, lambda fire: rx.el.li(fire, dir="ltr")),
                    class_name="fires",
                    id="next-times",
                ),
                rx.el.p(_t["schedule.never"], class_name="muted"),
            ),
        ),
        aria_live="polite",
    )


def _calendar() -> rx.Component:
    return rx.cond(
        State.days.length() > 0,
        rx.el.div(
            rx.el.div(
                rx.el.button(
                    rx.icon("chevron-left", aria_hidden="true", class_name="flips"),
                    on_click=State.other_month(-1),
                    class_name="icon-button",
                    type="button",
                    aria_label=_t["schedule.month_before"],
                ),
                rx.el.strong(State.month, class_name="number", id="month"),
                rx.el.button(
                    rx.icon("chevron-right", aria_hidden="true", class_name="flips"),
                    on_click=State.other_month(1),
                    class_name="icon-button",
                    type="button",
                    aria_label=_t["schedule.month_after"],
                ),
                class_name="calendar-head",
            ),
            rx.el.div(
                *(rx.el.span(day, class_name="calendar-name") for day in _DAYS),
                rx.foreach(State.days, _day),
                class_name="calendar",
                role="img",
                aria_label=_t["schedule.calendar"],
            ),
        ),
    )


def _day(day: DayView) -> rx.Component:
    return rx.el.span(
        rx.el.span(day.day),
        rx.cond(day.text != "", rx.el.b(day.text)),
        class_name=rx.Var.create("calendar-day")
        + rx.cond(day.is_other, " is-other", "")
        + rx.cond(day.is_today, " is-today", "")
        + rx.cond(day.count > 0, " fires-then", ""),
    )
