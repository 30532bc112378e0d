"""The list of connections; for a new organisation the first steps."""

from __future__ import annotations

import reflex as rx

from datanika.contracts.catalog import connector_kinds
from datanika.ui.components.first_steps import first_steps
from datanika.ui.components.frame import frame
from datanika.ui.components.link import link
from datanika.ui.components.paging import pager
from datanika.ui.components.permitted import may
from datanika.ui.components.pieces import page_head, table
from datanika.ui.state.connection_list_state import ConnectionListState
from datanika.ui.state.i18n import I18nState
from datanika.ui.views.connections import ConnectionRow
from datanika.ui.wrappers.kinds import kind_icon
from datanika.ui.wrappers.values import local_time

_t = I18nState.translations


def connections_page() -> rx.Component:
    return frame(
        page_head(
            _t["connections.title"],
            _t["connections.text"],
            rx.el.div(
                link(
                    rx.icon("files", aria_hidden="true"),
                    _t["files.title"],
                    to="/connections/files",
                    class_name="button",
                ),
                rx.cond(
                    may("connection:write"),
                    link(
                        rx.icon("plus", aria_hidden="true"),
                        _t["connections.new"],
                        to="/connections/new",
                        class_name="button primary",
                    ),
                ),
                class_name="actions",
            ),
        ),
        rx.cond(
            ConnectionListState.is_empty,
            first_steps(),
            rx.cond(ConnectionListState.is_loaded, _list()),
        ),
        active="/connections",
    )


def _list() -> rx.Component:
    return rx.el.section(
        rx.el.div(
            rx.el.input(
                type="search",
                default_value=ConnectionListState.search,
                on_change=ConnectionListState.search_for.debounce(300),
                placeholder=_t["connections.search"],
                aria_label=_t["connections.search"],
                class_name="input grow",
            ),
            rx.el.select(
                rx.el.option(_t["connections.all_kinds"], value=""),
                *(rx.el.option(kind.title, value=kind.kind) for kind in connector_kinds().values()),
                value=ConnectionListState.kind_filter,
                on_change=ConnectionListState.filter_by_kind,
                aria_label=_t["connections.all_kinds"],
                class_name="select",
            ),
            class_name="toolbar",
        ),
        rx.cond(
            ConnectionListState.connections.length() == 0,
            rx.el.p(_t["connections.none_match"], class_name="muted none"),
            table(
                [
                    (_t["column.name"], ""),
                    (_t["connections.role"], ""),
                    (_t["connections.last_test"], ""),
                    (_t["connections.used_by"], "end"),
                ],
                rx.foreach(ConnectionListState.connections, _row),
                _t["connections.title"],
            ),
        ),
        pager(ConnectionListState, by_time=False),
        class_name="card",
    )


def _row(row: rx.Var[ConnectionRow]) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            rx.el.div(
                kind_icon(row.kind),
                rx.el.div(
                    link(row.name, to=row.href, class_name="row-link"),
                    rx.el.div(
                        row.kind_title,
                        rx.cond(row.description != "", " · " + row.description, ""),
                        class_name="muted small",
                    ),
                ),
                class_name="named",
            ),
            class_name="wide",
        ),
        rx.el.td(roles(row.is_source, row.is_destination)),
        rx.el.td(last_test(row.test, row.test_code, row.tested_at)),
        rx.el.td(rx.el.span(row.used_by, class_name="number"), class_name="end"),
        key=row.id.to(str),
    )


def roles(is_source: rx.Var[bool], is_destination: rx.Var[bool]) -> rx.Component:
    """Whether data comes from it, goes to it, or both."""
    return rx.el.span(
        rx.cond(is_source, rx.el.span(_t["connection.source"], class_name="mark source")),
        rx.cond(
            is_destination, rx.el.span(_t["connection.destination"], class_name="mark destination")
        ),
        class_name="marks",
    )


def last_test(test: rx.Var[str], code: rx.Var[str], at: rx.Var[str | None]) -> rx.Component:
    """How the last test ended, and when."""
    return rx.match(
        test,
        (
            "ok",
            rx.el.span(
                rx.el.span(
                    rx.icon("circle-check", aria_hidden="true"),
                    _t["connection.works"],
                    class_name="tested ok",
                ),
                rx.el.span(local_time(at), class_name="muted small"),
                class_name="test-cell",
            ),
        ),
        (
            "failed",
            rx.el.span(
                rx.el.span(
                    rx.icon("circle-alert", aria_hidden="true"),
                    _t["connection.fails"],
                    class_name="tested bad",
                ),
                rx.el.span(local_time(at), " · ", rx.el.code(code), class_name="muted small"),
                class_name="test-cell",
            ),
        ),
        rx.el.span(_t["connection.untested"], class_name="muted"),
    )
