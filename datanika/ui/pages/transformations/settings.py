"""What is said of a transformation beside its code: how it is built, tests, documentation."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.contracts.enums import Materialization
from datanika.ui.components.forms import button, check_field, field, text_field
from datanika.ui.components.permitted import may
from datanika.ui.state.i18n import I18nState
from datanika.ui.state.transformation_state import TransformationState
from datanika.ui.views.transformations import ColumnRow
from datanika.ui.wrappers.code_editor import CodeEditor

_t = I18nState.translations
_state = TransformationState
_it = TransformationState.transformation
_STRATEGIES = ("append", "delete+insert", "merge", "microbatch")
_ON_CHANGE = ("ignore", "fail", "append_new_columns", "sync_all_columns")


def settings_form() -> rx.Component:
    """Inside of the editor's form."""
    return rx.el.fieldset(
        rx.el.legend(_t["transformation.settings"], class_name="visually-hidden"),
        _build(),
        rx.cond(_it.is_relation, _columns()),
        _further(),
        disabled=~may("transformation:write"),
        class_name="stack wide-gap bare",
    )


def _build() -> rx.Component:
    return rx.el.section(
        rx.el.div(rx.el.h2(_t["transformation.settings"]), class_name="card-head"),
        rx.el.div(
            rx.cond(_it.kind == "model", _materialization()),
            rx.cond(
                _it.is_relation,
                text_field(
                    _t["transformation.schema"],
                    "target_schema",
                    default_value=_it.target_schema,
                    placeholder="marts",
                ),
            ),
            rx.cond(
                (_state.materialization == "incremental") | (_it.kind == "snapshot"),
                text_field(
                    _t["transformation.unique_key"],
                    "unique_key",
                    help=_t["transformation.comma"],
                    default_value=_it.unique_key,
                ),
            ),
            rx.cond(
                (_it.kind == "model") & (_state.materialization == "incremental"), _incremental()
            ),
            field(
                _t["transformation.description"],
                rx.el.textarea(
                    id="description",
                    name="description",
                    default_value=_it.description,
                    class_name="prose",
                ),
                name="description",
            ),
            text_field(
                _t["transformation.tags"],
                "tags",
                help=_t["transformation.comma"],
                default_value=_it.tags,
            ),
            rx.cond(
                _it.is_relation,
                text_field(
                    _t["transformation.relation_tests"],
                    "tests",
                    help=_t["transformation.tests_help"],
                    default_value=_it.tests,
                    class_name="mono",
                    dir="ltr",
                ),
            ),
            rx.cond(
                _it.kind == "model",
                check_field(
                    _t["transformation.contract"],
                    "contract_enforced",
                    help=_t["transformation.contract_help"],
                    default_checked=_it.contract_enforced,
                ),
            ),
            check_field(_t["transformation.enabled"], "enabled", default_checked=_it.enabled),
            class_name="form",
        ),
        class_name="card",
    )


def _materialization() -> rx.Component:
    return field(
        _t["transformation.materialization"],
        rx.el.select(
            *(rx.el.option(one.value, value=one.value) for one in Materialization),
            id="materialization",
            name="materialization",
            value=_state.materialization,
            on_change=_state.choose_materialization,
        ),
        name="materialization",
    )


def _incremental() -> rx.Component:
    return rx.fragment(
        _choice(
            _t["transformation.strategy"],
            "incremental_strategy",
            _STRATEGIES,
            _it.incremental_strategy,
        ),
        _choice(
            _t["transformation.on_schema_change"],
            "on_schema_change",
            _ON_CHANGE,
            _it.on_schema_change,
        ),
    )


def _choice(label: Any, name: str, values: tuple[str, ...], chosen: Any) -> rx.Component:
    return field(
        label,
        rx.el.select(
            rx.el.option(_t["transformation.default"], value=""),
            *(rx.el.option(value, value=value) for value in values),
            id=name,
            name=name,
            default_value=chosen,
        ),
        name=name,
    )


def _columns() -> rx.Component:
    return rx.el.section(
        rx.el.div(
            rx.el.h2(_t["transformation.columns"]),
            rx.cond(
                may("transformation:write"),
                rx.el.div(
                    rx.cond(
                        _state.entry_href != "",
                        button(_t["transformation.known_columns"], _state.add_known_columns),
                    ),
                    button(_t["transformation.add_column"], _state.add_column, icon="plus"),
                    class_name="row end grow",
                ),
            ),
            class_name="card-head",
        ),
        rx.cond(
            _state.columns.length() > 0,
            rx.el.div(rx.foreach(_state.columns, _column), class_name="column-rows"),
            rx.el.p(_t["transformation.columns_empty"], class_name="log-empty"),
        ),
        class_name="card",
    )


def _column(column: ColumnRow) -> rx.Component:
    def cell(name: str, label: Any, value: Any, style: str = "") -> rx.Component:
        return rx.el.label(
            rx.el.span(label),
            rx.el.input(
                name=rx.Var.create(f"column_{name}_") + column.key,
                default_value=value,
                class_name=f"input {style}".strip(),
                dir="auto" if name == "description" else "ltr",
                auto_complete="off",
            ),
            class_name="cell",
        )

    return rx.el.div(
        cell("name", _t["column.name"], column.name, "mono"),
        cell("type", _t["transformation.data_type"], column.data_type, "mono"),
        cell("description", _t["transformation.description"], column.description),
        cell("tests", _t["transformation.tests"], column.tests, "mono"),
        rx.cond(
            may("transformation:write"),
            rx.el.button(
                rx.icon("x", aria_hidden="true"),
                type="button",
                on_click=_state.remove_column(column.key),
                aria_label=_t["transformation.remove_column"] + ": " + column.name,
                class_name="icon-button",
            ),
        ),
        key=column.key,
        class_name="column-row",
    )


def _further() -> rx.Component:
    """Everything that has no input of its own, as YAML."""
    return rx.el.section(
        rx.el.details(
            rx.el.summary(rx.el.h2(_t["transformation.further"]), class_name="card-head"),
            rx.el.div(
                rx.el.p(_t["transformation.further_text"], class_name="muted"),
                CodeEditor.create(
                    value=_it.settings,
                    language="yaml",
                    label=_t["transformation.further"],
                    height="200px",
                    read_only=~may("transformation:write"),
                    name="settings",
                ),
                class_name="form",
            ),
            open=~_it.has_sql | (_it.settings != ""),
        ),
        class_name="card",
    )
