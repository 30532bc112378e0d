"""Every test and macro of the platform's packages, on both databases: tests pass where the data is
right and fail where it is wrong."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import dbt
import pytest

from datanika.compiler import build_project
from datanika.compiler.packages import PACKAGES
from datanika.contracts.enums import StepState
from datanika.contracts.events import NodeFinished, RunEvent
from datanika.contracts.spec import TransformationSpec, TransformStep
from datanika.contracts.steps import ResolvedConnection, ResolvedTransform
from datanika.engines.dbt_engine.build import run_transform
from datanika.engines.dbt_engine.compile import compile_model
from tests.support.postgres import Warehouse
from tests.test_engines.steps import duckdb, postgres

ROW = (
    "select {} as id, cast({} as varchar(9)) as grp, cast({} as varchar(9)) as note, "
    "cast({} as integer) as amount, cast({} as timestamp) as d, "
    "cast({} as integer) as low, cast({} as integer) as empty"
)
NOW, OLD = "current_timestamp", "'2000-01-01'"
GOOD = [
    (1, "'a'", "'ab'", 1, NOW, 0, 1),
    (2, "'a'", "'cd'", 2, NOW, 1, 2),
    (3, "'b'", "'ef'", 3, NOW, 2, 3),
]
BAD = [
    (1, "'zz'", "''", -5, OLD, 7, "null"),
    (1, "'zz'", "''", -5, OLD, 7, "null"),
    (7, "'zz'", "'9'", 500, OLD, 1000, "null"),
    (8, "'zz'", "'9'", "null", OLD, 0, "null"),
]
E = "dbt_expectations.expect_"
COLUMNS: dict[str, list[Any]] = {
    "id": [
        {"dbt_utils.cardinality_equality": {"field": "id", "to": "ref('good')"}},
        {"dbt_utils.relationships_where": {"field": "id", "to": "ref('good')"}},
        {"dbt_utils.sequential_values": {"interval": 1}},
        f"{E}column_values_to_be_unique",
        {f"{E}column_unique_value_count_to_be_between": {"min_value": 3, "max_value": 3,
                                                         "row_condition": "id < 8"}},
    ],
    "grp": [
        "dbt_utils.not_constant",
        {"dbt_utils.not_accepted_values": {"values": ["zz"]}},
        {f"{E}column_values_to_be_in_set": {"value_set": ["a", "b"]}},
        {f"{E}column_values_to_not_be_in_set": {"value_set": ["zz", "it's"]}},
    ],
    "note": [
        "dbt_utils.not_empty_string",
        {f"{E}column_values_to_match_regex": {"regex": "^[a-z]{2}$"}},
        {f"{E}column_values_to_not_match_regex": {"regex": "[0-9]"}},
        {f"{E}column_value_lengths_to_be_between": {"min_value": 2, "max_value": 2}},
        {f"{E}column_value_lengths_to_equal": {"value": 2}},
    ],
    "amount": [
        {"dbt_utils.accepted_range": {"min_value": 0, "max_value": 100}},
        {f"{E}column_values_to_be_between": {"min_value": 0, "max_value": 3, "strictly": False}},
        f"{E}column_values_to_not_be_null",
        {f"{E}column_max_to_be_between": {"max_value": 100}},
        {f"{E}column_min_to_be_between": {"min_value": 0}},
        {f"{E}column_mean_to_be_between": {"min_value": 1, "max_value": 3}},
        {f"{E}column_sum_to_be_between": {"min_value": 6, "max_value": 6}},
    ],
    "d": [
        {f"{E}row_values_to_have_recent_data": {"datepart": "day", "interval": 2}},
    ],
    "empty": [
        "dbt_utils.at_least_one",
        {"dbt_utils.not_null_proportion": {"at_least": 0.5}},
    ],
}  # fmt: skip
WHOLE: list[Any] = [
    {"dbt_utils.unique_combination_of_columns": {"combination_of_columns": ["id", "grp"]}},
    {"dbt_utils.expression_is_true": {"expression": "amount > low"}},
    {"dbt_utils.recency": {"datepart": "day", "field": "d", "interval": 2}},
    {"dbt_utils.equal_rowcount": {"compare_model": "ref('good')"}},
    {"dbt_utils.fewer_rows_than": {"compare_model": "ref('quad')"}},
    {"dbt_utils.equality": {"compare_model": "ref('good')", "compare_columns": ["id", "grp"]}},
    {f"{E}column_pair_values_a_to_be_greater_than_b": {"column_A": "amount", "column_B": "low"}},
    {f"{E}compound_columns_to_be_unique": {"column_list": ["id", "grp"]}},
    {f"{E}table_row_count_to_be_between": {"min_value": 1, "max_value": 3}},
    {f"{E}table_row_count_to_equal": {"value": 3}},
    {f"{E}table_row_count_to_equal_other_table": {"compare_model": "ref('good')"}},
    {"dbt_expectations.expression_is_true": {"expression": "amount > low"}},
]
APART: dict[str, list[Any]] = {
    "good": [
        {f"{E}column_to_exist": {"column_name": "id"}},
        {f"{E}table_columns_to_contain_set": {"column_list": ["ID", "grp"]}},
        {f"{E}column_values_to_be_null": {"column_name": "amount", "row_condition": "id > 9"}},
    ],
    "bad": [
        {f"{E}column_to_exist": {"column_name": "missing"}},
        {f"{E}table_columns_to_contain_set": {"column_list": ["id", "missing"]}},
        {f"{E}column_values_to_be_null": {"column_name": "amount"}},
    ],
}
MACROS = {
    "four": "{{ dbt_utils.generate_series(12) }}",
    "quad": "{{ dbt_utils.generate_series(4) }}",
    "pivoted": "select {{ dbt_utils.pivot('grp', dbt_utils.get_column_values(ref('good'), 'grp', "
    "order_by='grp')) }} from {{ ref('good') }}",
    "unpivoted": "{{ dbt_utils.unpivot(ref('good'), cast_to='integer', exclude=['id'], "
    "remove=['grp', 'note', 'd', 'empty']) }}",
    "both": "{{ dbt_utils.union_relations([ref('good'), ref('bad')], include=['id', 'grp']) }}",
    "single": "{{ dbt_utils.deduplicate(ref('bad'), partition_by='id', order_by='amount') }}",
    "sums": "select {{ dbt_utils.safe_divide('6', 'nullif(1, 1)') }} as a, "
    "{{ dbt_utils.safe_add(['1', 'null', '2']) }} as b, "
    "{{ dbt_utils.safe_subtract(['5', 'null', '2']) }} as c, "
    "'{{ dbt_utils.slugify('3 Big-Ones!') }}' as d, "
    "{{ dbt_utils.width_bucket('5', '0', '10', '5') }} as e, "
    "{{ dbt_utils.surrogate_key(['1']) }} as f",
    "grouped": "select grp, note, count(*) as n from {{ ref('good') }} {{ dbt_utils.group_by(2) }}",
    "starred": "select {{ dbt_utils.star(ref('good'), except=['d', 'LOW', 'empty'], prefix='p_') }}"
    " from {{ ref('good') }}",
    "named": "select '{{ dbt_utils.get_filtered_columns_in_relation(ref('good'), "
    "except=['d']) | join(' ') }}' as names",
    "spined": "{{ dbt_utils.date_spine('month', \"cast('2026-01-01' as date)\", "
    "\"cast('2026-04-01' as date)\") }}",
}
EXPECTED: dict[str, list[tuple[Any, ...]]] = {
    "select count(*), min(generated_number), max(generated_number) from p.four": [(12, 1, 12)],
    "select * from p.pivoted": [(2, 1)],
    "select * from p.unpivoted order by 1, 2": [
        (1, "amount", 1), (1, "low", 0), (2, "amount", 2), (2, "low", 1),
        (3, "amount", 3), (3, "low", 2),
    ],
    "select count(*), count(distinct _dbt_source_relation), max(id) from p.both": [(7, 2, 8)],
    "select id from p.single order by 1": [(1,), (7,), (8,)],
    "select a, b, c, d, e, length(f) from p.sums": [(None, 3, 3, "_3_big_ones", 3, 32)],
    "select grp, n from p.grouped order by 1, note": [("a", 1), ("a", 1), ("b", 1)],
    "select p_id, p_grp, p_note, p_amount from p.starred order by 1": [
        (1, "a", "ab", 1), (2, "a", "cd", 2), (3, "b", "ef", 3),
    ],
    "select names from p.named": [("id grp note amount low empty",)],
    "select count(*), cast(max(date_month) as date) - cast('2026-01-01' as date) from p.spined": [
        (3, 59)
    ],
}  # fmt: skip


def warned(tests: list[Any]) -> list[Any]:
    """The same, as warnings: a failure must not skip the rest."""
    named = [test if isinstance(test, dict) else {test: {}} for test in tests]
    return [{name: {**body, "severity": "warn"}} for test in named for name, body in test.items()]


def relation(name: str, rows: list[tuple[Any, ...]]) -> dict[str, Any]:
    columns = [{"name": key, "tests": warned(tests)} for key, tests in COLUMNS.items()]
    return {
        "name": name,
        "sql": " union all ".join(ROW.format(*row) for row in rows),
        "materialization": "table",
        "columns": columns,
        "tests": warned([*WHOLE, *APART[name]]),
    }


@pytest.fixture(params=["duckdb", "postgres"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> ResolvedConnection:
    if request.param == "duckdb":
        return duckdb(tmp_path)
    warehouse: Warehouse = request.getfixturevalue("warehouse")
    return postgres(warehouse.config)


@pytest.mark.timeout(200)
def test_every_test_tells_right_from_wrong_and_every_macro_does_what_it_is_called(
    destination: ResolvedConnection, tmp_path: Path
) -> None:
    specs = [
        relation("good", GOOD),
        relation("bad", BAD),
        {"name": "p", "kind": "project", "project": {"packages": list(PACKAGES)}},
        *({"name": name, "sql": sql, "materialization": "table"} for name, sql in MACROS.items()),
        *(
            {"name": f"answer_{number}", "kind": "test", "sql": _differs(sql, rows)}
            for number, (sql, rows) in enumerate(EXPECTED.items())
        ),
    ]
    step = TransformStep(key="t", destination_id=2, default_schema="p", threads=2)
    events: list[RunEvent] = []
    (tmp_path / "work").mkdir()
    finished = run_transform(
        ResolvedTransform(
            run_id=1,
            attempt=1,
            step=step,
            destination=destination,
            project_name="org1",
            files=build_project(
                "org1",
                step,
                destination.kind,
                [TransformationSpec.model_validate({"destination_id": 2, **one}) for one in specs],
                (),
            ),
        ),
        tmp_path / "work",
        events.append,
    )
    nodes = [event for event in events if isinstance(event, NodeFinished)]
    broken = [(one.name, one.failure) for one in nodes if one.state is StepState.FAILED]
    assert finished.state is StepState.SUCCEEDED, broken
    states: dict[str, dict[str, StepState]] = {"good": {}, "bad": {}}
    for one in nodes:
        if one.resource_type == "test" and not one.name.startswith("answer_"):
            model = "bad" if "model.org1.bad" in one.depends_on else "good"
            states[model][one.name] = one.state
    assert {name for name, s in states["good"].items() if s is not StepState.SUCCEEDED} == set()
    assert {name for name, s in states["bad"].items() if s is not StepState.WARNED} == set()
    every = sum(map(len, COLUMNS.values())) + len(WHOLE) + len(APART["good"])
    assert (len(states["good"]), len(states["bad"])) == (every, every)
    used = {next(iter(test)) for test in warned([*sum(COLUMNS.values(), []), *WHOLE])}
    used |= {next(iter(test)) for test in APART["good"]}
    assert used == {f"{name}.{test}" for name, one in PACKAGES.items() for test in one.tests}
    texts = " ".join([*MACROS.values()])
    assert not [name for name in PACKAGES["dbt_utils"].macros - _INSIDE if f".{name}(" not in texts]


def test_a_model_with_packages_compiles_without_a_database(tmp_path: Path) -> None:
    config = {"host": "127.0.0.1", "port": 1, "database": "d", "user": "u", "password": "p"}
    step = TransformStep(key="t", destination_id=2)
    specs = [
        {"name": "p", "kind": "project", "project": {"packages": ["dbt_utils"]}},
        {"name": "good", "sql": "select 1 as id, 2 as d, 3 as grp"},
        {"name": "m", "sql": f"with a as ({MACROS['starred']}) {MACROS['pivoted']}"},
    ]
    project = build_project(
        "org1",
        step,
        "postgres",
        [TransformationSpec.model_validate({"destination_id": 2, **one}) for one in specs],
        (),
    )
    resolved = ResolvedTransform(
        run_id=1, attempt=1, step=step, destination=postgres(config), project_name="org1",
        files=project,
    )  # fmt: skip
    compiled = compile_model(resolved, "m", tmp_path, incremental=False)
    assert "with a as (select *" in " ".join(compiled.sql.split())


def test_every_macro_of_dbt_is_reserved() -> None:
    names = set()
    for root in map(Path, dbt.__path__):
        for path in root.glob("include/*/*/**/*.sql"):
            for kind, name in re.findall(r"\{%-?\s*(macro|test)\s+(\w+)", path.read_text()):
                names.add(name if kind == "macro" else f"test_{name}")
    listed = Path(str(files("datanika.compiler").joinpath("dbt_macros.txt"))).read_text().split()
    assert {name for name in names if "__" not in name} <= set(listed)


_INSIDE = {"generate_surrogate_key"}
"""Called by surrogate_key."""


def _differs(sql: str, rows: list[tuple[Any, ...]]) -> str:
    """A singular test: rows that are not as expected, or missing."""
    for name in MACROS:
        sql = sql.replace(f"p.{name}", f"{{{{ ref('{name}') }}}}")
    wanted = " union all ".join(
        "select "
        + ", ".join(
            "null" if v is None else f"'{v}'" if isinstance(v, str) else str(v) for v in row
        )
        for row in rows
    )
    asked = f"select * from ({sql}) as asked"
    return f"({asked} except all ({wanted})) union all (({wanted}) except all {asked})"
