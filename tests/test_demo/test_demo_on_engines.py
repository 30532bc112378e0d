"""The demo's steps through the real engines into PostgreSQL: right at first, right again."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from datanika.compiler import build_project, compile_plan
from datanika.contracts.enums import StepState
from datanika.contracts.events import NodeFinished, StepFinished
from datanika.contracts.spec import ConnectionRef
from datanika.contracts.steps import ResolvedConnection, ResolvedLoad, ResolvedTransform
from datanika.demo import content, verify
from datanika.demo.dataset import FOLDER, ROWS, write_files
from datanika.execution.engine_host import start_engine_host
from tests.test_engines.steps import LOCAL

PLAN = compile_plan(
    content.pipeline(1, 2),
    {
        1: ConnectionRef(id=1, name=content.SOURCE, kind="files"),
        2: ConnectionRef(id=2, name=content.WAREHOUSE, kind="postgres"),
    },
    content.transformations(2),
)


@pytest.fixture
def organisation(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr("datanika.config.settings.home", tmp_path)
    root = tmp_path / "org"
    write_files(root / "files" / FOLDER)
    return root


def resolved(run_id: int, warehouse, root: Path) -> tuple[ResolvedLoad, ResolvedTransform]:
    source = ResolvedConnection(
        id=1, name=content.SOURCE, kind="files", config={"format": "parquet"}, root=str(root)
    )
    destination = ResolvedConnection(
        id=2,
        name=content.WAREHOUSE,
        kind="postgres",
        config=warehouse.config,
        secret_fields=("password",),
        egress=LOCAL,
    )
    load, transform = PLAN.get("load_nyc").step, PLAN.get("transform_nyc").step
    return (
        ResolvedLoad(
            run_id=run_id,
            attempt=1,
            pipeline_key="p1_load_nyc",
            step=load,
            source=source,
            destination=destination,
        ),
        ResolvedTransform(
            run_id=run_id,
            attempt=1,
            step=transform,
            destination=destination,
            project_name="org1",
            files=build_project("org1", transform, "postgres", content.transformations(2), [load]),
        ),
    )


async def run(step: ResolvedLoad | ResolvedTransform) -> dict[str, NodeFinished]:
    """Run one step in an engine child; its finished nodes by name."""
    host = start_engine_host()
    nodes: dict[str, NodeFinished] = {}
    try:
        async for event in host.run(step):
            if isinstance(event, NodeFinished):
                nodes[event.name] = event
            if isinstance(event, StepFinished):
                assert event.state is StepState.SUCCEEDED, event.failure
    finally:
        host.close()
    return nodes


async def test_the_marts_equal_pandas_and_a_second_run_doubles_nothing(organisation, warehouse):
    for attempt in (1, 2):
        load, transform = resolved(attempt, warehouse, organisation)
        tables = await run(load)
        nodes = await run(transform)
        counts = {
            name: warehouse.query(query)[0][0] for name, query in verify.count_queries().items()
        }
        assert verify.compare_counts(counts) == []
        assert verify.compare_delays(warehouse.query(verify.MART_QUERY)) == []
        assert warehouse.query("select sum(flights) from marts.daily_departures") == [
            (ROWS["flights"],)
        ]
        states = [node.state for node in nodes.values() if node.resource_type == "test"]
        assert states.count(StepState.SUCCEEDED) == 18
        assert states.count(StepState.WARNED) == 1
        # The second run reads the newest hour again and nothing else.
        assert tables["flights"].rows == (ROWS["flights"] if attempt == 1 else 5)


async def test_rows_that_share_the_newest_hour_arrive_once_though_some_come_later(
    organisation, warehouse
):
    path = organisation / "files" / FOLDER / "flights.parquet"
    everything = pq.read_table(path)
    hours = everything["time_hour"]
    newest = pc.quantile(hours.cast("int64"), 0.5, interpolation="nearest")[0].as_py()
    shared = everything.filter(pc.equal(hours.cast("int64"), newest))
    assert shared.num_rows > 10
    older = everything.filter(pc.less(hours.cast("int64"), newest))
    pq.write_table(pa.concat_tables([older, shared.slice(0, shared.num_rows // 2)]), path)
    await run(resolved(1, warehouse, organisation)[0])
    pq.write_table(everything, path)
    await run(resolved(2, warehouse, organisation)[0])
    assert warehouse.query(
        "select count(*), count(distinct (time_hour, carrier, flight)) from raw.flights"
    ) == [(ROWS["flights"], ROWS["flights"])]
