"""The pipelines of the organisation, and a button that runs each."""

from __future__ import annotations

import reflex as rx

from datanika.ui.components.frame import frame
from datanika.ui.components.link import link
from datanika.ui.components.permitted import may
from datanika.ui.components.pieces import badge, empty, page_head, table
from datanika.ui.state.i18n import I18nState
from datanika.ui.state.pipeline_list_state import PipelineListState
from datanika.ui.views import PipelineRow
from datanika.ui.wrappers.values import local_time

_t = I18nState.translations


def pipelines_page() -> rx.Component:
    return frame(
        page_head(_t["pipelines.title"], _t["pipelines.text"]),
        rx.el.section(
            rx.cond(
                PipelineListState.is_empty,
                empty(
                    "workflow",
                    _t["pipelines.empty.title"],
                    _t["pipelines.empty.text"],
                    rx.el.code("POST /api/v1/pipelines"),
                ),
                table(
                    [
                        (_t["column.pipeline"], ""),
                        (_t["column.steps"], ""),
                        (_t["column.last_run"], ""),
                        (_t["column.started"], ""),
                        (rx.el.span(_t["column.action"], class_name="visually-hidden"), ""),
                    ],
                    rx.foreach(PipelineListState.pipelines, _row),
                    _t["pipelines.title"],
                ),
            ),
            class_name="card",
        ),
        active="/pipelines",
    )


def _row(pipeline: PipelineRow) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            rx.el.strong(pipeline.name),
            rx.el.div(pipeline.description, class_name="muted"),
            class_name="wide",
        ),
        rx.el.td(
            rx.el.div(
                rx.foreach(pipeline.steps, lambda key: rx.el.span(key, class_name="chip")),
                class_name="chips",
            ),
            class_name="wide",
        ),
        rx.el.td(
            rx.cond(
                pipeline.last_state != "",
                link(badge(pipeline.last_state), to=pipeline.last_href),
                rx.el.span("–", class_name="muted"),
            )
        ),
        rx.el.td(local_time(pipeline.last_at)),
        rx.el.td(
            rx.cond(
                may("run:trigger"),
                rx.el.button(
                    rx.icon("play", aria_hidden="true"),
                    _t["pipelines.run"],
                    on_click=PipelineListState.run_pipeline(pipeline.id),
                    class_name="button",
                    type="button",
                    aria_label=_t["pipelines.run"] + ": " + pipeline.name,
                ),
            ),
            class_name="end",
        ),
        key=pipeline.id.to(str),
    )
