"""What the organisation wrote for dbt: search, new, import and export."""

from __future__ import annotations

import reflex as rx

from datanika.contracts.enums import TransformationKind
from datanika.ui.components.dialogs import dialog
from datanika.ui.components.forms import button, select_field, submit, text_field
from datanika.ui.components.frame import api_path, frame
from datanika.ui.components.link import link
from datanika.ui.components.paging import pager
from datanika.ui.components.permitted import may
from datanika.ui.components.pieces import empty, page_head, table
from datanika.ui.state.i18n import I18nState
from datanika.ui.state.transformation_list_state import TransformationListState
from datanika.ui.views.transformations import TransformationRow
from datanika.ui.wrappers.project_transfer import ProjectImport
from datanika.ui.wrappers.values import local_time, number

_t = I18nState.translations
_state = TransformationListState


def transformations_page() -> rx.Component:
    return frame(
        page_head(
            _t["transformations.title"],
            _t["transformations.text"],
            rx.el.div(
                rx.cond(
                    may("transformation:import") & _state.has_destination,
                    button(
                        _t["project.import"],
                        _state.open_dialog("import"),
                        aria_haspopup="dialog",
                        icon="upload",
                    ),
                ),
                rx.cond(may("transformation:export") & _state.has_destination, _export()),
                rx.cond(
                    may("transformation:write") & _state.has_destination,
                    button(
                        _t["transformations.new"],
                        _state.open_dialog("new"),
                        aria_haspopup="dialog",
                        icon="plus",
                        style="primary",
                    ),
                ),
                class_name="actions",
            ),
        ),
        rx.cond(_state.is_loaded, _list()),
        _new_dialog(),
        _import_dialog(),
        active="/transformations",
    )


def _list() -> rx.Component:
    return rx.el.section(
        rx.cond(
            _state.is_empty,
            rx.cond(
                _state.has_destination,
                empty(
                    "file-code-2",
                    _t["transformations.empty.title"],
                    _t["transformations.empty.text"],
                    rx.cond(
                        may("transformation:write"),
                        button(
                            _t["transformations.new"],
                            _state.open_dialog("new"),
                            aria_haspopup="dialog",
                            icon="plus",
                            style="primary",
                        ),
                    ),
                ),
                empty(
                    "database",
                    _t["transformations.no_destination.title"],
                    _t["transformations.no_destination.text"],
                    link(_t["nav.connections"], to="/connections", class_name="button primary"),
                ),
            ),
            rx.fragment(
                _filter(),
                table(
                    [
                        (_t["column.name"], ""),
                        (_t["column.kind"], ""),
                        (_t["project.destination"], ""),
                        (_t["transformation.tags"], ""),
                        (_t["transformation.tests"], "end"),
                        (_t["transformations.changed"], ""),
                    ],
                    rx.foreach(_state.transformations, _row),
                    _t["transformations.title"],
                ),
                rx.cond(
                    _state.transformations.length() == 0,
                    rx.el.p(_t["transformations.none_match"], class_name="log-empty"),
                ),
                pager(_state, by_time=False),
            ),
        ),
        class_name="card",
    )


def _filter() -> rx.Component:
    return rx.el.form(
        rx.el.input(
            name="search",
            type="search",
            default_value=_state.search,
            placeholder=_t["transformations.search"],
            aria_label=_t["transformations.search"],
            class_name="input grow",
        ),
        rx.el.select(
            rx.el.option(_t["transformations.all_kinds"], value=""),
            *(rx.el.option(kind.value, value=kind.value) for kind in TransformationKind),
            name="kind",
            default_value=_state.kind,
            aria_label=_t["column.kind"],
            class_name="select",
        ),
        rx.el.select(
            rx.el.option(_t["transformations.all_destinations"], value=""),
            rx.foreach(_state.destinations, _destination_option),
            name="destination",
            default_value=_state.destination,
            aria_label=_t["project.destination"],
            class_name="select",
        ),
        rx.el.button(_t["transformations.find"], type="submit", class_name="button"),
        on_submit=_state.filter_transformations,
        reset_on_submit=False,
        role="search",
        class_name="toolbar",
    )


def _destination_option(one: rx.Var[dict[str, str]]) -> rx.Component:
    return rx.el.option(one["name"], value=one["id"])


def _row(row: TransformationRow) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            link(rx.el.bdi(row.name), to=row.href, class_name="row-link"),
            rx.cond(~row.enabled, rx.el.span(_t["transformation.disabled"], class_name="chip")),
            rx.cond(row.description != "", rx.el.div(row.description, class_name="muted")),
            class_name="wide",
        ),
        rx.el.td(
            row.kind,
            rx.cond(
                row.materialization != "",
                rx.el.span(row.materialization, class_name="chip spaced"),
            ),
        ),
        rx.el.td(row.destination, class_name="muted"),
        rx.el.td(
            rx.el.div(
                rx.foreach(row.tags, lambda tag: rx.el.span(tag, class_name="chip")),
                class_name="chips",
            )
        ),
        rx.el.td(number(row.tests), class_name="end"),
        rx.el.td(local_time(row.updated_at)),
        key=row.id.to(str),
    )


def _export() -> rx.Component:
    """A zip for each destination; the browser asks the API for it."""
    return rx.el.details(
        rx.el.summary(
            rx.icon("download", aria_hidden="true"), _t["project.export"], class_name="button"
        ),
        rx.el.div(
            rx.foreach(
                _state.destinations,
                lambda one: link(
                    one["name"],
                    to=rx.Var.create(api_path("/api/v1/projects/export?destination_id="))
                    + one["id"].to(str),
                    # No page of the application: the browser's own way.
                    reload_document=True,
                    download=True,
                ),
            ),
            class_name="menu",
        ),
        class_name="menu-button",
    )


def _new_dialog() -> rx.Component:
    kinds = [(kind.value, kind.value) for kind in TransformationKind]
    return dialog(
        rx.el.form(
            rx.el.div(
                _refusal(),
                text_field(
                    _t["column.name"],
                    "name",
                    help=_t["transformation.name_help"],
                    required=True,
                    pattern="[a-z][a-z0-9_]*",
                    max_length=63,
                    placeholder="stg_orders",
                    auto_complete="off",
                ),
                select_field(
                    _t["column.kind"],
                    "kind",
                    kinds,
                    help=_t["transformation.kind_help"],
                    default_value="model",
                ),
                select_field(
                    _t["project.destination"],
                    "destination",
                    rx.foreach(_state.destinations, _destination_option),
                ),
                class_name="dialog-body",
            ),
            rx.el.div(
                button(_t["dialog.cancel"], _state.close_dialog),
                submit(_t["transformations.create"]),
                class_name="dialog-foot",
            ),
            on_submit=_state.create_transformation,
            reset_on_submit=False,
        ),
        is_open=_state.dialog == "new",
        title=_t["transformations.new"],
        on_close=_state.close_dialog,
    )


def _refusal() -> rx.Component:
    """Behind the dialog, the frame's own notice cannot be read."""
    return rx.cond(
        _state.error != "",
        rx.el.p(_t[_state.error], " ", _state.error_detail, class_name="wrong", role="alert"),
    )


def _import_dialog() -> rx.Component:
    return dialog(
        ProjectImport.create(
            api=api_path("/api/v1"),
            destinations=_state.destinations,
            texts=_t,
            on_done=_state.load_imported,
        ),
        is_open=_state.dialog == "import",
        title=_t["project.import"],
        on_close=_state.close_dialog,
        wide=True,
    )
