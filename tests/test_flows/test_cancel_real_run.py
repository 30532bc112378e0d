"""A cancel ends what runs at the destination within 5 seconds, and says what was committed.

API, Prefect, worker, dlt, dbt and PostgreSQL are real.
"""

from __future__ import annotations

import asyncio
import time
import uuid

import httpx
from sqlalchemy import select

from datanika.config import settings
from datanika.contracts.enums import RunState, WriteDisposition
from datanika.contracts.spec import (
    LoadStep,
    PipelineSpec,
    RetryPolicy,
    TableSpec,
    TransformationSpec,
    TransformStep,
)
from datanika.db import get_session
from datanika.models import Run, RunLog, RunStep
from datanika.services.actor import Actor
from datanika.services.connection_service import ConnectionService
from datanika.services.deployer import submit_run
from datanika.services.pipeline_service import PipelineService
from datanika.services.run_service import RunService
from datanika.services.transformation_service import TransformationService
from tests.support.postgres import Warehouse
from tests.support.tenants import access_token, make_tenant
from tests.test_flows.conftest import Start

PROMISE_SECONDS = 5.0
SLEEPING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND wait_event = 'PgSleep'"
)
SLOW = """
CREATE OR REPLACE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$
"""


async def make(actor: Actor, warehouse: Warehouse) -> tuple[dict[str, int], int]:
    """Pipelines: two tables, the second of which can be made slow where rows are copied into it, or
    where they are inserted from beside it; and a model that sleeps."""
    retry = RetryPolicy(retries=0)
    async with get_session(actor.scope) as session:
        connections = ConnectionService(session, actor)
        source = await connections.create("files", "files", {"format": "csv"})
        target = await connections.create("warehouse", "postgres", warehouse.config)
        await TransformationService(session, actor).create(
            TransformationSpec(
                name="sleeper",
                destination_id=target.id,
                sql="select 1 as id, pg_sleep(60)::text as slept",
                materialization="table",
            )
        )
        pipelines = PipelineService(session, actor)
        loads = {}
        for what, how in (
            ("COPY", WriteDisposition.APPEND),
            ("INSERT", WriteDisposition.REPLACE),
        ):
            load = LoadStep(
                key="load",
                source_id=source.id,
                destination_id=target.id,
                target_schema="raw",
                tables=(
                    TableSpec(name="fast.csv", target=f"fast_{how}"),
                    TableSpec(name="slow.csv", target=f"slow_{how}", write_disposition=how),
                ),
                retry=retry,
            )
            spec = PipelineSpec(steps=(load,))
            loads[what] = (await pipelines.create(f"loads {how}", "", spec)).id
        build = TransformStep(key="build", destination_id=target.id, retry=retry)
        builds = await pipelines.create("builds", "", PipelineSpec(steps=(build,)))
        return loads, builds.id


async def trigger(actor: Actor, pipeline_id: int) -> int:
    async with get_session(actor.scope) as session:
        run = await RunService(session, actor).trigger(pipeline_id, uuid.uuid4().hex)
    await submit_run(run.id)
    return run.id


async def state(actor: Actor, run_id: int) -> str:
    async with get_session(actor.scope) as session:
        return (await session.get_one(Run, run_id)).state


async def until_over(actor: Actor, run_id: int) -> str:
    async with asyncio.timeout(120):
        while True:
            found = await state(actor, run_id)
            if RunState(found).is_final:
                return found
            await asyncio.sleep(0.1)


async def seconds_to_cancel(
    api: httpx.AsyncClient, actor: Actor, warehouse: Warehouse, run_id: int
) -> float:
    """From POST cancel until the run is cancelled and its statement is gone from the server."""
    async with asyncio.timeout(120):
        while not warehouse.query(SLEEPING)[0][0]:
            assert not RunState(await state(actor, run_id)).is_final
            await asyncio.sleep(0.05)
    began = time.monotonic()
    assert (await api.post(f"/api/v1/runs/{run_id}/cancel")).status_code == 200
    async with asyncio.timeout(60):
        while True:
            gone = not warehouse.query(SLEEPING)[0][0]
            if gone and await state(actor, run_id) == RunState.CANCELLED:
                return time.monotonic() - began
            await asyncio.sleep(0.05)


async def committed(actor: Actor, run_id: int) -> tuple[dict[str, bool], str]:
    """By table or model, and the log line that says it."""
    async with get_session(actor.scope) as session:
        query = select(RunStep).where(RunStep.run_id == run_id, RunStep.node != "")
        steps = list(await session.scalars(query))
        lines = await session.scalars(select(RunLog.message).where(RunLog.run_id == run_id))
        [line] = [text for text in lines if text.startswith("Committed: ")]
    return {step.name: step.details["committed"] for step in steps}, line


async def test_a_cancel_interrupts_copy_insert_and_model_within_five_seconds(
    start: Start, warehouse: Warehouse
) -> None:
    owner = (await make_tenant()).owner
    files = settings.org_root(owner.org_id) / "files"
    files.mkdir(parents=True)
    for name in ("fast", "slow"):
        (files / f"{name}.csv").write_text("id,amount\n1,10\n2,20\n")
    loads, builds = await make(owner, warehouse)
    took: dict[str, float] = {}
    async with (
        start() as url,
        httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {access_token(owner)}"}
        ) as api,
    ):
        for pipeline in loads.values():
            assert await until_over(owner, await trigger(owner, pipeline)) == RunState.SUCCEEDED
        warehouse.query(SLOW)
        for what, how in (("COPY", "append"), ("INSERT", "replace")):
            warehouse.query(
                f"CREATE TRIGGER slow BEFORE INSERT ON raw.slow_{how} "
                "FOR EACH ROW EXECUTE FUNCTION public.slow()"
            )
            run_id = await trigger(owner, loads[what])
            took[what] = await seconds_to_cancel(api, owner, warehouse, run_id)
            assert await committed(owner, run_id) == (
                {f"fast_{how}": True, f"slow_{how}": False},
                f"Committed: raw.fast_{how} (2 rows). Not committed: raw.slow_{how}.",
            )
            assert warehouse.query(f"SELECT count(*) FROM raw.slow_{how}")[0][0] == 2, "as it was"
        run_id = await trigger(owner, builds)
        took["model"] = await seconds_to_cancel(api, owner, warehouse, run_id)
        assert await committed(owner, run_id) == (
            {"sleeper": False},
            "Committed: nothing. Not committed: sleeper.",
        )
    assert max(took.values()) <= PROMISE_SECONDS, took
