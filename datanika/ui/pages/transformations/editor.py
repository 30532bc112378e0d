"""The editor of one transformation: code, what is wrong with it, what it gives, what is said of
it."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.ui.components.dialogs import confirm
from datanika.ui.components.forms import button
from datanika.ui.components.frame import frame
from datanika.ui.components.link import link
from datanika.ui.components.permitted import may
from datanika.ui.pages.transformations.grid import grid
from datanika.ui.pages.transformations.history import history_dialog
from datanika.ui.pages.transformations.settings import settings_form
from datanika.ui.state.i18n import I18nState
from datanika.ui.state.transformation_state import TransformationState
from datanika.ui.views.transformations import NeighbourView, RunnerView
from datanika.ui.wrappers.code_editor import CodeDiff, CodeEditor
from datanika.ui.wrappers.project_transfer import SaveKeys
from datanika.ui.wrappers.values import local_time

_t = I18nState.translations
_state = TransformationState
_it = TransformationState.transformation
FORM = "transformation-form"


def transformation_page() -> rx.Component:
    return frame(
        _head(),
        rx.cond(
            _state.found,
            rx.fragment(
                _conflict(),
                rx.el.form(
                    rx.el.div(
                        rx.el.div(_editor(), _panes(), _neighbours(), class_name="stack wide-gap"),
                        settings_form(),
                        class_name="split editor-split",
                    ),
                    on_submit=_state.save,
                    reset_on_submit=False,
                    id=FORM,
                    key=_it.id.to(str) + "-" + _state.form_number.to(str),
                ),
                rx.cond(may("transformation:write"), SaveKeys.create(form=FORM)),
                _delete_dialog(),
                history_dialog(),
            ),
        ),
        active="/transformations",
    )


def _head() -> rx.Component:
    return rx.el.div(
        rx.el.div(
            link(_t["nav.transformations"], to="/transformations", class_name="crumb"),
            rx.el.div(
                rx.el.h1(rx.cond(_state.found, rx.el.bdi(_it.name), _t["nav.transformations"])),
                rx.cond(
                    _state.found,
                    rx.fragment(
                        rx.el.span(_it.kind, class_name="chip"),
                        rx.el.span(_it.destination, class_name="muted"),
                        rx.cond(
                            ~_it.enabled,
                            rx.el.span(_t["transformation.disabled"], class_name="chip"),
                        ),
                    ),
                ),
                class_name="title-line",
            ),
            rx.cond(
                _state.found,
                rx.el.p(
                    _t["transformation.revision"],
                    " ",
                    _it.revision,
                    " · ",
                    local_time(_it.updated_at),
                ),
            ),
        ),
        rx.cond(_state.found, rx.el.div(_actions(), class_name="actions wrap")),
        class_name="page-head",
    )


def _actions() -> rx.Component:
    return rx.fragment(
        rx.cond(
            _state.entry_href != "",
            link(
                rx.icon("table-2", aria_hidden="true"),
                _t["transformation.in_catalog"],
                to=_state.entry_href,
                class_name="button",
            ),
        ),
        button(
            _t["transformation.history"],
            _state.open_history,
            aria_haspopup="dialog",
            icon="history",
        ),
        rx.cond(
            may("run:trigger") & (_state.runners.length() > 0),
            rx.el.details(
                rx.el.summary(
                    rx.icon("play", aria_hidden="true"),
                    _t["transformation.run"],
                    class_name="button",
                ),
                rx.el.div(
                    rx.el.p(_t["transformation.run_text"], class_name="muted"),
                    rx.foreach(_state.runners, _runner),
                    class_name="menu",
                ),
                class_name="menu-button",
            ),
        ),
        rx.cond(
            may("transformation:delete"),
            button(
                _t["transformation.delete"],
                _state.ask_delete,
                aria_haspopup="dialog",
                icon="trash-2",
                style="danger",
            ),
        ),
        rx.cond(
            may("transformation:write"),
            rx.el.button(
                rx.icon("save", aria_hidden="true"),
                _t["transformation.save"],
                rx.el.kbd("Ctrl S", aria_hidden="true"),
                type="submit",
                form=FORM,
                class_name="button primary",
            ),
        ),
    )


def _runner(one: RunnerView) -> rx.Component:
    return rx.el.button(
        one.label, type="button", on_click=_state.run(one.pipeline_id, one.step), dir="ltr"
    )


def _conflict() -> rx.Component:
    return rx.cond(
        _state.has_conflict,
        rx.el.section(
            rx.el.div(
                rx.el.h2(_t["transformation.conflict"]),
                class_name="card-head",
            ),
            rx.el.div(
                rx.el.p(_t["transformation.conflict_text"]),
                CodeDiff.create(
                    before=_state.theirs,
                    after=_state.mine,
                    language="sql",
                    label=_t["transformation.conflict"],
                ),
                rx.el.div(
                    button(_t["transformation.take_theirs"], _state.take_theirs),
                    button(_t["transformation.keep_mine"], _state.keep_mine, style="danger"),
                    class_name="row end",
                ),
                class_name="form",
            ),
            class_name="card conflict",
        ),
    )


def _editor() -> rx.Component:
    return rx.cond(
        _it.has_sql,
        rx.el.section(
            rx.el.div(
                rx.el.h2(_t["transformation.code"]),
                rx.cond(
                    may("transformation:preview") & _it.can_compile,
                    rx.el.div(
                        _job_button("compile", _t["transformation.compile"], "braces"),
                        _job_button("preview", _t["transformation.preview"], "table"),
                        _job_button("lint", _t["transformation.lint"], "list-checks"),
                        _job_button("format", _t["transformation.format"], "wand-sparkles"),
                        class_name="row end grow",
                    ),
                ),
                class_name="card-head",
            ),
            rx.el.div(
                CodeEditor.create(
                    key=_state.editor_number.to(str),
                    value=_state.sql,
                    language="sql",
                    label=_t["transformation.code"],
                    height="420px",
                    read_only=~may("transformation:write"),
                    name="sql",
                    completions=_state.completions,
                    diagnostics=_state.diagnostics,
                    on_change=_state.edit,
                ),
                class_name="editor-frame",
            ),
            _problems(),
            class_name="card",
        ),
    )


def _job_button(what: str, text: Any, icon: str) -> rx.Component:
    return rx.el.button(
        rx.cond(
            _state.busy == what,
            rx.el.span(class_name="spinner small", aria_hidden="true"),
            rx.icon(icon, aria_hidden="true"),
        ),
        text,
        type="button",
        on_click=_state.work(what),
        disabled=_state.busy != "",
        class_name="button",
        id=f"{what}-button",
    )


def _problems() -> rx.Component:
    """What the marks in the editor say, for those who do not hover."""
    return rx.el.ul(
        rx.foreach(
            _state.diagnostics,
            lambda one: rx.el.li(
                rx.el.span(
                    _t["transformation.line"], " ", one["line"].to(str), class_name="problem-line"
                ),
                rx.el.span(one["message"].to(str), dir="auto"),
                class_name=rx.Var.create("problem is-") + one["severity"].to(str),
            ),
        ),
        class_name="problems",
        role="status",
        aria_label=_t["transformation.problems"],
    )


def _panes() -> rx.Component:
    return rx.cond(
        (_state.pane != ""),
        rx.el.section(
            rx.el.div(
                _tab("preview", _t["transformation.preview"]),
                _tab("compile", _t["transformation.compiled"]),
                class_name="tabs",
                role="tablist",
                aria_label=_t["transformation.results"],
            ),
            rx.cond(
                _state.failure != "",
                rx.el.div(
                    rx.el.strong(_t["transformation.failed"]),
                    rx.el.pre(_state.failure, dir="auto"),
                    rx.cond(_state.failure_hint != "", rx.el.p(_state.failure_hint)),
                    role="alert",
                    class_name="notice bad inner",
                ),
            ),
            rx.cond(
                _state.busy != "",
                rx.el.p(_t["transformation.working"], class_name="log-empty", role="status"),
                rx.cond(
                    _state.pane == "preview",
                    grid(_state.grid, _t["transformation.preview"]),
                    rx.cond(
                        _state.compiled != "",
                        rx.el.div(
                            CodeEditor.create(
                                value=_state.compiled,
                                language="sql",
                                label=_t["transformation.compiled"],
                                height="300px",
                                read_only=True,
                            ),
                            class_name="editor-frame",
                        ),
                    ),
                ),
            ),
            class_name="card",
            id="results",
        ),
    )


def _tab(name: str, text: Any) -> rx.Component:
    return rx.el.button(
        text,
        type="button",
        role="tab",
        aria_selected=_state.pane == name,
        on_click=_state.show_pane(name),
    )


def _neighbours() -> rx.Component:
    """What it reads, itself, what reads it."""
    return rx.el.section(
        rx.el.div(rx.el.h2(_t["transformation.neighbours"]), class_name="card-head"),
        rx.el.div(
            _side(_t["transformation.reads"], _state.parents),
            rx.el.div(rx.el.strong(rx.el.bdi(_it.name)), class_name="near-self"),
            _side(_t["transformation.read_by"], _state.children),
            class_name="near",
            id="neighbourhood",
        ),
        class_name="card",
    )


def _side(title: Any, items: rx.Var[list[NeighbourView]]) -> rx.Component:
    return rx.el.div(
        rx.el.h3(title),
        rx.cond(
            items.length() > 0,
            rx.el.ul(rx.foreach(items, _neighbour), class_name="near-list"),
            rx.el.p(_t["transformation.nothing"], class_name="muted"),
        ),
        class_name="near-side",
    )


def _neighbour(one: NeighbourView) -> rx.Component:
    name = rx.fragment(rx.el.bdi(one.name), rx.el.span(one.kind, class_name="muted"))
    return rx.el.li(
        rx.cond(
            one.href != "",
            link(name, to=one.href, class_name="near-node"),
            rx.el.span(name, class_name="near-node is-missing"),
        ),
        key=one.kind + one.name,
    )


def _delete_dialog() -> rx.Component:
    return confirm(
        is_open=_state.is_deleting,
        title=_t["transformation.delete_title"],
        text=rx.fragment(
            _t["transformation.delete_text"],
            rx.cond(
                _state.children.length() > 0,
                rx.el.span(
                    " ",
                    _t["transformation.delete_used"],
                    " ",
                    rx.el.strong(_state.children_names, dir="auto"),
                ),
            ),
        ),
        action=_t["transformation.delete"],
        on_confirm=_state.delete,
        on_close=_state.close_dialog,
    )
