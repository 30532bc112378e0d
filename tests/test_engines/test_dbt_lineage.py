"""A build tells the lineage of what it made, from the warehouse's own columns."""

from __future__ import annotations

from pathlib import Path

from datanika.contracts.enums import DbtCommand, StepState
from datanika.contracts.events import LineageFound, RunEvent
from datanika.contracts.lineage import ColumnLineage, LineageKind
from datanika.contracts.spec import TransformStep
from datanika.contracts.steps import ResolvedTransform
from datanika.engines.dbt_engine.build import run_transform
from tests.support.postgres import Warehouse
from tests.test_engines.steps import postgres

FILES = {
    "dbt_project.yml": "name: org1\nversion: 1.0.0\nprofile: org1\n"
    "models: {+schema: null}\nseeds: {org1: {}}\n",
    "models/schema.yml": "version: 2\nsources:\n- name: raw\n  tables: [{name: orders}]\n",
    "seeds/names.csv": "status,label\na,Open\nb,Closed\n",
    "models/stg.sql": "select * from {{ source('raw', 'orders') }} where amount > 0",
    "models/between.sql": "{{ config(materialized='ephemeral') }}\n"
    "select id, upper(status) as status from {{ ref('stg') }}",
    "models/mart.sql": "{{ config(materialized='table') }}\n"
    "select b.id, n.label, count(*) as n from {{ ref('between') }} b "
    "join {{ ref('names') }} n on upper(n.status) = b.status group by 1, 2",
    "models/grows.sql": "{{ config(materialized='incremental') }}\n"
    "select status, id from {{ ref('stg') }}"
    "{% if is_incremental() %} where id > (select max(id) from {{ this }}){% endif %}",
    "models/odd.sql": "select id, tools.twice(amount) as x from {{ ref('stg') }}",
    "models/failing.sql": "{{ config(materialized='table') }}\n"
    "select id / 0 as id from {{ ref('mart') }}",
}


def build(warehouse: Warehouse, folder: Path) -> tuple[StepState, dict[str, LineageFound]]:
    step = ResolvedTransform(
        run_id=7,
        attempt=1,
        step=TransformStep(key="transform", destination_id=2, command=DbtCommand.BUILD),
        destination=postgres(warehouse.config),
        project_name="org1",
        files=FILES,
    )
    events: list[RunEvent] = []
    folder.mkdir()
    finished = run_transform(step, folder, events.append)
    found = {e.relation.partition(".")[2]: e for e in events if isinstance(e, LineageFound)}
    return finished.state, found


def told(column: ColumnLineage) -> tuple[str, list[str]]:
    return column.kind.value, [f"{one.relation}.{one.column}" for one in column.inputs]


def test_every_relation_of_a_build_tells_its_lineage(warehouse: Warehouse, tmp_path: Path) -> None:
    with warehouse.connect() as connection, connection.cursor() as cursor:
        cursor.execute("create schema raw")
        cursor.execute("create table raw.orders (id int, status text, amount int)")
        cursor.execute("insert into raw.orders values (1, 'a', 5), (2, 'b', 0), (3, 'a', 7)")
        cursor.execute("create schema tools")
        cursor.execute(
            "create function tools.twice(int) returns int language sql as 'select 2 * $1'"
        )
        connection.commit()

    build(warehouse, tmp_path / "first")
    state, found = build(warehouse, tmp_path / "again")

    assert state is StepState.FAILED
    assert set(found) == {"stg", "mart", "grows", "odd"}, "no seed, no ephemeral, none that failed"
    schema = found["stg"].relation.partition(".")[0]
    columns = {
        name: {one.column: told(one) for one in event.lineage.columns}
        for name, event in found.items()
    }
    assert columns["stg"] == {
        name: ("copy", [f"raw.orders.{name}"]) for name in ("id", "status", "amount")
    }
    assert found["stg"].lineage.reads == ("raw.orders",)
    assert columns["mart"] == {
        "id": ("copy", [f"{schema}.stg.id"]),
        "label": ("copy", [f"{schema}.names.label"]),
        "n": ("aggregated", []),
    }
    assert found["mart"].lineage.reads == (f"{schema}.names", f"{schema}.stg")
    rows = {f"{one.relation}.{one.column}" for one in found["mart"].lineage.rows or ()}
    assert rows == {
        f"{schema}.{name}" for name in ("stg.id", "stg.status", "names.status", "names.label")
    }
    assert columns["grows"] == {
        "status": ("copy", [f"{schema}.stg.status"]),
        "id": ("copy", [f"{schema}.stg.id"]),
    }
    assert f"{schema}.grows" in found["grows"].lineage.reads
    assert columns["odd"]["id"] == ("copy", [f"{schema}.stg.id"])
    unknown = found["odd"].lineage.columns[1]
    assert unknown.kind is LineageKind.UNKNOWN and unknown.reason
    assert found["odd"].lineage.reads == (f"{schema}.stg",)
