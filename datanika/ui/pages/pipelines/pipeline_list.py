"""The pipelines of the organisation: how the last run went, when the next one starts."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.ui.components.dialogs import confirm
from datanika.ui.components.frame import frame
from datanika.ui.components.link import link
from datanika.ui.components.paging import pager
from datanika.ui.components.permitted import may
from datanika.ui.components.pieces import badge, empty, page_head, table
from datanika.ui.state.i18n import I18nState
from datanika.ui.state.pipeline_list_state import PipelineListState
from datanika.ui.views.pipelines import PipelineListRow
from datanika.ui.wrappers.values import local_time

_t = I18nState.translations


def pipelines_page() -> rx.Component:
    return frame(
        page_head(
            _t["pipelines.title"],
            _t["pipelines.text"],
            rx.cond(may("pipeline:write") & ~PipelineListState.is_empty, _new()),
        ),
        rx.el.section(
            rx.cond(
                PipelineListState.is_empty,
                empty(
                    "workflow",
                    _t["pipelines.empty.title"],
                    _t["pipelines.empty.text"],
                    _lesson(),
                    rx.cond(may("pipeline:write"), _new()),
                ),
                rx.fragment(_search(), _list(), pager(PipelineListState, by_time=False)),
            ),
            class_name="card",
        ),
        confirm(
            is_open=PipelineListState.deleting > 0,
            title=_t["pipelines.delete"] + ": " + PipelineListState.deleting_name,
            text=_t["pipelines.delete_text"],
            action=_t["pipelines.delete"],
            on_confirm=PipelineListState.delete_pipeline,
            on_close=PipelineListState.close_delete,
        ),
        active="/pipelines",
    )


def _new() -> rx.Component:
    return link(
        rx.icon("plus", aria_hidden="true"),
        _t["pipelines.new"],
        to="/pipelines/new",
        class_name="button primary",
    )


def _lesson() -> rx.Component:
    """What a pipeline is, as a picture in three words."""
    parts = (
        ("plug", _t["pipelines.empty.source"]),
        ("download", _t["pipelines.empty.load"]),
        ("file-code-2", _t["pipelines.empty.transform"]),
    )
    return rx.el.ol(
        *(
            rx.el.li(rx.icon(icon, aria_hidden="true"), rx.el.span(text), class_name="lesson-part")
            for icon, text in parts
        ),
        class_name="lesson",
    )


def _search() -> rx.Component:
    return rx.el.div(
        rx.el.input(
            type="search",
            placeholder=_t["pipelines.search"],
            aria_label=_t["pipelines.search"],
            default_value=PipelineListState.search,
            on_change=PipelineListState.find.debounce(250),
            class_name="input grow",
        ),
        class_name="toolbar",
    )


def _list() -> rx.Component:
    return rx.fragment(
        table(
            [
                (_t["column.pipeline"], ""),
                (_t["column.steps"], ""),
                (_t["column.last_run"], ""),
                (_t["pipelines.next_run"], ""),
                (rx.el.span(_t["column.action"], class_name="visually-hidden"), ""),
            ],
            rx.foreach(PipelineListState.pipelines, _row),
            _t["pipelines.title"],
        ),
        rx.cond(
            PipelineListState.pipelines.length() == 0,
            rx.el.p(_t["pipelines.none_match"], class_name="log-empty"),
        ),
    )


def _row(pipeline: PipelineListRow) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            link(rx.el.bdi(pipeline.name), to=pipeline.href, class_name="row-link"),
            rx.el.div(pipeline.description, class_name="muted", dir="auto"),
            class_name="wide",
        ),
        rx.el.td(
            rx.el.div(
                rx.foreach(pipeline.steps, lambda key: rx.el.span(key, class_name="chip")),
                rx.cond(
                    pipeline.more_steps > 0,
                    rx.el.span("+", pipeline.more_steps.to(str), class_name="chip", dir="ltr"),
                ),
                class_name="chips",
            ),
            class_name="wide",
        ),
        rx.el.td(
            rx.cond(
                pipeline.last_state != "",
                rx.fragment(
                    link(badge(pipeline.last_state), to=pipeline.last_href),
                    rx.el.div(local_time(pipeline.last_at), class_name="muted small-text"),
                ),
                rx.el.span("–", class_name="muted"),
            )
        ),
        rx.el.td(
            rx.cond(
                pipeline.is_paused,
                rx.el.span(
                    _t["pipelines.paused"],
                    class_name="badge is-warned",
                    title=pipeline.pause_reason,
                ),
                local_time(pipeline.next_at),
            )
        ),
        rx.el.td(_actions(pipeline), class_name="end"),
        key=pipeline.id.to(str),
    )


def _actions(pipeline: PipelineListRow) -> rx.Component:
    return rx.el.div(
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
        rx.cond(
            may("pipeline:write"),
            rx.cond(
                pipeline.is_paused,
                _icon_button(
                    "circle-play",
                    _t["pipelines.resume"] + ": " + pipeline.name,
                    PipelineListState.resume_pipeline(pipeline.id),
                ),
                _icon_button(
                    "circle-pause",
                    _t["pipelines.pause"] + ": " + pipeline.name,
                    PipelineListState.pause_pipeline(pipeline.id),
                ),
            ),
        ),
        rx.cond(
            may("pipeline:delete"),
            _icon_button(
                "trash-2",
                _t["pipelines.delete"] + ": " + pipeline.name,
                PipelineListState.ask_delete(pipeline.id),
                aria_haspopup="dialog",
            ),
        ),
        class_name="row end nowrap",
    )


def _icon_button(icon: str, label: rx.Var[str], on_click: object, **props: Any) -> rx.Component:
    return rx.el.button(
        rx.icon(icon, aria_hidden="true"),
        on_click=on_click,
        class_name="icon-button",
        type="button",
        aria_label=label,
        title=label,
        **props,
    )
