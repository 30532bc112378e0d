"""``models/schema.yml``: what the transformations say about themselves, in dbt's words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from datanika.compiler.properties import TEST_SETTINGS, split_test
from datanika.contracts.dbt import Constraint, DbtTest, GivenInput, UnitTestSpec
from datanika.contracts.spec import ColumnSpec, TransformationSpec

_SECTIONS = {
    "models": "model",
    "seeds": "seed",
    "snapshots": "snapshot",
    "data_tests": "test",
    "macros": "macro",
}


def properties_yml(
    transformations: Sequence[TransformationSpec],
    default_schema: str | None,
    destination_kind: str,
) -> dict[str, Any]:
    """``default_schema`` None: dbt's target schema, without saying so."""
    result: dict[str, Any] = {"version": 2}
    for section, kind in _SECTIONS.items():
        entries = [
            _entry(item, default_schema, destination_kind)
            for item in transformations
            if item.kind == kind
        ]
        if entries:
            result[section] = entries
    units = [
        _unit_test(item, test)
        for item in transformations
        for test in sorted(item.unit_tests, key=lambda test: test.name)
    ]
    if units:
        result["unit_tests"] = units
    exposures = [_exposure(item) for item in transformations if item.exposure is not None]
    if exposures:
        result["exposures"] = exposures
    return result


def _entry(
    item: TransformationSpec, default_schema: str | None, destination_kind: str
) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": item.name}
    if item.description:
        entry["description"] = item.description
    config = _config(item, default_schema, destination_kind)
    if config:
        entry["config"] = config
    if item.constraints:
        entry["constraints"] = [_constraint(one) for one in item.constraints]
    if item.tests:
        entry["data_tests"] = tests_yml(item.tests)
    if item.columns and item.kind not in ("macro", "test"):
        entry["columns"] = columns_yml(item.columns)
    return entry


def _config(
    item: TransformationSpec, default_schema: str | None, destination_kind: str
) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if item.kind in ("model", "seed", "snapshot"):
        schema = item.target_schema or default_schema
        if schema is not None:
            config["schema"] = schema
        if item.alias is not None:
            config["alias"] = item.alias
    if item.kind == "model":
        config["materialized"] = item.materialization
        if item.materialization == "incremental":
            config |= _incremental(item, destination_kind)
        if item.contract_enforced:
            config["contract"] = {"enforced": True}
    elif item.kind == "snapshot":
        config |= _snapshot(item)
    elif item.kind == "seed" and item.seed is not None:
        if item.seed.column_types:
            config["column_types"] = dict(sorted(item.seed.column_types.items()))
        if item.seed.delimiter != ",":
            config["delimiter"] = item.seed.delimiter
        if item.seed.quote_columns is not None:
            config["quote_columns"] = item.seed.quote_columns
    elif item.kind == "test" and item.test is not None:
        config |= item.test.model_dump(mode="json", exclude_none=True)
    if item.event_time is not None:
        config["event_time"] = item.event_time
    if item.tags and item.kind != "macro":
        config["tags"] = sorted(set(item.tags))
    if item.meta:
        config["meta"] = item.meta
    if not item.enabled and item.kind != "macro":
        config["enabled"] = False
    return config


def _incremental(item: TransformationSpec, destination_kind: str) -> dict[str, Any]:
    """How new rows meet old ones. Without a key they are appended."""
    config: dict[str, Any] = {"on_schema_change": item.on_schema_change or "append_new_columns"}
    if item.unique_key:
        config["unique_key"] = _key(item.unique_key)
    if item.incremental_strategy is not None:
        config["incremental_strategy"] = item.incremental_strategy
    elif not item.unique_key:
        # BigQuery's default, merge, appends where there is no key.
        if destination_kind != "bigquery":
            config["incremental_strategy"] = "append"
    elif destination_kind in ("postgres", "duckdb"):
        # `merge` needs a newer server on both; delete+insert is exact on every version.
        config["incremental_strategy"] = "delete+insert"
    for name in ("merge_update_columns", "merge_exclude_columns", "incremental_predicates"):
        if getattr(item, name):
            config[name] = list(getattr(item, name))
    if item.microbatch is not None:
        config |= item.microbatch.model_dump(mode="json")
    return config


def _snapshot(item: TransformationSpec) -> dict[str, Any]:
    spec, config = item.snapshot, dict[str, Any]()
    if spec is not None and spec.strategy == "timestamp":
        config |= {"strategy": "timestamp", "updated_at": spec.updated_at}
    else:
        columns = list(spec.check_cols) if spec is not None else []
        config |= {"strategy": "check", "check_cols": columns or "all"}
    if spec is not None and spec.hard_deletes != "ignore":
        config["hard_deletes"] = spec.hard_deletes
    if spec is not None and spec.valid_to_current is not None:
        config["dbt_valid_to_current"] = spec.valid_to_current
    if item.unique_key:
        config["unique_key"] = _key(item.unique_key)
    return config


def _key(columns: tuple[str, ...]) -> str | list[str]:
    return columns[0] if len(columns) == 1 else list(columns)


def columns_yml(columns: Iterable[ColumnSpec]) -> list[dict[str, Any]]:
    return [_column(column) for column in columns]


def _column(column: ColumnSpec) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": column.name}
    if column.description:
        entry["description"] = column.description
    if column.data_type is not None:
        entry["data_type"] = column.data_type
    if column.quote is not None:
        entry["quote"] = column.quote
    if column.constraints:
        entry["constraints"] = [_constraint(one) for one in column.constraints]
    config: dict[str, Any] = {}
    if column.tags:
        config["tags"] = sorted(set(column.tags))
    if column.meta:
        config["meta"] = column.meta
    if config:
        entry["config"] = config
    if column.tests:
        entry["data_tests"] = tests_yml(column.tests)
    return entry


def _constraint(constraint: Constraint) -> dict[str, Any]:
    entry = {
        key: value
        for key, value in constraint.model_dump(mode="json").items()
        if value not in (None, [])
    }
    if constraint.to is not None:
        entry["to"] = f"ref('{constraint.to}')"
    return entry


def tests_yml(tests: Iterable[DbtTest]) -> list[str | dict[str, Any]]:
    return [_test(*split_test(test)) for test in tests]


def _test(name: str, arguments: dict[str, object]) -> str | dict[str, Any]:
    if not arguments:
        return name
    body: dict[str, Any] = {}
    given = {key: value for key, value in arguments.items() if key not in TEST_SETTINGS}
    config = {
        key: value for key, value in arguments.items() if key in TEST_SETTINGS and key != "name"
    }
    if "name" in arguments:
        body["name"] = arguments["name"]
    if given:
        body["arguments"] = given
    if config:
        body["config"] = config
    return {name: body}


def _unit_test(item: TransformationSpec, test: UnitTestSpec) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": test.name, "model": item.name}
    if test.description:
        entry["description"] = test.description
    entry["given"] = [
        {"input": _input(given), "rows": [dict(row) for row in given.rows]} for given in test.given
    ]
    entry["expect"] = {"rows": [dict(row) for row in test.expect]}
    overrides: dict[str, Any] = {}
    if test.is_incremental is not None:
        overrides["macros"] = {"is_incremental": test.is_incremental}
    if test.vars:
        overrides["vars"] = dict(sorted(test.vars.items()))
    if overrides:
        entry["overrides"] = overrides
    if test.tags:
        entry["config"] = {"tags": sorted(set(test.tags))}
    return entry


def _input(given: GivenInput) -> str:
    if given.this:
        return "this"
    if given.source is not None:
        return f"source('{given.source[0]}', '{given.source[1]}')"
    return f"ref('{given.ref}')"


def _exposure(item: TransformationSpec) -> dict[str, Any]:
    spec = item.exposure
    assert spec is not None
    owner = {"name": spec.owner_name, "email": spec.owner_email}
    entry: dict[str, Any] = {"name": item.name, "type": spec.type}
    if item.description:
        entry["description"] = item.description
    for name in ("label", "url", "maturity"):
        if getattr(spec, name) is not None:
            entry[name] = getattr(spec, name)
    entry["owner"] = {key: value for key, value in owner.items() if value} or {"name": "unknown"}
    entry["depends_on"] = [
        *(f"ref('{name}')" for name in sorted(set(spec.refs))),
        *(f"source('{source}', '{table}')" for source, table in sorted(set(spec.sources))),
    ]
    config: dict[str, Any] = {}
    if item.tags:
        config["tags"] = sorted(set(item.tags))
    if item.meta:
        config["meta"] = item.meta
    if not item.enabled:
        config["enabled"] = False
    if config:
        entry["config"] = config
    return entry
