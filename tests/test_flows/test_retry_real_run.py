"""A retry does what is left, and a backfill repeats without doubles, through everything real."""

from __future__ import annotations

import asyncio

import httpx
from sqlalchemy import select

from datanika.config import settings
from datanika.contracts.enums import BackfillState, RunState
from datanika.contracts.enums import WriteDisposition as W
from datanika.contracts.spec import (
    IncrementalCursor,
    LoadStep,
    PipelineSpec,
    RetryPolicy,
    TableSpec,
    TransformationSpec,
    TransformStep,
)
from datanika.db import get_session
from datanika.models import RunStep
from datanika.services.actor import Actor
from datanika.services.connection_service import ConnectionService
from datanika.services.pipeline_service import PipelineService
from datanika.services.transformation_service import TransformationService
from tests.support.postgres import Warehouse
from tests.support.tenants import access_token, make_tenant
from tests.test_flows.conftest import Start

ONCE = RetryPolicy(retries=0)


async def make(actor: Actor, warehouse: Warehouse) -> tuple[int, int]:
    """A pipeline of a good and a missing table, and models on them; and one of events by time."""
    async with get_session(actor.scope) as session:
        connections = ConnectionService(session, actor)
        source = await connections.create("files", "files", {"format": "csv"})
        target = await connections.create("warehouse", "postgres", warehouse.config)
        models = {
            "first": "select * from {{ source('raw', 'good') }}",
            "second": "select 1 / (select count(*) from {{ source('raw', 'switch') }}) as id",
            "third": "select * from {{ ref('second') }}",
        }
        for name, sql in models.items():
            await TransformationService(session, actor).create(
                TransformationSpec(
                    name=name, destination_id=target.id, sql=sql, materialization="table"
                )
            )
        load = LoadStep(
            key="load",
            source_id=source.id,
            destination_id=target.id,
            target_schema="raw",
            tables=(TableSpec(name="good.csv"), TableSpec(name="late.csv")),
            retry=ONCE,
        )
        build = TransformStep(
            key="build", depends_on=("load",), destination_id=target.id, retry=ONCE
        )
        cursor = IncrementalCursor(column="at")
        table = TableSpec(name="events.csv", write_disposition=W.APPEND, cursor=cursor)
        events = load.model_copy(update={"tables": (table,), "target_schema": "events"})
        pipelines = PipelineService(session, actor)
        both = await pipelines.create("both", "", PipelineSpec(steps=(load, build)))
        timed = await pipelines.create("timed", "", PipelineSpec(steps=(events,)))
        return both.id, timed.id


async def over(api: httpx.AsyncClient, path: str, **body: object) -> dict[str, object]:
    """The run that ``path`` starts, when it is over."""
    answer = await api.post(f"{path}?wait=120", json=body, timeout=150)
    assert answer.status_code == 202, answer.text
    found: dict[str, object] = answer.json()
    assert RunState(str(found["state"])).is_final, found
    return found


async def cursor_of(api: httpx.AsyncClient, pipeline_id: int) -> str:
    [cursor] = (await api.get(f"/pipelines/{pipeline_id}/cursors")).json()["items"]
    return str(cursor["version"]["value"])


async def states(actor: Actor, run_id: object) -> dict[str, str]:
    async with get_session(actor.scope) as session:
        steps = await session.scalars(select(RunStep).where(RunStep.run_id == run_id))
        return {
            step.node.rsplit(".", 1)[-1] or step.step_key: step.state
            if step.details.get("left_out") is None
            else f"run {step.details['run_id']}"
            for step in steps
        }


async def test_a_retry_does_the_rest_and_a_repeated_chunk_doubles_nothing(
    start: Start, warehouse: Warehouse
) -> None:
    owner = (await make_tenant()).owner
    files = settings.org_root(owner.org_id) / "files"
    files.mkdir(parents=True)
    (files / "good.csv").write_text("id\n1\n2\n")
    days = "".join(f"{day},2026-01-{day:02}T12:00:00\n" for day in range(1, 8))
    (files / "events.csv").write_text(f"id,at\n{days}")
    warehouse.query("CREATE SCHEMA raw")
    warehouse.query("CREATE TABLE raw.switch (id int)")
    both, timed = await make(owner, warehouse)
    async with (
        start() as url,
        httpx.AsyncClient(
            base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {access_token(owner)}"}
        ) as api,
    ):
        one = (await over(api, f"/pipelines/{both}/runs"))["id"]
        assert await states(owner, one) == {
            "load": "failed", "good": "succeeded", "late": "failed", "build": "skipped",
        }  # fmt: skip
        (files / "late.csv").write_text("id\n7\n")
        two = (await over(api, f"/runs/{one}/retry"))["id"]
        assert await states(owner, two) == {
            "load": "succeeded", "good": f"run {one}", "late": "succeeded",
            "build": "failed", "first": "succeeded", "second": "failed", "third": "skipped",
        }  # fmt: skip
        warehouse.query("INSERT INTO raw.switch VALUES (1)")
        built = warehouse.query("SELECT xmin::text FROM analytics.first LIMIT 1")
        three = await over(api, f"/runs/{two}/retry")
        assert three["state"] == "succeeded"
        assert await states(owner, three["id"]) == {
            "load": f"run {two}", "good": f"run {one}", "late": f"run {two}",
            "build": "succeeded", "first": f"run {two}", "second": "succeeded",
            "third": "succeeded",
        }  # fmt: skip
        assert warehouse.query("SELECT xmin::text FROM analytics.first LIMIT 1") == built

        assert (await over(api, f"/pipelines/{timed}/runs"))["state"] == "succeeded"
        cursor = (await api.get(f"/pipelines/{timed}/cursors")).json()["items"][0]["version"][
            "value"
        ]
        span = {
            "interval_start": "2026-01-02T00:00:00Z",
            "interval_end": "2026-01-05T00:00:00Z",
            "chunk_seconds": 86_400,
        }
        for _ in range(2):
            made = await api.post(f"/pipelines/{timed}/backfills", json=span)
            assert made.status_code == 202, made.text
            path = f"/backfills/{made.json()['id']}"
            async with asyncio.timeout(150):
                while True:
                    found = (await api.get(path)).json()
                    if found["state"] != BackfillState.RUNNING:
                        break
                    await asyncio.sleep(0.2)
            assert (found["state"], found["chunks"], found["chunks_done"]) == ("succeeded", 3, 3)
            rows = warehouse.query("SELECT id FROM events.events ORDER BY id")
            assert [row[0] for row in rows] == list(range(1, 8)), "no doubles, nothing lost"
        after = (await api.get(f"/pipelines/{timed}/cursors")).json()["items"][0]["version"][
            "value"
        ]
        assert after == cursor == "2026-01-07 12:00:00"
