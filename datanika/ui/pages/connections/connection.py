"""One connection: overview, what is in it, queries, its settings, its credential."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.ui.components.dialogs import confirm, dialog
from datanika.ui.components.forms import button, submit, text_field
from datanika.ui.components.frame import api_path, frame
from datanika.ui.components.link import link
from datanika.ui.components.permitted import may
from datanika.ui.connection_labels import LABELS
from datanika.ui.pages.connections.connection_list import last_test, roles
from datanika.ui.state.connection_page_state import ConnectionPageState
from datanika.ui.state.i18n import I18nState
from datanika.ui.views.connections import HistoryRow, SettingRow, UseRow
from datanika.ui.wrappers.connection_browser import ConnectionBrowser, ConnectionQuery
from datanika.ui.wrappers.connection_form import ConnectionEdit, ConnectionTest
from datanika.ui.wrappers.kinds import kind_icon
from datanika.ui.wrappers.values import local_time

_t = I18nState.translations
_connection = ConnectionPageState.connection


def connection_page() -> rx.Component:
    return frame(
        rx.cond(
            ConnectionPageState.found,
            rx.fragment(_head(), _tabs(), _panel(), *_dialogs()),
            rx.el.h1(_t["connections.title"], class_name="visually-hidden"),
        ),
        active="/connections",
    )


def _head() -> rx.Component:
    return rx.el.div(
        rx.el.div(
            link(_t["connections.title"], to="/connections", class_name="crumb"),
            rx.el.div(
                kind_icon(_connection.kind, large=True),
                rx.el.div(
                    rx.el.h1(_connection.name, dir="auto"),
                    rx.el.p(
                        _connection.kind_title,
                        rx.cond(_connection.description != "", " · " + _connection.description, ""),
                    ),
                ),
                rx.cond(
                    ~_connection.is_verified,
                    rx.el.span(
                        _t["connection.unverified"],
                        title=_t["connection.unverified_text"],
                        class_name="mark unverified",
                    ),
                ),
                class_name="named",
            ),
        ),
        rx.el.div(
            rx.cond(
                may("connection:write"),
                button(
                    _t["connection.copy"],
                    ConnectionPageState.ask_copy,
                    aria_haspopup="dialog",
                    icon="copy",
                ),
            ),
            rx.cond(
                may("connection:delete"),
                button(
                    _t["connection.delete"],
                    ConnectionPageState.ask_delete,
                    aria_haspopup="dialog",
                    icon="trash-2",
                    style="danger",
                ),
            ),
            class_name="actions",
        ),
        class_name="page-head",
    )


def _tabs() -> rx.Component:
    def tab(name: str, text: Any) -> rx.Component:
        return rx.el.button(
            text,
            type="button",
            role="tab",
            id=f"tab-{name}",
            aria_controls="connection-panel",
            aria_selected=(ConnectionPageState.tab == name),
            on_click=ConnectionPageState.show_tab(name),
        )

    write = may("connection:write")
    return rx.el.div(
        tab("overview", _t["connection.overview"]),
        rx.cond(may("connection:test"), tab("browse", _t["connection.browse"])),
        rx.cond(
            may("connection:query") & _connection.has_sql, tab("query", _t["connection.query"])
        ),
        rx.cond(write, tab("edit", _t["connection.edit"])),
        rx.cond(write & _connection.has_secrets, tab("rotate", _t["connection.rotate"])),
        role="tablist",
        aria_label=_t["connection.sections"],
        class_name="tabs",
    )


def _panel() -> rx.Component:
    island = {
        "base": api_path("/api/v1"),
        "texts": _t,
        "connection_id": _connection.id,
    }
    form = {**island, "labels": LABELS, "on_saved": ConnectionPageState.changed}
    write = may("connection:write")
    return rx.el.div(
        rx.match(
            ConnectionPageState.tab,
            (
                "browse",
                rx.cond(
                    may("connection:test"),
                    ConnectionBrowser.create(
                        **island, locale=I18nState.locale, may_preview=may("connection:query")
                    ),
                ),
            ),
            (
                "query",
                rx.cond(
                    may("connection:query"),
                    ConnectionQuery.create(**island, locale=I18nState.locale),
                ),
            ),
            ("edit", rx.cond(write, ConnectionEdit.create(**form, rotate=False))),
            ("rotate", rx.cond(write, ConnectionEdit.create(**form, rotate=True))),
            _overview(island),
        ),
        id="connection-panel",
        role="tabpanel",
        aria_labelledby="tab-" + ConnectionPageState.tab,
    )


def _overview(island: dict[str, Any]) -> rx.Component:
    return rx.el.div(
        rx.el.div(
            rx.el.section(
                rx.el.div(rx.el.h2(_t["connection.settings"]), class_name="card-head"),
                rx.el.dl(rx.foreach(ConnectionPageState.settings, _setting), class_name="settings"),
                class_name="card",
            ),
            rx.cond(may("audit:read"), _history()),
            class_name="stack",
        ),
        rx.el.div(
            rx.el.section(
                rx.el.div(rx.el.h2(_t["connections.last_test"]), class_name="card-head"),
                rx.el.div(
                    last_test(_connection.test, _connection.test_code, _connection.tested_at),
                    rx.cond(
                        may("connection:test"),
                        ConnectionTest.create(**island, on_done=ConnectionPageState.tested),
                    ),
                    class_name="form",
                ),
                class_name="card",
            ),
            _uses(),
            class_name="stack",
        ),
        class_name="split",
    )


def _setting(row: rx.Var[SettingRow]) -> rx.Component:
    secret = rx.match(
        row.secret,
        ("set", rx.el.span("•••••• ", _t["connection.secret_set"], class_name="muted")),
        ("reference", rx.el.span(_t["connection.secret_reference"], class_name="muted")),
        rx.el.span(_t["connection.secret_unset"], class_name="muted"),
    )
    return rx.el.div(
        rx.el.dt(rx.cond(row.label_key != "", _t[row.label_key], row.label)),
        rx.el.dd(rx.cond(row.secret == "", rx.el.bdi(row.value), secret)),
        key=row.label,
    )


def _uses() -> rx.Component:
    return rx.el.section(
        rx.el.div(
            rx.el.h2(_t["connections.used_by"]),
            rx.el.span(ConnectionPageState.uses.length(), class_name="muted number"),
            class_name="card-head",
        ),
        rx.cond(
            ConnectionPageState.uses.length() == 0,
            rx.el.p(_t["connection.unused"], class_name="muted none"),
            rx.el.ul(rx.foreach(ConnectionPageState.uses, _use), class_name="uses"),
        ),
        class_name="card",
    )


def _use(row: rx.Var[UseRow]) -> rx.Component:
    return rx.el.li(
        rx.cond(
            row.kind == "pipeline",
            rx.icon("workflow", aria_hidden="true"),
            rx.icon("file-code-2", aria_hidden="true"),
        ),
        link(row.name, to=row.href),
        roles(row.is_source, row.is_destination),
        key=row.href,
    )


def _history() -> rx.Component:
    return rx.el.section(
        rx.el.div(rx.el.h2(_t["connection.history"]), class_name="card-head"),
        rx.el.ol(rx.foreach(ConnectionPageState.history, _event), class_name="history"),
        class_name="card",
    )


def _event(row: rx.Var[HistoryRow]) -> rx.Component:
    return rx.el.li(
        rx.el.code(row.action),
        rx.el.span(row.actor, class_name="who-did"),
        rx.el.span(local_time(row.at), class_name="muted"),
        key=row.id.to(str),
    )


def _dialogs() -> tuple[rx.Component, rx.Component, rx.Component]:
    state = ConnectionPageState
    is_used = state.uses.length() > 0
    return (
        confirm(
            is_open=state.asks_delete & ~is_used,
            title=_t["connection.delete_title"],
            text=_t["connection.delete_text"],
            action=_t["connection.delete"],
            on_confirm=state.delete,
            on_close=state.close,
        ),
        dialog(
            rx.el.div(
                rx.el.p(_t["connection.in_use_text"]),
                rx.el.ul(rx.foreach(state.uses, _use), class_name="uses"),
                class_name="dialog-body",
            ),
            rx.el.div(button(_t["dialog.close"], state.close), class_name="dialog-foot"),
            is_open=state.asks_delete & is_used,
            title=_t["connection.in_use_title"],
            on_close=state.close,
        ),
        dialog(
            rx.el.form(
                rx.el.div(
                    rx.el.p(_t["connection.copy_text"], class_name="muted"),
                    text_field(
                        _t["column.name"],
                        "name",
                        default_value=_connection.name + " (2)",
                        required=True,
                        max_length=200,
                    ),
                    class_name="dialog-body",
                ),
                rx.el.div(
                    button(_t["dialog.cancel"], state.close),
                    submit(_t["connection.copy"]),
                    class_name="dialog-foot",
                ),
                on_submit=state.copy_connection,
                reset_on_submit=False,
            ),
            is_open=state.asks_copy,
            title=_t["connection.copy_title"],
            on_close=state.close,
        ),
    )
