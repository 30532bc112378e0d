"""What a pipeline needs of others, and why a run of it would wait."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.ui.components.dialogs import confirm, dialog
from datanika.ui.components.forms import button, check_field, field, submit
from datanika.ui.components.frame import frame
from datanika.ui.components.link import link
from datanika.ui.components.permitted import may
from datanika.ui.components.pieces import empty, table
from datanika.ui.pages.pipelines.head import pipeline_head
from datanika.ui.pages.pipelines.schedule import UNIT_TEXTS
from datanika.ui.state.dependency_state import DependencyState as State
from datanika.ui.state.i18n import I18nState
from datanika.ui.views.pipelines import DependencyRow
from datanika.ui.wrappers.values import local_time

_t = I18nState.translations


def dependencies_page() -> rx.Component:
    return frame(
        pipeline_head("/dependencies"),
        rx.cond(State.is_checked, rx.fragment(_list(), _readiness(), _dependants())),
        _form(),
        confirm(
            is_open=State.deleting > 0,
            title=_t["dependency.delete"],
            text=_t["dependency.delete_text"],
            action=_t["dependency.delete"],
            on_confirm=State.delete,
            on_close=State.close_delete,
        ),
        active="/pipelines",
    )


def _new() -> rx.Component:
    return rx.cond(
        may("pipeline:write"),
        button(
            _t["dependency.new"],
            State.open_new,
            aria_haspopup="dialog",
            icon="plus",
            style="primary",
        ),
    )


def _list() -> rx.Component:
    return rx.el.section(
        rx.cond(
            State.dependencies.length() == 0,
            empty("git-merge", _t["dependency.empty"], _t["dependency.empty_text"], _new()),
            rx.fragment(
                rx.el.div(rx.el.h2(_t["dependency.title"]), _new(), class_name="card-head spread"),
                table(
                    [
                        (_t["dependency.upstream"], ""),
                        (_t["dependency.effect"], ""),
                        (_t["dependency.last_success"], ""),
                        (_t["dependency.now"], ""),
                        (rx.el.span(_t["column.action"], class_name="visually-hidden"), ""),
                    ],
                    rx.foreach(State.dependencies, _row),
                    _t["dependency.title"],
                ),
            ),
        ),
        class_name="card",
    )


def _row(one: DependencyRow) -> rx.Component:
    return rx.el.tr(
        rx.el.td(link(rx.el.bdi(one.upstream), to=one.href, class_name="row-link")),
        rx.el.td(
            rx.cond(one.starts_run, rx.el.div(_t["dependency.starts_run"])),
            rx.cond(
                one.within != "",
                rx.el.div(
                    _t["dependency.within"],
                    " ",
                    rx.el.bdi(one.within),
                    " · ",
                    _t["dependency.wait"],
                    " ",
                    rx.el.bdi(one.wait),
                    class_name="muted",
                ),
            ),
            class_name="wide",
        ),
        rx.el.td(local_time(one.last_at)),
        rx.el.td(
            rx.cond(
                one.is_fresh,
                rx.el.span(_t["dependency.ready"], class_name="badge is-succeeded"),
                rx.el.span(_t["dependency.waits"], class_name="badge is-warned"),
            ),
            rx.el.div(one.text, class_name="muted", dir="auto"),
            class_name="wide",
        ),
        rx.el.td(
            rx.el.div(
                rx.cond(
                    may("pipeline:write"),
                    button(
                        _t["schedule.edit"],
                        State.open_edit(one.id),
                        aria_haspopup="dialog",
                        aria_label=_t["schedule.edit"] + ": " + one.upstream,
                    ),
                ),
                rx.cond(
                    may("pipeline:delete"),
                    button(
                        _t["dependency.delete"],
                        State.ask_delete(one.id),
                        aria_haspopup="dialog",
                        style="danger",
                        aria_label=_t["dependency.delete"] + ": " + one.upstream,
                    ),
                ),
                class_name="row end nowrap",
            ),
            class_name="end",
        ),
        key=one.id.to(str),
    )


def _readiness() -> rx.Component:
    """The dry run: would a run that is started now wait, and for what."""
    return rx.cond(
        State.dependencies.length() > 0,
        rx.el.section(
            rx.el.div(
                rx.el.h2(_t["dependency.dry_run"]),
                button(_t["dependency.check"], State.check, icon="refresh-cw"),
                class_name="card-head spread",
            ),
            rx.el.div(
                rx.cond(
                    State.is_ready,
                    rx.el.span(_t["dependency.would_start"], class_name="badge is-succeeded"),
                    rx.el.span(_t["dependency.would_wait"], class_name="badge is-warned"),
                ),
                rx.cond(
                    State.waits_until,
                    rx.el.span(_t["queue.until"], " ", local_time(State.waits_until)),
                ),
                rx.el.p(State.explanation, class_name="muted", dir="auto"),
                class_name="form",
                id="readiness",
            ),
            class_name="card",
        ),
    )


def _dependants() -> rx.Component:
    return rx.cond(
        State.dependants.length() > 0,
        rx.el.section(
            rx.el.div(rx.el.h2(_t["dependency.dependants"]), class_name="card-head"),
            rx.el.div(
                rx.foreach(
                    State.dependants,
                    lambda one: link(rx.el.bdi(one["name"]), to=one["href"], class_name="chip"),
                ),
                class_name="chips form",
            ),
            class_name="card",
        ),
    )


def span_field(label: Any, name: str, edit: Any, help: Any = None, **props: Any) -> rx.Component:
    """A number and its unit, in a form."""
    return field(
        label,
        rx.el.div(
            rx.el.input(
                id=name, name=name, type="number", min=0, default_value=edit[name], **props
            ),
            rx.el.select(
                *(rx.el.option(text, value=value) for value, text in UNIT_TEXTS),
                name=f"{name}_unit",
                default_value=edit[f"{name}_unit"],
                aria_label=_t["unit.unit"],
            ),
            class_name="span-field",
        ),
        name=name,
        help=help,
    )


def _form() -> rx.Component:
    return dialog(
        rx.el.form(
            rx.el.div(
                rx.cond(
                    State.problem != "",
                    rx.el.div(State.problem, class_name="notice bad", role="alert"),
                ),
                rx.cond(
                    State.editing > 0,
                    rx.el.strong(State.edit["upstream"]),
                    field(
                        _t["dependency.upstream"],
                        rx.el.select(
                            rx.el.option(_t["builder.choose"], value=""),
                            rx.foreach(
                                State.candidates,
                                lambda one: rx.el.option(one["name"], value=one["id"]),
                            ),
                            id="upstream_id",
                            name="upstream_id",
                            required=True,
                        ),
                        name="upstream_id",
                    ),
                ),
                check_field(
                    _t["dependency.starts_run"],
                    "starts_run",
                    help=_t["dependency.starts_run_help"],
                    default_checked=State.edit["starts_run"] != "",
                ),
                span_field(
                    _t["dependency.within"], "within", State.edit, _t["dependency.within_help"]
                ),
                span_field(_t["dependency.wait"], "wait", State.edit, _t["dependency.wait_help"]),
                class_name="dialog-body",
            ),
            rx.el.div(
                button(_t["dialog.cancel"], State.close_form),
                submit(_t["schedule.save"]),
                class_name="dialog-foot",
            ),
            on_submit=State.save,
            reset_on_submit=False,
        ),
        is_open=State.is_open,
        title=rx.cond(State.editing > 0, _t["schedule.edit"], _t["dependency.new"]),
        on_close=State.close_form,
    )
