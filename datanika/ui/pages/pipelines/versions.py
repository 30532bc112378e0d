"""Versions of a pipeline: what each changed, and back to one of them."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.ui.components.dialogs import confirm
from datanika.ui.components.forms import button
from datanika.ui.components.frame import frame
from datanika.ui.components.permitted import may
from datanika.ui.components.pieces import table
from datanika.ui.pages.pipelines.head import pipeline_head
from datanika.ui.state.i18n import I18nState
from datanika.ui.state.pipeline_versions_state import PipelineVersionsState as Versions
from datanika.ui.views.pipelines import VersionRow
from datanika.ui.wrappers.code_editor import CodeDiff
from datanika.ui.wrappers.values import local_time

_t = I18nState.translations


def versions_page() -> rx.Component:
    return frame(
        pipeline_head("/versions"),
        rx.cond(
            Versions.versions.length() > 0,
            rx.fragment(_list(), _difference()),
        ),
        confirm(
            is_open=Versions.restoring > 0,
            title=_t["versions.restore"] + ": v" + Versions.restoring.to(str),
            text=_t["versions.restore_text"],
            action=_t["versions.restore"],
            on_confirm=Versions.restore,
            on_close=Versions.close_restore,
        ),
        active="/pipelines",
    )


def _list() -> rx.Component:
    return rx.el.section(
        table(
            [
                (_t["versions.version"], ""),
                (_t["versions.saved_by"], ""),
                (_t["versions.saved_at"], ""),
                (_t["column.steps"], "end"),
                (rx.el.span(_t["column.action"], class_name="visually-hidden"), ""),
            ],
            rx.foreach(Versions.versions, _row),
            _t["pipeline.versions"],
        ),
        rx.cond(
            Versions.has_more,
            rx.el.div(button(_t["paging.older"], Versions.show_more), class_name="pager"),
        ),
        class_name="card",
    )


def _row(version: VersionRow) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            rx.el.strong("v", version.number.to(str), dir="ltr"),
            " ",
            rx.cond(
                version.is_current,
                rx.el.span(_t["versions.current"], class_name="badge is-succeeded"),
            ),
        ),
        rx.el.td(
            rx.cond(
                version.author != "",
                rx.el.bdi(version.author),
                rx.el.span("–", class_name="muted"),
            )
        ),
        rx.el.td(local_time(version.created_at)),
        rx.el.td(version.steps, class_name="end number"),
        rx.el.td(
            rx.el.div(
                button(
                    _t["versions.show"],
                    Versions.show_change(version.number),
                    aria_label=_t["versions.show"] + ": v" + version.number.to(str),
                ),
                rx.cond(
                    may("pipeline:write") & ~version.is_current,
                    button(
                        _t["versions.restore"],
                        Versions.ask_restore(version.number),
                        aria_haspopup="dialog",
                        aria_label=_t["versions.restore"] + ": v" + version.number.to(str),
                    ),
                ),
                class_name="row end nowrap",
            ),
            class_name="end",
        ),
        key=version.number.to(str),
    )


def _difference() -> rx.Component:
    return rx.cond(
        Versions.newer > 0,
        rx.el.section(
            rx.el.div(
                rx.el.h2(_t["versions.difference"]),
                _select(_t["versions.older"], Versions.older, Versions.choose_older),
                rx.el.span("→", aria_hidden="true"),
                _select(_t["versions.newer"], Versions.newer, Versions.choose_newer),
                class_name="card-head",
            ),
            rx.cond(
                Versions.is_same,
                rx.el.p(_t["versions.same"], class_name="log-empty"),
                CodeDiff.create(
                    before=Versions.before,
                    after=Versions.after,
                    language="yaml",
                    label=_t["versions.difference"],
                ),
            ),
            class_name="card",
            id="difference",
        ),
    )


def _select(label: Any, value: Any, on_change: Any) -> rx.Component:
    return rx.el.select(
        rx.foreach(
            Versions.versions,
            lambda one: rx.el.option("v" + one.number.to(str), value=one.number.to(str)),
        ),
        value=value.to(str),
        on_change=on_change,
        aria_label=label,
        class_name="select",
    )
