"""The catalog: every table and view that a run made, and a search over them."""

from __future__ import annotations

import reflex as rx

from datanika.ui.components.frame import frame
from datanika.ui.components.link import link
from datanika.ui.components.paging import pager
from datanika.ui.components.pieces import empty, page_head, table
from datanika.ui.state.catalog_list_state import CatalogListState
from datanika.ui.state.i18n import I18nState
from datanika.ui.views.catalog import EntryRow
from datanika.ui.wrappers.values import local_time, number

_t = I18nState.translations
_state = CatalogListState


def catalog_page() -> rx.Component:
    return frame(
        page_head(
            _t["catalog.title"],
            _t["catalog.text"],
            link(
                rx.icon("git-fork", aria_hidden="true"),
                _t["nav.lineage"],
                to="/lineage",
                class_name="button",
            ),
        ),
        rx.cond(
            _state.is_loaded,
            rx.el.section(
                rx.cond(
                    _state.is_empty,
                    empty(
                        "table-2",
                        _t["catalog.empty.title"],
                        _t["catalog.empty.text"],
                        link(_t["runs.empty.action"], to="/pipelines", class_name="button primary"),
                    ),
                    _found(),
                ),
                class_name="card",
            ),
        ),
        active="/catalog",
    )


def _found() -> rx.Component:
    return rx.fragment(
        _filter(),
        table(
            [
                (_t["column.name"], ""),
                (_t["column.kind"], ""),
                (_t["catalog.connection"], ""),
                (_t["catalog.columns"], "end"),
                (_t["column.rows"], "end"),
                (_t["catalog.refreshed"], ""),
            ],
            rx.foreach(_state.entries, _row),
            _t["catalog.title"],
        ),
        rx.cond(
            _state.entries.length() == 0,
            rx.el.p(_t["catalog.none_match"], class_name="log-empty"),
        ),
        pager(_state, by_time=False),
    )


def _filter() -> rx.Component:
    return rx.el.form(
        rx.el.input(
            name="search",
            type="search",
            default_value=_state.search,
            placeholder=_t["catalog.search"],
            aria_label=_t["catalog.search"],
            class_name="input grow",
        ),
        rx.el.select(
            rx.el.option(_t["catalog.all_schemas"], value=""),
            rx.foreach(_state.schemas, lambda one: rx.el.option(one, value=one)),
            name="schema",
            default_value=_state.schema_name,
            aria_label=_t["catalog.schema"],
            class_name="select",
        ),
        rx.el.select(
            rx.el.option(_t["transformations.all_kinds"], value=""),
            rx.foreach(_state.kinds, lambda one: rx.el.option(one, value=one)),
            name="kind",
            default_value=_state.kind,
            aria_label=_t["column.kind"],
            class_name="select",
        ),
        rx.el.button(_t["transformations.find"], type="submit", class_name="button"),
        on_submit=_state.filter_catalog,
        reset_on_submit=False,
        role="search",
        class_name="toolbar",
    )


def _row(row: EntryRow) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            link(
                rx.el.bdi(rx.el.span(row.schema_name, ".", class_name="muted"), row.name),
                to=row.href,
                class_name="row-link",
            ),
            rx.cond(
                row.match != "",
                rx.el.div(_t["catalog.columns"], ": ", rx.el.bdi(row.match), class_name="muted"),
            ),
            class_name="wide",
        ),
        rx.el.td(row.kind, class_name="muted"),
        rx.el.td(row.connection, class_name="muted"),
        rx.el.td(number(row.columns), class_name="end"),
        rx.el.td(number(row.rows), class_name="end"),
        rx.el.td(local_time(row.refreshed_at)),
        key=row.id.to(str),
    )
