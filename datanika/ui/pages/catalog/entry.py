"""One table: columns, tests, freshness, rows, where it comes from, what depends on it."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.ui.components.forms import button
from datanika.ui.components.frame import api_path, frame
from datanika.ui.components.link import link
from datanika.ui.components.permitted import may
from datanika.ui.components.pieces import badge, table
from datanika.ui.pages.transformations.grid import grid
from datanika.ui.state.catalog_entry_state import CatalogEntryState
from datanika.ui.state.i18n import I18nState
from datanika.ui.views.catalog import (
    CHART_HEIGHT,
    CHART_WIDTH,
    ChangeView,
    CheckView,
    ColumnView,
    ImpactView,
)
from datanika.ui.wrappers.lineage import LineageGraph
from datanika.ui.wrappers.values import local_time, number

_t = I18nState.translations
_state = CatalogEntryState
_entry = CatalogEntryState.entry


def entry_page() -> rx.Component:
    return frame(
        _head(),
        rx.cond(
            _state.found,
            rx.fragment(
                _facts(),
                _columns(),
                rx.cond(_state.column != "", _impact()),
                _lineage(),
                rx.el.div(_tests(), _rows(), class_name="halves"),
                _changes(),
                rx.cond(may("connection:query"), _sample()),
            ),
        ),
        active="/catalog",
    )


def _head() -> rx.Component:
    return rx.el.div(
        rx.el.div(
            link(_t["nav.catalog"], to="/catalog", class_name="crumb"),
            rx.el.div(
                rx.el.h1(
                    rx.cond(
                        _state.found,
                        rx.el.bdi(
                            rx.el.span(_entry.schema_name, ".", class_name="muted"), _entry.name
                        ),
                        _t["nav.catalog"],
                    )
                ),
                rx.cond(_entry.kind != "", rx.el.span(_entry.kind, class_name="chip")),
                rx.foreach(_entry.tags, lambda tag: rx.el.span(tag, class_name="chip")),
                class_name="title-line",
            ),
            rx.cond(_entry.description != "", rx.el.p(_entry.description)),
        ),
        rx.el.div(
            rx.cond(
                _entry.transformation_href != "",
                link(
                    rx.icon("file-code-2", aria_hidden="true"),
                    _t["catalog.open_code"],
                    to=_entry.transformation_href,
                    class_name="button",
                ),
            ),
            class_name="actions",
        ),
        class_name="page-head",
    )


def _facts() -> rx.Component:
    facts: tuple[tuple[Any, Any], ...] = (
        (
            _t["catalog.refreshed"],
            rx.fragment(
                local_time(_entry.refreshed_at),
                rx.cond(_entry.last_state != "", badge(_entry.last_state)),
            ),
        ),
        (_t["column.rows"], number(_entry.rows)),
        (_t["catalog.connection"], _entry.connection),
        (
            _t["catalog.made_by"],
            rx.cond(
                _entry.pipeline_href != "",
                rx.fragment(
                    link(_entry.pipeline, to=_entry.pipeline_href),
                    rx.cond(_entry.step != "", rx.el.span(" · ", _entry.step, class_name="muted")),
                ),
                "–",
            ),
        ),
        (_t["catalog.owner"], rx.cond(_entry.owner != "", _entry.owner, "–")),
    )
    return rx.el.dl(
        *(rx.el.div(rx.el.dt(name), rx.el.dd(value, class_name="fact")) for name, value in facts),
        class_name="card facts entry-facts",
    )


def _columns() -> rx.Component:
    return rx.el.section(
        rx.el.div(
            rx.el.h2(_t["catalog.columns"]),
            rx.el.span(_t["catalog.columns_text"], class_name="muted"),
            class_name="card-head",
        ),
        rx.cond(
            _state.columns.length() > 0,
            table(
                [
                    (_t["column.name"], ""),
                    (_t["catalog.type"], ""),
                    (_t["transformation.description"], ""),
                    (_t["transformation.tests"], ""),
                    (_t["catalog.made"], ""),
                ],
                rx.foreach(_state.columns, _column),
                _t["catalog.columns"],
            ),
            rx.el.p(_t["catalog.no_columns"], class_name="log-empty"),
        ),
        class_name="card",
        id="columns",
    )


def _column(column: ColumnView) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            rx.el.button(
                column.name,
                type="button",
                on_click=_state.choose_column(column.name),
                aria_pressed=_state.column == column.name,
                class_name="link-button mono",
                dir="ltr",
            )
        ),
        rx.el.td(
            rx.el.span(column.data_type, dir="ltr", class_name="mono"),
            rx.cond(~column.nullable, rx.el.span("NOT NULL", class_name="chip spaced")),
        ),
        rx.el.td(column.description, class_name="wide"),
        rx.el.td(
            rx.el.div(
                rx.foreach(column.tests, lambda one: rx.el.span(one, class_name="chip")),
                class_name="chips",
            )
        ),
        rx.el.td(rx.el.span(column.made, title=column.reason), class_name="muted"),
        key=column.name,
        class_name=rx.cond(_state.column == column.name, "is-chosen", ""),
    )


def _impact() -> rx.Component:
    return rx.el.section(
        rx.el.div(
            rx.el.h2(_t["catalog.impact"], " ", rx.el.bdi(_state.column, class_name="mono")),
            rx.el.div(
                button(_t["dialog.close"], _state.choose_column("")), class_name="row end grow"
            ),
            class_name="card-head",
        ),
        rx.cond(
            _state.impact.length() > 0,
            table(
                [
                    (_t["column.name"], ""),
                    (_t["column.kind"], ""),
                    (_t["catalog.impact_values"], ""),
                    (_t["catalog.impact_rows"], ""),
                    (_t["catalog.impact_unknown"], ""),
                ],
                rx.foreach(_state.impact, _impacted),
                _t["catalog.impact"],
            ),
            rx.el.p(_t["catalog.impact_none"], class_name="log-empty"),
        ),
        rx.cond(_state.is_impact_cut, rx.el.p(_t["lineage.more"], class_name="log-empty")),
        class_name="card",
        id="impact",
    )


def _impacted(one: ImpactView) -> rx.Component:
    return rx.el.tr(
        rx.el.td(link(rx.el.bdi(one.name), to=one.href, class_name="row-link")),
        rx.el.td(one.kind, class_name="muted"),
        rx.el.td(rx.el.bdi(one.columns), class_name="mono wide"),
        rx.el.td(rx.cond(one.rows, "✓", "–")),
        rx.el.td(rx.el.bdi(one.unknown), class_name="mono wide"),
        key=one.href,
    )


def _lineage() -> rx.Component:
    return rx.el.section(
        rx.el.div(
            rx.el.h2(_t["nav.lineage"]),
            rx.el.span(_t["catalog.lineage_text"], class_name="muted"),
            class_name="card-head",
        ),
        LineageGraph.create(
            key=_entry.id.to(str),
            api=api_path("/api/v1"),
            entry_id=_entry.id,
            column=_state.column,
            connections=_state.connections,
            texts=_t,
            locale=I18nState.locale,
            on_column=_state.choose_column,
        ),
        class_name="card",
        id="lineage",
    )


def _tests() -> rx.Component:
    return rx.el.section(
        rx.el.div(rx.el.h2(_t["transformation.tests"]), class_name="card-head"),
        rx.cond(
            _state.tests.length() > 0,
            rx.el.ul(rx.foreach(_state.tests, _test), class_name="checks"),
            rx.el.p(_t["catalog.no_tests"], class_name="log-empty"),
        ),
        class_name="card",
        id="tests",
    )


def _test(test: CheckView) -> rx.Component:
    return rx.el.li(
        badge(test.state),
        rx.el.span(
            rx.el.bdi(test.name),
            rx.cond(test.message != "", rx.el.span(test.message, class_name="error", dir="auto")),
            class_name="grow",
        ),
        rx.el.span(
            link(test.run, to=test.href),
            " ",
            local_time(test.at),
            class_name="muted",
        ),
        key=test.name,
    )


def _rows() -> rx.Component:
    chart = _state.chart
    return rx.el.section(
        rx.el.div(rx.el.h2(_t["catalog.rows_over_time"]), class_name="card-head"),
        rx.cond(
            chart.points != "",
            rx.el.div(
                rx.el.svg(
                    rx.el.svg.polygon(points=chart.area, class_name="chart-area"),
                    rx.el.svg.polyline(points=chart.points, class_name="chart-line"),
                    view_box=f"0 0 {CHART_WIDTH} {CHART_HEIGHT}",
                    preserve_aspect_ratio="none",
                    class_name="chart",
                    aria_hidden="true",
                ),
                rx.el.p(
                    number(chart.first),
                    " → ",
                    number(chart.last),
                    rx.el.span(
                        " · ", number(chart.least), " – ", number(chart.most), class_name="muted"
                    ),
                    dir="ltr",
                ),
                class_name="chart-box",
            ),
            rx.el.p(_t["catalog.no_rows_yet"], class_name="log-empty"),
        ),
        class_name="card",
    )


def _changes() -> rx.Component:
    return rx.el.section(
        rx.el.div(rx.el.h2(_t["catalog.changes"]), class_name="card-head"),
        rx.cond(
            _state.changes.length() > 0,
            table(
                [
                    (_t["transformations.changed"], ""),
                    (_t["catalog.column"], ""),
                    (_t["catalog.change"], ""),
                    (_t["catalog.before"], ""),
                    (_t["catalog.after"], ""),
                    (_t["column.run"], ""),
                ],
                rx.foreach(_state.changes, _change),
                _t["catalog.changes"],
            ),
            rx.el.p(_t["catalog.no_changes"], class_name="log-empty"),
        ),
        class_name="card",
    )


def _change(change: ChangeView) -> rx.Component:
    return rx.el.tr(
        rx.el.td(local_time(change.at)),
        rx.el.td(rx.el.bdi(change.column), class_name="mono"),
        rx.el.td(change.change),
        rx.el.td(rx.el.bdi(change.before), class_name="mono"),
        rx.el.td(rx.el.bdi(change.after), class_name="mono"),
        rx.el.td(link(change.run, to=change.href)),
        key=change.key,
    )


def _sample() -> rx.Component:
    return rx.el.section(
        rx.el.div(
            rx.el.h2(_t["catalog.sample"]),
            rx.el.div(
                rx.el.button(
                    rx.cond(
                        _state.is_sampling,
                        rx.el.span(class_name="spinner small", aria_hidden="true"),
                        rx.icon("eye", aria_hidden="true"),
                    ),
                    _t["catalog.take_sample"],
                    type="button",
                    on_click=_state.take_sample,
                    disabled=_state.is_sampling,
                    class_name="button",
                ),
                class_name="row end grow",
            ),
            class_name="card-head",
        ),
        rx.cond(
            _state.failure != "",
            rx.el.div(rx.el.pre(_state.failure), role="alert", class_name="notice bad inner"),
        ),
        grid(_state.sample, _t["catalog.sample"]),
        class_name="card",
        id="sample",
    )
