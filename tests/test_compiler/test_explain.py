"""explain_text and explain_mermaid show the stages, and warn of what is probably not meant."""

from __future__ import annotations

from datanika.compiler import compile_plan, explain_mermaid, explain_text, plan_warnings
from datanika.contracts.plan import Plan
from datanika.contracts.spec import (
    ConnectionRef,
    LoadStep,
    PipelineSpec,
    TableSpec,
    TransformationSpec,
    TransformStep,
)

CONNECTIONS = {
    1: ConnectionRef(id=1, name="shop files", kind="files"),
    2: ConnectionRef(id=2, name='the "warehouse"', kind="postgres"),
}
MODELS = (
    TransformationSpec(
        name="stg_orders", destination_id=2, sql="select * from {{ source('raw', 'orders') }}"
    ),
    TransformationSpec(
        name="revenue", destination_id=2, sql="select * from {{ ref('stg_orders') }}"
    ),
)


def plan(after: tuple[str, ...] = ("load_shop",), models=MODELS) -> Plan:
    load = LoadStep(
        key="load_shop",
        source_id=1,
        destination_id=2,
        target_schema="raw",
        tables=(
            TableSpec(
                name="orders.csv",
                write_disposition="merge",
                primary_key=("id",),
                cursor={"column": "updated_at"},
            ),
        ),
    )
    transform = TransformStep(key="build", depends_on=after, destination_id=2, select=("+revenue",))
    return compile_plan(PipelineSpec(steps=(transform, load)), CONNECTIONS, models)


def test_the_text_shows_stages_tables_and_models():
    compiled = plan()
    assert explain_text(compiled, "shop") == (
        f"Pipeline shop: 2 steps in 2 stages, plan {compiled.hash[:12]}\n"
        "\n"
        "Stage 1\n"
        '  load_shop: load shop files (files) -> the "warehouse" (postgres), schema raw\n'
        "    2 retries after 5 s, each 2 times as long, at most 3600 s\n"
        "    orders <- orders.csv, merge on id, new rows by updated_at\n"
        "\n"
        "Stage 2\n"
        '  build: dbt build on the "warehouse" (postgres), schema analytics\n'
        "    after load_shop\n"
        "    2 retries after 5 s, each 2 times as long, at most 3600 s\n"
        "    select +revenue\n"
        "    model stg_orders <- raw.orders\n"
        "    model revenue <- stg_orders\n"
    )


def test_the_graph_links_tables_models_and_steps():
    assert explain_mermaid(plan()) == (
        "flowchart LR\n"
        '  subgraph s0["load: load_shop"]\n'
        '    s0t0[("raw.orders")]\n'
        "  end\n"
        '  subgraph s1["transform: build"]\n'
        '    s1m0["stg_orders"]\n'
        '    s1m1["revenue"]\n'
        "  end\n"
        "  s0t0 --> s1m0\n"
        "  s1m0 --> s1m1\n"
        "  s0 ==> s1\n"
    )


def test_a_transform_that_does_not_wait_for_its_load_is_warned_of():
    warnings = plan_warnings(plan(after=()))
    assert len(warnings) == 1
    assert "'build'" in warnings[0]
    assert "'load_shop'" in warnings[0]
    assert "raw.orders" in warnings[0]
    assert warnings[0] in explain_text(plan(after=()), "shop")


def test_a_good_plan_has_no_warnings():
    assert plan_warnings(plan()) == ()


def test_a_transform_without_transformations_is_warned_of():
    assert "no transformations" in plan_warnings(plan(models=()))[0]
