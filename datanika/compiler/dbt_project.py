"""The dbt project of a transform step, as files: the platform writes every one of them.

A tenant's SQL is copied byte for byte, so that the line numbers in dbt's errors are the tenant's;
everything said about it (materialization, schema, tests) goes into ``schema.yml``. The same input
gives the same bytes. ``profiles.yml`` holds credentials and is written by the engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from datanika.compiler.plan import target_table
from datanika.compiler.project import (
    TEST_SETTINGS,
    resolve_references,
    split_test,
    transformations_of,
)
from datanika.contracts.spec import ColumnSpec, LoadStep, TransformationSpec, TransformStep

GENERATE_SCHEMA_NAME = """\
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}
"""

_FOLDERS = {
    "model": "models/{}.sql",
    "test": "tests/{}.sql",
    "macro": "macros/{}.sql",
    "seed": "seeds/{}.csv",
    "snapshot": "snapshots/{}.sql",
}


def build_project(
    project_name: str,
    step: TransformStep,
    destination_kind: str,
    transformations: Iterable[TransformationSpec],
    loads: Sequence[LoadStep],
) -> dict[str, str]:
    """Relative path -> content of the dbt project of ``step``'s destination.

    ``project_name`` is also the profile that the engine must provide. ``transformations`` may be
    all of the organisation's, and ``loads`` any load steps: those of other destinations are left
    out. Raises what :func:`~datanika.compiler.plan.compile_plan` raises: nothing unguarded is
    written.
    """
    own = transformations_of(step.destination_id, transformations)
    references = resolve_references({item.name: item for item in own})
    read = {source for found in references.values() for source in found.sources}
    files = {
        "dbt_project.yml": _yml(_project(project_name)),
        # A tenant's names start with a letter, so this file cannot collide with a macro of theirs.
        "macros/_datanika.sql": GENERATE_SCHEMA_NAME,
        "models/schema.yml": _yml(_properties(own, step.default_schema, destination_kind)),
        "models/sources.yml": _yml(_sources(loads, step.destination_id, read)),
    }
    for item in own:
        files[_FOLDERS[item.kind].format(item.name)] = _content(item)
    return dict(sorted(files.items()))


def _project(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "version": "1.0.0",
        "config-version": 2,
        "profile": name,
        "model-paths": ["models"],
        "test-paths": ["tests"],
        "macro-paths": ["macros"],
        "seed-paths": ["seeds"],
        "snapshot-paths": ["snapshots"],
        "analysis-paths": [],
        "asset-paths": [],
        "target-path": "target",
        "packages-install-path": "dbt_packages",
        "flags": {"send_anonymous_usage_stats": False, "use_colors": False},
    }


def _content(item: TransformationSpec) -> str:
    if item.kind == "snapshot":
        # On the tenant's first line, to keep their line numbers.
        return f"{{% snapshot {item.name} %}}{item.sql}\n{{% endsnapshot %}}\n"
    return item.sql


def _properties(
    transformations: Sequence[TransformationSpec], default_schema: str, destination_kind: str
) -> dict[str, Any]:
    result: dict[str, Any] = {"version": 2}
    sections = {
        "models": "model",
        "seeds": "seed",
        "snapshots": "snapshot",
        "data_tests": "test",
        "macros": "macro",
    }
    for section, kind in sections.items():
        entries = [
            _entry(item, default_schema, destination_kind)
            for item in transformations
            if item.kind == kind
        ]
        if entries:
            result[section] = entries
    return result


def _entry(item: TransformationSpec, default_schema: str, destination_kind: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": item.name}
    if item.description:
        entry["description"] = item.description
    config = _config(item, default_schema, destination_kind)
    if config:
        entry["config"] = config
    if item.columns and item.kind not in ("macro", "test"):
        entry["columns"] = [_column(column) for column in item.columns]
    return entry


def _config(item: TransformationSpec, default_schema: str, destination_kind: str) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if item.kind in ("model", "seed", "snapshot"):
        config["schema"] = item.target_schema or default_schema
    if item.kind == "model":
        config["materialized"] = item.materialization
        if item.materialization == "incremental":
            config |= _incremental(item.unique_key, destination_kind)
    elif item.kind == "snapshot":
        config |= {"strategy": "check", "check_cols": "all"}
        if item.unique_key:
            config["unique_key"] = _key(item.unique_key)
    if item.tags and item.kind != "macro":
        config["tags"] = sorted(set(item.tags))
    return config


def _incremental(unique_key: tuple[str, ...], destination_kind: str) -> dict[str, Any]:
    """How new rows meet old ones. Without a key they are appended."""
    config: dict[str, Any] = {"on_schema_change": "append_new_columns"}
    if unique_key:
        config["unique_key"] = _key(unique_key)
        if destination_kind in ("postgres", "duckdb"):
            # `merge` needs a newer server on both; delete+insert is exact on every version.
            config["incremental_strategy"] = "delete+insert"
    else:
        config["incremental_strategy"] = "append"
    return config


def _key(columns: tuple[str, ...]) -> str | list[str]:
    return columns[0] if len(columns) == 1 else list(columns)


def _column(column: ColumnSpec) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": column.name}
    if column.description:
        entry["description"] = column.description
    if column.tests:
        entry["data_tests"] = [_test(*split_test(test)) for test in column.tests]
    return entry


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


def _sources(
    loads: Sequence[LoadStep], destination_id: int, read: set[tuple[str, str]]
) -> dict[str, Any]:
    """Every loaded table, and every other one that a model reads: it may exist already."""
    tables: dict[str, set[str]] = {}
    for load in loads:
        if load.destination_id == destination_id:
            names = {name for table in load.tables if (name := target_table(table))}
            tables.setdefault(load.target_schema, set()).update(names)
    for schema, name in read:
        tables.setdefault(schema, set()).add(name)
    return {
        "version": 2,
        "sources": [
            {
                "name": schema,
                "schema": schema,
                "tables": [{"name": name} for name in sorted(names)],
            }
            for schema, names in sorted(tables.items())
        ],
    }


def _yml(value: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(
        _plain(value), sort_keys=False, allow_unicode=True, default_flow_style=False, width=1000
    )
    return text


def _plain(value: object) -> object:
    """Plain lists and strings: PyYAML writes tuples and enums as Python objects or refuses them."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, str) else value
