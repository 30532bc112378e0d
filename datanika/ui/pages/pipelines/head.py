"""What all pages of one pipeline begin with: its name, its tabs, running, pausing, deleting it."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.ui.components.dialogs import confirm, dialog
from datanika.ui.components.forms import button, check_field, submit
from datanika.ui.components.link import link
from datanika.ui.components.permitted import may
from datanika.ui.state.i18n import I18nState
from datanika.ui.state.pipeline_head_state import PipelineHeadState as Head

_t = I18nState.translations
TABS = (
    ("", _t["pipeline.builder"]),
    ("/schedule", _t["pipeline.schedule"]),
    ("/dependencies", _t["pipeline.dependencies"]),
    ("/versions", _t["pipeline.versions"]),
    ("/backfills", _t["pipeline.backfills"]),
)


def pipeline_head(active: str, *actions: rx.Component) -> rx.Component:
    """``active`` is the end of the address; ``actions`` come before those of all tabs."""
    return rx.cond(
        Head.pipeline_id > 0,
        rx.fragment(
            rx.el.div(
                rx.el.div(
                    link(_t["pipeline.back"], to="/pipelines", class_name="crumb"),
                    rx.el.div(
                        rx.el.h1(rx.el.bdi(Head.name)),
                        rx.cond(
                            Head.is_paused,
                            rx.el.span(
                                _t["pipelines.paused"],
                                class_name="badge is-warned",
                                title=Head.pause_reason,
                            ),
                        ),
                        rx.el.span("v", Head.version.to(str), class_name="chip", dir="ltr"),
                        class_name="title-line",
                    ),
                    rx.cond(
                        Head.is_paused & (Head.pause_reason != ""),
                        rx.el.p(Head.pause_reason),
                    ),
                ),
                rx.el.div(*actions, *_actions(), class_name="row"),
                class_name="page-head",
            ),
            rx.el.nav(
                *(_tab(end, text, active) for end, text in TABS),
                class_name="tabs",
                aria_label=_t["pipeline.tabs"],
            ),
            run_dialog(),
            confirm(
                is_open=Head.deletes_open,
                title=_t["pipelines.delete"] + ": " + Head.name,
                text=_t["pipelines.delete_text"],
                action=_t["pipelines.delete"],
                on_confirm=Head.delete,
                on_close=Head.close_delete,
            ),
        ),
    )


def _tab(end: str, text: Any, active: str) -> rx.Component:
    current = {"aria_current": "page"} if end == active else {}
    return link(text, to="/pipelines/" + Head.pipeline_id.to(str) + end, **current)


def _actions() -> tuple[rx.Component, ...]:
    return (
        rx.cond(
            may("pipeline:write"),
            rx.cond(
                Head.is_paused,
                button(_t["pipelines.resume"], Head.resume, icon="circle-play"),
                button(_t["pipelines.pause"], Head.pause, icon="circle-pause"),
            ),
        ),
        rx.cond(
            may("pipeline:delete"),
            button(
                "",
                Head.ask_delete,
                aria_haspopup="dialog",
                icon="trash-2",
                style="danger",
                aria_label=_t["pipelines.delete"],
                title=_t["pipelines.delete"],
            ),
        ),
        rx.cond(
            may("run:trigger"),
            button(
                _t["pipelines.run"],
                Head.open_run,
                aria_haspopup="dialog",
                icon="play",
                style="primary",
            ),
        ),
    )


def step_boxes(steps: Any) -> rx.Component:
    """Which steps: none ticked means all."""
    return rx.el.fieldset(
        rx.el.legend(_t["overrides.steps"], class_name="label"),
        rx.el.div(
            rx.foreach(
                steps,
                lambda key: rx.el.label(
                    rx.el.input(type="checkbox", name=rx.Var.create("step_") + key),
                    rx.el.span(key, dir="ltr", class_name="mono"),
                    class_name="check",
                ),
            ),
            class_name="chips steps-choice",
        ),
        rx.el.span(_t["overrides.steps_help"], class_name="help"),
        class_name="field",
    )


def run_dialog() -> rx.Component:
    return dialog(
        rx.el.form(
            rx.el.div(
                check_field(
                    _t["overrides.full_refresh"],
                    "full_refresh",
                    help=_t["overrides.full_refresh_help"],
                ),
                step_boxes(Head.steps),
                check_field(
                    _t["overrides.ignore_dependencies"],
                    "ignore_dependencies",
                    help=_t["overrides.ignore_dependencies_help"],
                ),
                class_name="dialog-body",
            ),
            rx.el.div(
                button(_t["dialog.cancel"], Head.close_run),
                submit(_t["overrides.start"]),
                class_name="dialog-foot",
            ),
            on_submit=Head.start,
            reset_on_submit=False,
        ),
        is_open=Head.runs_open,
        title=_t["overrides.title"],
        on_close=Head.close_run,
    )
