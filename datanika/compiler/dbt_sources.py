"""``models/sources.yml``: every table that a model reads or a load writes, with what is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datanika.compiler.dbt_yml import columns_yml, tests_yml
from datanika.compiler.plan import target_table
from datanika.contracts.dbt import Freshness, SourceSpec, SourceTable
from datanika.contracts.spec import LoadStep, TransformationSpec


def sources_yml(
    transformations: Sequence[TransformationSpec],
    loads: Sequence[LoadStep],
    destination_id: int,
    read: set[tuple[str, str]],
) -> dict[str, Any]:
    """Every loaded table, and every other one that a model reads: it may exist already.

    Raises nothing: the specs were checked. Two specs of one source are one source.
    """
    described: dict[str, list[SourceSpec]] = {}
    for item in transformations:
        if item.source is not None and item.enabled:
            described.setdefault(item.source.source, []).append(item.source)
    tables: dict[str, set[str]] = {name: set() for name in described}
    for load in loads:
        if load.destination_id == destination_id:
            names = {name for table in load.tables if (name := target_table(table))}
            tables.setdefault(load.target_schema, set()).update(names)
    for schema, name in read:
        tables.setdefault(schema, set()).add(name)
    return {
        "version": 2,
        "sources": [
            _source(name, described.get(name, []), names) for name, names in sorted(tables.items())
        ],
    }


def _source(name: str, specs: Sequence[SourceSpec], names: set[str]) -> dict[str, Any]:
    schema = next((spec.schema_name for spec in specs if spec.schema_name), None) or name
    entry: dict[str, Any] = {"name": name, "schema": schema}
    config: dict[str, Any] = {}
    for spec in specs:
        config |= _config(spec)
    if config:
        entry["config"] = config
    known = {table.name: table for spec in specs for table in spec.tables}
    entry["tables"] = [
        _table(known[table]) if table in known else {"name": table}
        for table in sorted(names | known.keys())
    ]
    return entry


def _config(spec: SourceSpec | SourceTable) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if spec.freshness is not None:
        config["freshness"] = _freshness(spec.freshness)
    if spec.loaded_at_field is not None:
        config["loaded_at_field"] = spec.loaded_at_field
    return config


def _freshness(freshness: Freshness) -> dict[str, Any]:
    return freshness.model_dump(mode="json", exclude_none=True)


def _table(table: SourceTable) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": table.name}
    if table.identifier is not None:
        entry["identifier"] = table.identifier
    if table.description:
        entry["description"] = table.description
    config = _config(table)
    if table.event_time is not None:
        config["event_time"] = table.event_time
    if table.tags:
        config["tags"] = sorted(set(table.tags))
    if table.meta:
        config["meta"] = table.meta
    if config:
        entry["config"] = config
    if table.tests:
        entry["data_tests"] = tests_yml(table.tests)
    if table.columns:
        entry["columns"] = columns_yml(table.columns)
    return entry
