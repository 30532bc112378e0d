"""Building a pipeline: the graph, the YAML, what is wrong with them, and what a run would do."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.ui.components.dialogs import dialog
from datanika.ui.components.forms import button, submit
from datanika.ui.components.frame import api_path, frame
from datanika.ui.components.link import link
from datanika.ui.components.permitted import may
from datanika.ui.components.pieces import page_head, table
from datanika.ui.pages.pipelines.head import pipeline_head
from datanika.ui.state.i18n import I18nState
from datanika.ui.state.pipeline_builder_state import PipelineBuilderState as Builder
from datanika.ui.views.pipelines import PlanStepView
from datanika.ui.wrappers.code_editor import CodeDiff
from datanika.ui.wrappers.pipeline_builder import PipelineBuilder
from datanika.ui.wrappers.values import duration, number

_t = I18nState.translations


def new_pipeline_page() -> rx.Component:
    return frame(
        link(_t["pipeline.back"], to="/pipelines", class_name="crumb"),
        page_head(_t["builder.new_title"], _t["builder.new_text"]),
        rx.cond(
            may("pipeline:write"),
            rx.fragment(_without_connections(), _body()),
            rx.el.p(_t["error.permission_denied"], class_name="notice bad"),
        ),
        active="/pipelines",
    )


def builder_page() -> rx.Component:
    return frame(pipeline_head(""), _body(), active="/pipelines")


def _without_connections() -> rx.Component:
    return rx.cond(
        Builder.is_ready & (Builder.connections.length() == 0),
        rx.el.div(
            rx.el.strong(_t["builder.no_connections"]),
            rx.el.p(link(_t["builder.make_connection"], to="/connections")),
            class_name="notice info",
        ),
    )


def _body() -> rx.Component:
    return rx.cond(
        Builder.is_ready,
        rx.fragment(
            _save_bar(),
            rx.el.section(
                PipelineBuilder.create(
                    draft=Builder.draft,
                    draft_number=Builder.draft_number,
                    yaml=Builder.yaml,
                    yaml_number=Builder.yaml_number,
                    problems=Builder.problems,
                    is_locked=Builder.is_locked,
                    connections=Builder.connections,
                    texts=I18nState.translations,
                    locale=I18nState.locale,
                    api=api_path(""),
                    read_only=~may("pipeline:write"),
                    may_introspect=may("connection:test"),
                    on_draft=Builder.change_draft,
                    on_yaml=Builder.change_yaml,
                ),
                class_name="card builder-card",
                aria_label=_t["pipeline.builder"],
            ),
            _problems(),
            _plan(),
            _conflict(),
        ),
    )


def _save_bar() -> rx.Component:
    """Name and description, and the button that keeps the draft."""
    return rx.cond(
        may("pipeline:write"),
        rx.el.form(
            rx.el.div(
                rx.el.label(_t["column.name"], html_for="name"),
                rx.el.input(
                    id="name",
                    name="name",
                    required=True,
                    max_length=200,
                    default_value=Builder.name,
                    key=rx.Var.create("name-") + Builder.pipeline_id.to(str),
                ),
                class_name="field",
            ),
            rx.el.div(
                rx.el.label(_t["builder.description"], html_for="description"),
                rx.el.input(
                    id="description",
                    name="description",
                    default_value=Builder.description,
                    key=rx.Var.create("description-") + Builder.pipeline_id.to(str),
                ),
                class_name="field grow",
            ),
            rx.el.div(
                rx.cond(
                    Builder.is_dirty,
                    rx.fragment(
                        rx.el.span(_t["builder.unsaved"], class_name="badge is-warned"),
                        button(_t["builder.discard"], Builder.discard),
                    ),
                ),
                submit(_t["builder.save"], disabled=~Builder.is_valid, id="save"),
                class_name="row",
            ),
            on_submit=Builder.save,
            reset_on_submit=False,
            class_name="card builder-save",
        ),
    )


def _problems() -> rx.Component:
    return rx.cond(
        Builder.problems.length() > 0,
        rx.el.section(
            rx.el.div(
                rx.el.h2(_t["builder.problems"]),
                rx.el.span(Builder.problems.length(), class_name="muted number"),
                class_name="card-head",
            ),
            rx.el.ul(rx.foreach(Builder.problems.to(list[dict[str, Any]]), _problem)),
            class_name="card builder-problems",
            aria_live="polite",
        ),
    )


def _problem(one: Any) -> rx.Component:
    return rx.el.li(
        rx.el.span(_t["builder.line"], " ", one["line"].to(str), class_name="chip"),
        rx.cond(one["field"] != "", rx.el.code(one["field"].to(str), dir="ltr")),
        rx.el.span(one["message"].to(str), dir="auto"),
        rx.cond(one["hint"] != "", rx.el.span(one["hint"].to(str), class_name="muted")),
    )


def _plan() -> rx.Component:
    return rx.cond(
        Builder.is_valid,
        rx.el.section(
            rx.el.div(
                rx.el.h2(_t["plan.title"]),
                rx.el.span(
                    rx.cond(
                        Builder.seconds,
                        rx.fragment(
                            _t["plan.expected"], " ", duration(None, None, Builder.seconds)
                        ),
                        _t["plan.not_measured"],
                    ),
                    class_name="muted",
                ),
                class_name="card-head",
            ),
            rx.cond(
                Builder.warnings.length() > 0,
                rx.el.ul(
                    rx.foreach(Builder.warnings, lambda text: rx.el.li(text, dir="auto")),
                    class_name="plan-warnings",
                    aria_label=_t["plan.warnings"],
                ),
            ),
            table(
                [
                    (_t["plan.stage"], ""),
                    (_t["plan.does"], ""),
                    (_t["plan.path"], ""),
                    (_t["column.rows"], "end"),
                    (_t["column.duration"], "end"),
                ],
                rx.foreach(Builder.plan, _plan_step),
                _t["plan.title"],
            ),
            class_name="card",
        ),
    )


def _plan_step(step: PlanStepView) -> rx.Component:
    return rx.el.tr(
        rx.el.td(step.stage, class_name="number"),
        rx.el.td(
            rx.el.strong(step.key, dir="ltr"),
            rx.el.div(step.title, class_name="muted", dir="ltr"),
            rx.el.details(
                rx.el.summary(_t["plan.details"]),
                rx.el.ul(
                    rx.foreach(step.details, lambda line: rx.el.li(line)),
                    class_name="plan-details",
                    dir="ltr",
                ),
            ),
            class_name="wide",
        ),
        rx.el.td(
            rx.cond(
                step.paths.length() > 0,
                rx.el.ul(
                    rx.foreach(step.paths, lambda line: rx.el.li(line)),
                    class_name="plan-details",
                    dir="ltr",
                ),
                rx.el.span(_t["plan.no_path"], class_name="muted"),
            ),
            class_name="wide",
        ),
        rx.el.td(number(step.rows), class_name="end"),
        rx.el.td(
            duration(None, None, step.seconds),
            rx.cond(
                step.runs > 0,
                rx.el.div(_t["plan.runs"], " ", step.runs.to(str), class_name="muted small-text"),
            ),
            class_name="end",
        ),
        key=step.key,
    )


def _conflict() -> rx.Component:
    return dialog(
        rx.el.div(
            rx.el.p(_t["builder.conflict_text"]),
            CodeDiff.create(
                before=Builder.theirs,
                after=Builder.mine,
                language="yaml",
                label=_t["builder.conflict"],
            ),
            class_name="dialog-body",
        ),
        rx.el.div(
            button(_t["builder.conflict_edit"], Builder.close_conflict),
            button(_t["builder.conflict_theirs"], Builder.discard),
            button(_t["builder.conflict_mine"], Builder.save_over, style="danger"),
            class_name="dialog-foot",
        ),
        is_open=Builder.theirs != "",
        title=_t["builder.conflict"],
        on_close=Builder.close_conflict,
        wide=True,
    )
