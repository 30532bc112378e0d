"""compile_plan: what it accepts, in which order, and which errors name what."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datanika.compiler import compile_plan
from datanika.compiler.plan import target_table
from datanika.contracts.spec import (
    ConnectionRef,
    IncrementalCursor,
    LoadStep,
    PipelineSpec,
    TableSpec,
    TransformationSpec,
    TransformStep,
)
from datanika.errors import GuardRefused, SpecError

FILES, WAREHOUSE, LAKE = 1, 2, 3
CONNECTIONS = {
    FILES: ConnectionRef(id=FILES, name="files", kind="files"),
    WAREHOUSE: ConnectionRef(id=WAREHOUSE, name="warehouse", kind="postgres"),
    LAKE: ConnectionRef(id=LAKE, name="lake", kind="duckdb"),
}


def load(key: str, *tables: TableSpec, after: tuple[str, ...] = (), **changes: object) -> LoadStep:
    return LoadStep(
        key=key,
        depends_on=after,
        source_id=FILES,
        destination_id=WAREHOUSE,
        target_schema="raw",
        tables=tables or (TableSpec(name=f"{key}.csv"),),
    ).model_copy(update=changes)


def transform(key: str, after: tuple[str, ...] = (), **changes: object) -> TransformStep:
    step = TransformStep(key=key, depends_on=after, destination_id=WAREHOUSE)
    return step.model_copy(update=changes)


def model(name: str, sql: str, **changes: object) -> TransformationSpec:
    return TransformationSpec(name=name, destination_id=WAREHOUSE, sql=sql).model_copy(
        update=changes
    )


def plan_of(*steps: LoadStep | TransformStep, transformations: tuple = ()):
    return compile_plan(PipelineSpec(steps=steps), CONNECTIONS, transformations)


def refusal(*steps: LoadStep | TransformStep, transformations: tuple = ()) -> SpecError:
    with pytest.raises(SpecError) as caught:
        plan_of(*steps, transformations=transformations)
    return caught.value


# -- order and hash -------------------------------------------------------------------------------


@st.composite
def acyclic_steps(draw: st.DrawFn) -> list[LoadStep | TransformStep]:
    """Up to eight steps; each may depend on earlier ones only."""
    steps: list[LoadStep | TransformStep] = []
    for index in range(draw(st.integers(1, 8))):
        earlier = [step.key for step in steps]
        needed = tuple(draw(st.lists(st.sampled_from(earlier), unique=True)) if earlier else ())
        if draw(st.booleans()):
            steps.append(load(f"step{index}", after=needed))
        else:
            steps.append(transform(f"step{index}", after=needed))
    return steps


@given(steps=acyclic_steps())
def test_every_dependency_runs_in_an_earlier_stage(steps):
    plan = plan_of(*steps)
    stage_of = {key: number for number, stage in enumerate(plan.stages) for key in stage}
    assert set(stage_of) == {step.key for step in steps}
    for step in steps:
        for needed in step.depends_on:
            assert stage_of[needed] < stage_of[step.key]


@given(steps=acyclic_steps(), seed=st.integers())
def test_the_order_of_independent_things_does_not_change_the_hash(steps, seed):
    models = [model("stg_a", "select 1"), model("mart_b", "select * from {{ ref('stg_a') }}")]
    shuffled = [
        step.model_copy(update={"depends_on": tuple(reversed(step.depends_on))}) for step in steps
    ]
    random.Random(seed).shuffle(shuffled)
    first = plan_of(*steps, transformations=tuple(models))
    second = plan_of(*shuffled, transformations=tuple(reversed(models)))
    assert first.hash == second.hash
    assert first == second


def test_the_order_of_tables_and_selectors_does_not_change_the_hash():
    tables = (TableSpec(name="a.csv"), TableSpec(name="b.csv"))
    one = plan_of(load("x", *tables), transform("t", select=("b", "a")))
    two = plan_of(load("x", *reversed(tables)), transform("t", select=("a", "b")))
    assert one.hash == two.hash


@given(
    size=st.integers(1, 7),
    extra=st.integers(0, 3),
    seed=st.integers(),
)
def test_a_cycle_is_always_refused_and_named(size, extra, seed):
    ring = [
        transform(f"ring{index}", after=(f"ring{(index + 1) % size}",)) for index in range(size)
    ]
    others = [transform(f"free{index}") for index in range(extra)]
    steps = [*ring, *others]
    random.Random(seed).shuffle(steps)
    error = refusal(*steps)
    assert error.code == "step_cycle"
    cycle = error.context["steps"]
    assert set(cycle) == {step.key for step in ring}
    assert cycle[0] == cycle[-1]
    assert all(key in error.message for key in cycle)


def test_a_change_of_a_models_sql_changes_the_hash():
    steps = (transform("t"),)
    before = plan_of(*steps, transformations=(model("a", "select 1"),))
    after = plan_of(*steps, transformations=(model("a", "select 2"),))
    assert before.hash != after.hash


@pytest.mark.parametrize(
    "change",
    [
        {"materialization": "table"},
        {"target_schema": "marts"},
        {"description": "now with words"},
        {"columns": ({"name": "id", "tests": ("unique",)},)},
    ],
)
def test_a_change_of_anything_about_a_model_changes_the_hash(change):
    before = TransformationSpec(name="a", destination_id=WAREHOUSE, sql="select 1 as id")
    after = TransformationSpec.model_validate(before.model_dump() | change)
    steps = (transform("t"),)
    assert (
        plan_of(*steps, transformations=(before,)).hash
        != plan_of(*steps, transformations=(after,)).hash
    )


def test_models_of_another_destination_are_not_in_the_plan():
    elsewhere = model("b", "{{ broken", destination_id=LAKE)
    steps = (transform("t"),)
    assert plan_of(*steps) == plan_of(*steps, transformations=(elsewhere,))


def test_a_transform_step_gets_only_its_declared_edges():
    plan = plan_of(
        load("load_x", TableSpec(name="x.csv")),
        transform("t"),
        transformations=(model("a", "select * from {{ source('raw', 'x') }}"),),
    )
    assert plan.get("t").step.depends_on == ()
    assert plan.stages == (("load_x", "t"),)


# -- references -----------------------------------------------------------------------------------


def test_an_unknown_dependency_names_step_and_field():
    error = refusal(load("a"), transform("b", after=("a", "ghost")))
    assert error.code == "unknown_step"
    assert "'b'" in error.message
    assert "'ghost'" in error.message
    assert error.field == "steps.1.depends_on.1"


def test_two_steps_with_one_key_are_refused():
    error = refusal(load("a"), transform("a"))
    assert error.code == "duplicate_step_key"
    assert error.field == "steps.1.key"


@pytest.mark.parametrize(
    ("step", "field"),
    [
        (load("a", source_id=99), "steps.0.source_id"),
        (load("a", destination_id=99), "steps.0.destination_id"),
        (transform("a", destination_id=99), "steps.0.destination_id"),
    ],
)
def test_an_unknown_connection_names_step_and_field(step, field):
    error = refusal(step)
    assert error.code == "unknown_connection"
    assert "'a'" in error.message
    assert error.field == field


@pytest.mark.parametrize(
    ("step", "role"),
    [
        (load("a", source_id=LAKE), "source"),
        (load("a", destination_id=FILES), "destination"),
        (transform("a", destination_id=FILES), "transform target"),
    ],
)
def test_a_connection_that_cannot_play_its_role_is_refused(step, role):
    error = refusal(step)
    assert error.code == "connection_kind_unfit"
    assert role in error.message


@pytest.mark.parametrize(
    ("table", "code", "field"),
    [
        (TableSpec(name="*.csv"), "target_missing", "target"),
        (TableSpec(name="a", write_disposition="merge"), "primary_key_missing", "primary_key"),
        (
            TableSpec(name="a", cursor=IncrementalCursor(column="id")),
            "cursor_with_replace",
            "write_disposition",
        ),
        (
            TableSpec(
                name="a",
                write_disposition="append",
                cursor=IncrementalCursor(column="id", lag_seconds=60),
            ),
            "lag_needs_merge",
            "cursor.lag_seconds",
        ),
    ],
)
def test_a_table_that_could_not_land_is_refused(table, code, field):
    error = refusal(load("a", TableSpec(name="fine"), table))
    assert error.code == code
    assert error.field == f"steps.0.tables.1.{field}"
    assert "'a'" in error.message


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("orders", "orders"),
        ("sales.Orders", "orders"),
        ("nyc/flights.parquet", "flights"),
        ("nyc/flights-*.csv.gz", "flights"),
        ("2024.csv", None),
        ("**/*.jsonl", None),
    ],
)
def test_the_destination_table_follows_from_the_source_name(name, target):
    assert target_table(TableSpec(name=name)) == target


def test_the_plan_says_where_each_table_lands():
    plan = plan_of(load("a", TableSpec(name="nyc/flights.parquet")))
    assert [table.target for table in plan.get("a").step.tables] == ["flights"]


def test_two_loads_into_one_table_are_refused_and_both_named():
    error = refusal(load("a", TableSpec(name="x.csv")), load("b", TableSpec(name="y", target="x")))
    assert error.code == "duplicate_destination_table"
    assert "'a'" in error.message
    assert "'b'" in error.message
    assert "raw.x" in error.message


def test_one_table_name_in_two_destinations_is_fine():
    plan_of(
        load("a", TableSpec(name="x.csv")),
        load("b", TableSpec(name="x.csv"), destination_id=LAKE),
    )


def test_a_model_over_a_loaded_table_is_refused():
    error = refusal(
        load("a", TableSpec(name="x.csv")),
        transform("t", after=("a",)),
        transformations=(model("x", "select 1", target_schema="raw"),),
    )
    assert error.code == "duplicate_destination_table"
    assert "raw.x" in error.message


@pytest.mark.parametrize("selector", ["--vars", "-x", "a b", "path:../other", "a;b", ""])
def test_a_selector_cannot_become_an_option_or_a_path(selector):
    assert refusal(transform("t", select=(selector,))).code == "selector_invalid"


@pytest.mark.parametrize("selector", ["stg_a", "+mart", "tag:daily", "@a+", "2+a+1", "marts.*"])
def test_dbt_selectors_are_accepted(selector):
    plan_of(transform("t", select=(selector,)))


# -- dbt ------------------------------------------------------------------------------------------


def test_references_are_read_from_the_syntax_tree():
    plan = plan_of(
        transform("t"),
        transformations=(
            model("a", "select 1"),
            model("b", "select 'ref(''ghost'')' -- {# ref('ghost') #}\nfrom {{ ref(\n 'a' ) }}"),
            model("c", "{% if is_incremental() %}{{ source('raw', 'x') }}{% endif %} select 1"),
        ),
    )
    nodes = {node.name: node for node in plan.get("t").models}
    assert nodes["b"].refs == ("a",)
    assert nodes["c"].sources == (("raw", "x"),)


def test_what_a_macro_reads_is_read_by_the_models_that_call_it():
    plan = plan_of(
        transform("t"),
        transformations=(
            model("a", "select 1"),
            model("outer_m", "{% macro outer_m() %}{{ inner_m() }}{% endmacro %}", kind="macro"),
            model(
                "inner_m",
                "{% macro inner_m() %}select * from {{ ref('a') }}{% endmacro %}",
                kind="macro",
            ),
            model("b", "{{ outer_m() }}"),
        ),
    )
    nodes = {node.name: node for node in plan.get("t").models}
    assert nodes["b"].refs == ("a",)


def test_models_are_in_build_order():
    plan = plan_of(
        transform("t"),
        transformations=(
            model("a", "select * from {{ ref('z') }}"),
            model("m", "select * from {{ ref('a') }}"),
            model("z", "select 1"),
        ),
    )
    assert [node.name for node in plan.get("t").models] == ["z", "a", "m"]


def test_an_unknown_ref_names_both_models():
    error = refusal(transform("t"), transformations=(model("a", "{{ ref('ghost') }}"),))
    assert error.code == "unknown_ref"
    assert "'a'" in error.message
    assert "'ghost'" in error.message
    assert error.field == "transformations.a.sql"


def test_an_unknown_ref_in_a_relationships_test_is_refused():
    checked = TransformationSpec.model_validate(
        {
            "name": "a",
            "destination_id": WAREHOUSE,
            "sql": "select 1 as id",
            "columns": [
                {
                    "name": "id",
                    "tests": [{"relationships": {"to": "ref('ghost')", "field": "id"}}],
                }
            ],
        }
    )
    assert refusal(transform("t"), transformations=(checked,)).code == "unknown_ref"


def test_a_ref_to_a_singular_test_is_refused():
    error = refusal(
        transform("t"),
        transformations=(model("a", "select 1", kind="test"), model("b", "{{ ref('a') }}")),
    )
    assert error.code == "unknown_ref"


def test_a_cycle_between_models_is_refused_and_named():
    error = refusal(
        transform("t"),
        transformations=(
            model("a", "{{ ref('b') }}"),
            model("b", "{{ ref('c') }}"),
            model("c", "{{ ref('a') }}"),
        ),
    )
    assert error.code == "model_cycle"
    assert "a -> b -> c -> a" in error.message


def test_a_model_that_reads_itself_is_a_cycle():
    error = refusal(transform("t"), transformations=(model("a", "{{ ref('a') }}"),))
    assert error.code == "model_cycle"


def test_a_chain_of_a_thousand_models_compiles():
    chain = tuple(
        model(f"m{index}", f"{{{{ ref('m{index - 1}') }}}}" if index else "select 1")
        for index in range(1000)
    )
    assert len(plan_of(transform("t"), transformations=chain).get("t").models) == 1000


def test_two_transformations_of_one_name_are_refused():
    twice = (model("a", "select 1"), model("a", "select 2"))
    assert refusal(transform("t"), transformations=twice).code == "duplicate_transformation"


def test_an_unknown_generic_test_is_refused():
    checked = TransformationSpec.model_validate(
        {
            "name": "a",
            "destination_id": WAREHOUSE,
            "sql": "select 1 as id",
            "columns": [{"name": "id", "tests": ["is_nice"]}],
        }
    )
    error = refusal(transform("t"), transformations=(checked,))
    assert error.code == "unknown_test"
    assert "is_nice" in error.message


def test_unguarded_sql_never_becomes_a_plan():
    with pytest.raises(GuardRefused) as caught:
        plan_of(transform("t"), transformations=(model("a", "\n{{ env_var('HOME') }}"),))
    assert caught.value.field == "transformations.a.sql"
    assert caught.value.context["line"] == 2
