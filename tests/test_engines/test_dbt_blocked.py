"""A breach of a contract keeps those nodes from being built that read the column, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from datanika.contracts.enums import DbtCommand, StepState
from datanika.contracts.events import ColumnBreach, NodeFinished, RunEvent, StepFinished
from datanika.contracts.shape import BreachKind
from datanika.contracts.spec import TransformStep
from datanika.contracts.steps import BLOCKED, ResolvedConnection, ResolvedTransform
from datanika.engines.dbt_engine.build import run_transform
from tests.support.postgres import Warehouse
from tests.test_engines.steps import duckdb, postgres
from tests.test_engines.targets import ask_duckdb

FILES = {
    "dbt_project.yml": "name: org1\nversion: 1.0.0\nprofile: org1\n"
    "models: {+materialized: table}\n",
    "models/schema.yml": "version: 2\nsources:\n- name: raw\n  tables: [{name: orders}, "
    "{name: others}]\nmodels:\n- name: named\n  columns: [{name: id, data_tests: [not_null]}]\n",
    "models/ids.sql": "select id from {{ source('raw', 'orders') }}",
    "models/counted.sql": "select count(*) as n from {{ source('raw', 'orders') }}",
    "models/named.sql": "select id, status as s from {{ source('raw', 'orders') }}",
    "models/filtered.sql": "select id from {{ source('raw', 'orders') }} where status = 'a'",
    "models/star.sql": "select * from {{ source('raw', 'orders') }}",
    "models/between.sql": "{{ config(materialized='ephemeral') }}\n"
    "select * from {{ source('raw', 'orders') }}",
    "models/behind.sql": "select id from {{ ref('between') }}",
    "models/behind_too.sql": "select upper(status) as u from {{ ref('between') }}",
    "models/child.sql": "select s from {{ ref('named') }}",
    "models/grandchild.sql": "select count(*) as n from {{ ref('child') }}",
    "models/beside.sql": "select status from {{ source('raw', 'others') }}",
    "models/odd.sql": "select tools_twice(id) as x from {{ source('raw', 'orders') }}",
    "models/asked.sql": "-- depends_on: {{ source('raw', 'orders') }}\nselect 1 as id",
    "snapshots/kept.sql": "{% snapshot kept %}{{ config(strategy='check', unique_key='id', "
    "check_cols='all', target_schema='snaps') }}\n"
    "select id, status from {{ source('raw', 'orders') }}\n{% endsnapshot %}",
}
READ = {"named", "filtered", "star", "behind_too", "kept"}
UNTOLD = {"odd", "asked"}
AFTER = {"child", "grandchild", "not_null_named_id"}
ALL = READ | UNTOLD | AFTER | {"ids", "counted", "between", "behind", "beside"}


def build(
    target: ResolvedConnection, folder: Path, *breaches: ColumnBreach, **more: object
) -> tuple[StepFinished, dict[str, NodeFinished]]:
    step = ResolvedTransform(
        run_id=7,
        attempt=1,
        step=TransformStep.model_validate(
            {"key": "transform", "destination_id": 2, "command": DbtCommand.BUILD, **more}
        ),
        destination=target,
        project_name="org1",
        files=FILES,
        breaches=breaches,
    )
    events: list[RunEvent] = []
    folder.mkdir()
    finished = run_transform(step, folder, events.append)
    return finished, {e.name: e for e in events if isinstance(e, NodeFinished)}


def blocked(nodes: dict[str, NodeFinished]) -> set[str]:
    assert all(
        node.state is (StepState.SKIPPED if node.failure else StepState.SUCCEEDED)
        for node in nodes.values()
    ), {name: (node.state, node.failure) for name, node in nodes.items()}
    return {name for name, node in nodes.items() if node.failure and node.failure.code == BLOCKED}


@pytest.fixture
def target(warehouse: Warehouse) -> ResolvedConnection:
    warehouse.query("create schema raw")
    for name in ("orders", "others"):
        warehouse.query(f"create table raw.{name} (id int, status text, amount int)")
    warehouse.query("insert into raw.orders values (1, 'a', 5)")
    warehouse.query("create schema if not exists analytics")
    warehouse.query(
        "create function public.tools_twice(int) returns int language sql as 'select 2 * $1'"
    )
    return postgres(warehouse.config)


def broken(column: str | None, how: BreachKind, *, is_new: bool = False) -> ColumnBreach:
    return ColumnBreach(relation="raw.orders", column=column, how=how, is_new=is_new)


def test_only_readers_of_the_column_and_their_children_are_left_out(
    target: ResolvedConnection, warehouse: Warehouse, tmp_path: Path
) -> None:
    finished, nodes = build(target, tmp_path / "a", broken("status", BreachKind.DISCARDED))

    assert set(nodes) == ALL
    assert blocked(nodes) == READ | UNTOLD | AFTER
    assert finished.state is StepState.WARNED
    assert finished.failure is not None and finished.failure.code == BLOCKED
    assert f"{len(READ | UNTOLD | AFTER)} of {len(ALL)} nodes" in finished.failure.message
    assert "raw.orders.status" in finished.failure.message
    tables = "select table_name from information_schema.tables where table_schema = 'analytics'"
    built = {str(name) for (name,) in warehouse.query(tables)}
    assert built == {"ids", "counted", "behind", "beside"}
    reader, child = nodes["named"].failure, nodes["grandchild"].failure
    assert reader is not None and child is not None
    assert reader.message == (
        "Not built: It reads column 'status' of raw.orders, which broke its schema contract: "
        "the load left values of it out."
    )
    assert child.message.startswith("Not built: named reads column 'status' of raw.orders")
    assert "may read" in str(nodes["odd"].failure) and "may read" in str(nodes["asked"].failure)
    assert nodes["child"].details["blocked_by"]["through"] == "model.org1.named"
    assert nodes["behind"].details["compiled_sql"].count("__dbt__cte__between") == 2

    new = broken("fresh", BreachKind.FROZEN, is_new=True)
    _, nodes = build(target, tmp_path / "b", new)
    assert blocked(nodes) == {"star"} | UNTOLD, "a star would read the new column"

    new = broken("fresh", BreachKind.DISCARDED, is_new=True)
    finished, nodes = build(target, tmp_path / "c", new, exclude=("star",))
    assert (finished.state, blocked(nodes)) == (StepState.SUCCEEDED, set()), (
        "what the table does not have is read by nobody who does not name it"
    )

    gone = broken(None, BreachKind.DISCARDED)
    _, nodes = build(target, tmp_path / "d", gone, select=("source:raw.orders+", "beside"))
    assert blocked(nodes) == ALL - {"beside", "between"}
    finished, nodes = build(target, tmp_path / "e", gone, select=("beside",))
    assert (finished.state, blocked(nodes)) == (StepState.SUCCEEDED, set())


def test_in_duckdb_too(tmp_path: Path) -> None:
    target, query = duckdb(tmp_path), ask_duckdb(tmp_path)
    (tmp_path / "warehouse").mkdir()
    query("create schema raw")
    query("create table raw.orders as select 1 as id, 'a' as status, 5 as amount")
    query("create table raw.others as select 1 as id, 'a' as status, 5 as amount")
    query("create schema if not exists analytics")
    _, nodes = build(
        target, tmp_path / "a", broken("status", BreachKind.QUARANTINED), exclude=("odd",)
    )
    assert blocked(nodes) == READ | AFTER | {"asked"}
