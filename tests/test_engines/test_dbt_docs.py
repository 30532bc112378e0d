"""What dbt says of relations beside their data: documentation, tests, freshness."""

from __future__ import annotations

from pathlib import Path

from datanika.contracts.docs import ColumnDocs
from datanika.contracts.enums import DbtCommand, StepState
from datanika.contracts.events import NodeFinished, RunEvent, StepFinished
from datanika.contracts.spec import TransformStep
from datanika.contracts.steps import ResolvedConnection, ResolvedTransform
from datanika.engines.dbt_engine.build import run_transform
from tests.support.postgres import Warehouse
from tests.test_engines.steps import duckdb, postgres
from tests.test_engines.targets import ask_duckdb

FILES = {
    "dbt_project.yml": "name: org1\nversion: 1.0.0\nprofile: org1\n"
    "models: {+materialized: table}\n",
    "models/schema.yml": """
version: 2
sources:
- name: raw
  tables:
  - name: orders
    description: Every order.
    config: {loaded_at_field: at, freshness: {error_after: {count: 1, period: day}}}
    columns: [{name: id, description: Its number., data_tests: [unique]}]
models:
- name: stg
  description: Orders, *cleaned*.
  config: {tags: [daily], meta: {owner: Ann}}
  columns:
  - {name: id, description: The key., data_tests: [not_null]}
  - {name: status, data_tests: [{accepted_values: {values: [a], config: {severity: warn}}}]}
""",
    "models/stg.sql": "select id, status from {{ source('raw', 'orders') }}",
    "models/top.sql": "select count(*) as n from {{ ref('stg') }}",
    "tests/few.sql": "select * from {{ ref('top') }} where n > 100",
}
MADE = (
    "create schema raw",
    "create table raw.orders as select 1 as id, cast('b' as text) as status, "
    "cast('2020-01-01' as timestamp) as at",
)


def run(
    target: ResolvedConnection, folder: Path, command: DbtCommand, *select: str
) -> tuple[StepFinished, dict[str, NodeFinished]]:
    step = ResolvedTransform(
        run_id=7,
        attempt=1,
        step=TransformStep(key="t", destination_id=2, command=command, select=select),
        destination=target,
        project_name="org1",
        files=FILES,
    )
    events: list[RunEvent] = []
    folder.mkdir()
    finished = run_transform(step, folder, events.append)
    return finished, {e.name: e for e in events if isinstance(e, NodeFinished)}


def test_docs_tests_and_freshness_are_told(warehouse: Warehouse, tmp_path: Path) -> None:
    for statement in MADE:
        warehouse.query(statement)
    target = postgres(warehouse.config)
    finished, nodes = run(target, tmp_path / "build", DbtCommand.BUILD)

    assert finished.state is StepState.SUCCEEDED, finished.failure
    docs = nodes["stg"].docs
    assert docs is not None
    assert (docs.node, docs.kind, docs.materialization) == ("model.org1.stg", "model", "table")
    assert (docs.description, docs.tags, docs.meta) == (
        "Orders, *cleaned*.", ("daily",), {"owner": "Ann"},
    )  # fmt: skip
    accepted = "accepted_values_stg_status__a"
    assert docs.columns["id"] == ColumnDocs(description="The key.", tests=("not_null_stg_id",))
    assert docs.columns["status"].tests == (accepted,)
    assert docs.tests == (accepted, "not_null_stg_id")
    found = {
        name: (node.checked, node.state, node.details["column"], node.details["failures"])
        for name, node in nodes.items()
        if node.resource_type == "test"
    }
    assert found == {
        "not_null_stg_id": (("analytics.stg",), StepState.SUCCEEDED, "id", 0),
        accepted: (("analytics.stg",), StepState.WARNED, "status", 1),
        "source_unique_raw_orders_id": (("raw.orders",), StepState.SUCCEEDED, "id", 0),
        "few": (("analytics.top",), StepState.SUCCEEDED, None, 0),
    }

    finished, nodes = run(target, tmp_path / "docs", DbtCommand.DOCS)
    assert finished.state is StepState.SUCCEEDED, finished.failure
    told = {name: (node.relation, node.resource_type) for name, node in nodes.items()}
    assert told == {
        "stg": ("analytics.stg", "model"),
        "top": ("analytics.top", "model"),
        "orders": ("raw.orders", "source"),
    }
    orders = nodes["orders"].docs
    assert orders is not None and orders.description == "Every order."
    assert orders.columns["id"].tests == ("source_unique_raw_orders_id",)
    assert [column.name for column in nodes["stg"].columns] == ["id", "status"]
    assert nodes["stg"].docs == docs

    _, nodes = run(target, tmp_path / "some", DbtCommand.DOCS, "top")
    assert nodes.keys() == {"top"}

    finished, nodes = run(target, tmp_path / "fresh", DbtCommand.SOURCE_FRESHNESS)
    assert finished.failure is not None and finished.failure.code == "dbt_source_stale"
    stale = nodes["orders"]
    assert (stale.state, stale.checked) == (StepState.FAILED, ("raw.orders",))
    assert stale.details["max_loaded_at"].startswith("2020-01-01")
    assert stale.details["age_seconds"] > 86_400


def test_duckdb_is_documented_too(tmp_path: Path) -> None:
    (tmp_path / "warehouse").mkdir()
    for statement in (*MADE, "create schema if not exists analytics",
                      "create table analytics.stg as select 1 as id, 'a' as status"):  # fmt: skip
        ask_duckdb(tmp_path)(statement)
    finished, nodes = run(duckdb(tmp_path), tmp_path / "docs", DbtCommand.DOCS)
    assert finished.state is StepState.SUCCEEDED, finished.failure
    assert {name: node.relation for name, node in nodes.items()} == {
        "stg": "analytics.stg",
        "orders": "raw.orders",
    }
    assert [column.name for column in nodes["orders"].columns] == ["id", "status", "at"]
