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

EVIL = "{{ env_var('DATANIKA_ENCRYPTION_KEYS') }}"
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


HOSTILE: list[tuple[str, dict[str, str], str | None]] = [
    ("on-run-start", {"dbt_project.yml": "name: p\non-run-start: [\"copy x to program 'id'\"]"},
     "hook_refused"),
    ("hooks by folder", {"dbt_project.yml": "name: p\nmodels: {+post-hook: 'drop table x'}"},
     "hook_refused"),
    ("hook in config", {"models/m.sql": "{{ config(pre_hook='drop table x') }} select 1"},
     "hook_refused"),
    ("hook in yml", {"models/m.yml": "models: [{name: m, config: {pre_hook: drop}}]"},
     "hook_refused"),
    ("computed config", {"models/m.sql": "{{ config(alias='a' * 999999999) }} select 1"},
     "config_not_literal"),
    ("config of the environment", {"models/m.sql": "{{ config(alias=env_var('X')) }} select 1"},
     "config_not_literal"),
    ("model-paths", {"dbt_project.yml": "name: p\nmodel-paths: [../other]"},
     "project_path_refused"),
    ("absolute model-paths", {"dbt_project.yml": "name: p\nseed-paths: [/etc]"},
     "project_path_refused"),
    ("dispatch", {"dbt_project.yml": "name: p\ndispatch: [{macro_namespace: dbt}]"},
     "dispatch_refused"),
    ("jinja in dbt_project", {"dbt_project.yml": f"name: p\nmodels: {{+alias: \"{EVIL}\"}}"},
     "value_refused"),
    ("jinja in meta", {"dbt_project.yml": f"name: p\nmodels: {{+meta: {{a: \"{EVIL}\"}}}}"},
     "jinja_not_allowed"),
    ("jinja in vars", {"dbt_project.yml": f"name: p\nvars: {{a: \"{EVIL}\"}}"},
     "jinja_not_allowed"),
    ("python model", {"models/x.py": "def model(dbt, session): import os"},
     "python_model_refused"),
    ("local package", {"packages.yml": "packages: [{local: ../../other}]"}, "package_refused"),
    ("git package", {"packages.yml": "packages: [{git: 'https://x'}]"}, "package_refused"),
    ("tarball", {"dependencies.yml": "packages: [{tarball: 'https://x', name: dbt_utils}]"},
     "package_refused"),
    ("unknown package", {"packages.yml": "packages: [{package: evil/evil, version: 1.0.0}]"},
     "package_refused"),
    ("materialization", {"macros/m.sql": "{% materialization view, default %}x"
     "{% endmaterialization %}"}, "materialization_refused"),
    ("override of dbt", {"macros/m.sql": "{% macro default__ref(x) %}x{% endmacro %}"},
     "macro_name_reserved"),
    ("override of a built-in", {"macros/m.sql": "{% macro run_hooks(x) %}x{% endmacro %}"},
     "macro_name_reserved"),
    ("override of a test", {"tests/generic/u.sql": "{% test unique(model) %}x{% endtest %}"},
     "macro_name_reserved"),
    ("schema macro", {"macros/g.sql":
     "{% macro generate_schema_name(a, n) %}other{% endmacro %}"}, "schema_macro_refused"),
    ("ref override", {"macros/m.sql": "{% macro ref(x) %}x{% endmacro %}"},
     "macro_name_reserved"),
    ("statement", {"macros/m.sql": "{% macro m2() %}{% call statement() %}{% endcall %}"
     "{% endmacro %}"}, "guard_refused"),
    ("unclosed macro", {"macros/m.sql": "{% macro m2() %}x"}, "template_syntax"),
    ("docs block", {"models/d.md": "{% docs d %}" + EVIL + "{% enddocs %}",
     "models/m.yml": "models: [{name: m, description: \"{{ doc('d') }}\"}]"},
     "jinja_not_allowed"),
    ("python object", {"models/m.yml": "models: !!python/object/apply:os.system [id]"},
     "yml_refused"),
    ("billions of laughs", {"models/m.yml": "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [" + ",".join([f"*{chr(97 + n)}"] * 10) + "]\n"
        for n in range(8))}, "yml_refused"),
    ("an alias of itself", {"models/m.yml": "models: &a [*a]"}, "yml_refused"),
    ("nested deeply", {"models/m.yml": "[" * 5000}, "yml_refused"),
    ("merge keys", {"models/m.yml": "a: &a {b: 1}\nmodels: [{<<: *a}]"}, "yml_refused"),
    ("unit test in SQL", {"models/m.yml": "unit_tests: [{name: u, model: m, given: [], expect: "
     f"{{format: sql, rows: \"{EVIL}\"}}}}]"}, "unit_test_refused"),
    ("unit test of macros", {"models/m.yml": "unit_tests: [{name: u, model: m, given: [], "
     "expect: {rows: []}, overrides: {macros: {ref: x}}}]"}, "unit_test_refused"),
    ("environment of a unit test", {"models/m.yml": "unit_tests: [{name: u, model: m, given: [], "
     "expect: {rows: []}, overrides: {env_vars: {X: y}}}]"}, "unit_test_refused"),
    ("versions", {"models/m.yml": "models: [{name: m, versions: [{v: 1}]}]"},
     "model_version_refused"),
    ("a name with a path", {"models/m.sql": "select 1", "models/../../x.sql": "select 1"}, None),
    ("an odd name", {"models/A b.sql": "select 1"}, "value_refused"),
    ("source of an environment", {"models/m.yml":
     f"sources: [{{name: s, schema: \"{EVIL}\", tables: [{{name: t}}]}}]"}, "value_refused"),
    ("location", {"models/m.sql": "{{ config(location='/etc/x') }} select 1"}, "setting_unknown"),
    ("external", {"models/m.sql": "{{ config(materialized='external') }} select 1"},
     "value_refused"),
    ("a package in the archive", {"dbt_packages/dbt_utils/macros/x.sql": EVIL}, None),
    ("an installed target", {"target/manifest.yml": EVIL, "profiles.yml": "x: y"}, None),
]  # fmt: skip


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("name", "files", "code"), HOSTILE, ids=lambda value: str(value)[:30])
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
