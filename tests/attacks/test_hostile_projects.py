"""Attacks in what surrounds a model: properties, and whole dbt projects of somebody else's."""

from __future__ import annotations

from typing import Any

import pytest

from datanika.compiler import build_project
from datanika.compiler.importing.check import keep_what_holds
from datanika.compiler.importing.findings import Findings
from datanika.compiler.importing.reader import read_project
from datanika.compiler.project import compile_models
from datanika.contracts.spec import TransformationSpec, TransformStep
from datanika.errors import InvalidInput
from tests.attacks.corpus import EVIL, PROJECTS

CALL = "env_var('DATANIKA_ENCRYPTION_KEYS')"
TABLE = {"name": "t", "tests": [], "columns": []}


def _source(**more: Any) -> dict[str, Any]:
    return {"kind": "source", "sql": "", "source": {"source": "raw", "tables": [TABLE], **more}}


def _table(**more: Any) -> dict[str, Any]:
    return _source(tables=[{**TABLE, **more}])


def _unit(**more: Any) -> dict[str, Any]:
    return {"unit_tests": [{"name": "u", "given": [], "expect": [], **more}]}


def _exposure(**more: Any) -> dict[str, Any]:
    return {"kind": "exposure", "sql": "", "exposure": more}


MICRO = {"materialization": "incremental", "incremental_strategy": "microbatch"}
PROPERTIES: list[dict[str, Any]] = [
    {"meta": {"a": EVIL}},
    {"meta": {EVIL: 1}},
    {"meta": {"deep": [{"er": EVIL}]}},
    {"description": EVIL},
    {"description": "{# c #}"},
    {"tags": ["{% do x %}"]},
    {"event_time": EVIL},
    {"tests": [{"unique": {"where": EVIL}}]},
    {"tests": [{"accepted_values": {"values": [CALL]}}]},
    {"tests": [{"accepted_values": {"column_name": CALL, "values": []}}]},
    {"tests": [{"dbt_utils.expression_is_true": {"expression": "1=1"}}]},
    {"tests": ["no_such_test"]},
    {"tests": ["../../x"]},
    {"columns": [{"name": "a", "data_type": EVIL}]},
    {"columns": [{"name": "a", "meta": {"b": EVIL}}]},
    {"columns": [{"name": "a", "tags": [EVIL]}]},
    {"columns": [{"name": "a", "constraints": [{"type": "check", "expression": EVIL}]}]},
    {"constraints": [{"type": "foreign_key", "to": "missing"}]},
    {"constraints": [{"type": "check", "expression": EVIL}]},
    {"materialization": "incremental", "incremental_predicates": [EVIL]},
    {**MICRO, "event_time": EVIL, "microbatch": {"begin": "2026-01-01"}},
    {"kind": "snapshot", "unique_key": ["a"], "snapshot": {"valid_to_current": EVIL}},
    {"kind": "snapshot", "unique_key": ["a"], "snapshot": {"check_cols": [EVIL]}},
    {"kind": "seed", "sql": "a\n1\n", "seed": {"column_types": {"a": EVIL}}},
    {"kind": "seed", "sql": "a\n1\n", "seed": {"column_types": {EVIL: "text"}}},
    {"kind": "test", "test": {"warn_if": EVIL}},
    {"kind": "test", "test": {"fail_calc": EVIL}},
    _unit(given=[{"ref": "m", "rows": [{"a": EVIL}]}]),
    _unit(given=[{"ref": "m", "rows": [{EVIL: 1}]}]),
    _unit(expect=[{"a": "{% set x = 1 %}"}]),
    _unit(vars={"a": EVIL}),
    _unit(given=[{"ref": "missing", "rows": []}]),
    _exposure(url=EVIL),
    _exposure(label=EVIL),
    _exposure(owner_name=EVIL),
    _exposure(refs=["missing"]),
    _source(loaded_at_field=EVIL),
    _source(freshness={"filter": EVIL}),
    _table(loaded_at_field=EVIL),
    _table(freshness={"filter": EVIL}),
    _table(description=EVIL),
    _table(tests=[{"unique": {"where": EVIL}}]),
    _table(columns=[{"name": "a", "tests": [{"accepted_values": {"values": [CALL]}}]}]),
    {"kind": "project", "sql": "", "project": {"vars": {"a": EVIL}}},
    {"kind": "project", "sql": "", "project": {"packages": ["dbt_artifacts"]}},
    {"kind": "macro", "name": "postgres__create_table_as", "sql":
     "{% macro postgres__create_table_as() %}drop table x{% endmacro %}"},
    {"kind": "macro", "name": "statement", "sql": "{% macro statement() %}x{% endmacro %}"},
    {"kind": "macro", "name": "test_unique", "sql":
     "{% macro test_unique(model) %}select 1 where false{% endmacro %}"},
    {"kind": "macro", "name": "dbt_utils", "sql": "{% macro dbt_utils() %}x{% endmacro %}"},
    {"kind": "macro", "name": "generate_schema_name", "sql":
     "{% macro generate_schema_name(a, b) %}other_tenant{% endmacro %}"},
    {"sql": "{{ dbt_utils.star(from=this) }}"},
    {"sql": "{{ dbt_utils['star'](this) }}"},
    {"sql": "{{ dbt_expectations.dx_where('x') }}"},
]  # fmt: skip


@pytest.mark.parametrize("changes", PROPERTIES, ids=str)
def test_hostile_properties_are_refused_with_a_code_and_a_field(changes: dict[str, Any]) -> None:
    base: dict[str, Any] = {"name": "m", "destination_id": 2, "sql": "select 1 as a"}
    spec = TransformationSpec.model_validate(base | changes)
    with pytest.raises(InvalidInput) as refused:
        compile_models([spec])
        build_project("org1", TransformStep(key="t", destination_id=2), "duckdb", [spec], [])
    assert refused.value.code and str(refused.value.field).startswith("transformations.")


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("name", "files", "code"), PROJECTS, ids=lambda value: str(value)[:30])
def test_a_hostile_project_is_refused_or_nothing_of_it_is_taken(
    name: str, files: dict[str, str], code: str | None
) -> None:
    found = Findings()
    base = {"dbt_project.yml": "name: p\n", "models/m.sql": "select 1 as a"}
    kept = keep_what_holds(read_project(base | files, 2, found), (), "duckdb", found)
    codes = {one.code for one in found.all if one.level == "refused"}
    assert code is None or code in codes, found.all
    step = TransformStep(key="t", destination_id=2)
    built = build_project("org1", step, "duckdb", [item.spec for item in kept], [])
    for path, content in built.items():
        if not path.startswith("dbt_packages/"):
            assert "env_var" not in content, path
            assert "hook" not in content, path
        assert ".." not in path and not path.startswith("/")
