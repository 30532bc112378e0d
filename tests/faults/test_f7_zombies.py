"""F7: a process that was stopped until its run had another attempt wakes up and writes nothing,
neither to the destination nor to the control plane."""

from __future__ import annotations

import asyncio
import datetime as dt
import signal
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from datanika.config import settings
from datanika.contracts.enums import RunState, WriteDisposition
from datanika.contracts.events import LogLine, RunClaim, RunFinish
from datanika.db import SYSTEM, get_session
from datanika.engines.dlt_engine.table_load import TableLoad
from datanika.errors import Conflict
from datanika.execution.engine_host import EngineHostClient, start_engine_host
from datanika.models import Run
from datanika.services.actor import Actor
from datanika.services.reconciler import reconcile
from datanika.services.run_recorder import RunRecorder, claim_run
from datanika.services.run_service import RunService
from tests.faults.engine_faults import (
    blocked,
    children_of,
    hit,
    outcome,
    somebody_waits,
    write_rows,
)
from tests.faults.invariants import Place, check_invariants, left_behind
from tests.support.pipelines import CANARY, MadePipeline, make_pipeline
from tests.support.postgres import PostgresServer, Warehouse
from tests.support.tenants import make_tenant
from tests.test_engines.steps import APPEND, MERGE, REPLACE, files, load, postgres, run, table

DISPOSITIONS = (APPEND, MERGE, REPLACE)


@pytest.fixture(scope="module")
async def other_host(home: Path) -> AsyncIterator[EngineHostClient]:
    """Of the worker that has the next attempt."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATANIKA_HOME", str(home))
        client = start_engine_host()
    yield client
    client.close()


@pytest.mark.parametrize("point", ["when it has its locks", "at its last statement"])
@pytest.mark.parametrize("how", DISPOSITIONS, ids=str)
async def test_a_step_that_wakes_up_late_writes_nothing_to_the_destination(
    host: EngineHostClient,
    other_host: EngineHostClient,
    home: Path,
    tmp_path: Path,
    warehouse: Warehouse,
    postgres_server: PostgresServer,
    how: WriteDisposition,
    point: str,
) -> None:
    destination = postgres(warehouse.config)
    key = ("id",) if how is MERGE else ()
    spec = table("t.parquet", "t", how, key, None if how is REPLACE else "id")
    write_rows(tmp_path, 300)
    first = load(files(tmp_path), destination, spec, run_id=1)
    assert await outcome(host, first) is None
    write_rows(tmp_path, 500)
    zombie, successor = (
        load(files(tmp_path), destination, spec, run_id=2, attempt=attempt) for attempt in (1, 2)
    )
    if point == "when it has its locks":
        locked = asyncio.Event()
        asleep = asyncio.create_task(outcome(host, zombie, started=locked))
        await locked.wait()
        [child] = await hit(host, signal.SIGSTOP)
        assert await outcome(other_host, successor) is None
    else:
        with blocked(warehouse, "raw.t"):
            asleep = asyncio.create_task(outcome(host, zombie))
            await somebody_waits(warehouse)
            [child] = await hit(host, signal.SIGSTOP)
            # The session that waits is ended by the attempt that follows, not by the lock's end.
            following = asyncio.create_task(outcome(other_host, successor))
            while sessions_of(warehouse, "datanika-run-2-attempt-1-lock"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert await following is None
    figures = "SELECT count(*), count(DISTINCT id), min(_dlt_load_id), max(_dlt_load_id) FROM raw.t"
    left = warehouse.query(figures)
    assert left[0][:2] == (500, 500)
    child.resume()
    code = await asleep
    assert code in ("superseded", "connection_lost"), code
    assert warehouse.query(figures) == left
    assert children_of(host) == []
    assert left_behind(Place(postgres_server.admin_url, home, [warehouse])) == []


def test_a_load_that_lost_its_locks_commits_nothing(
    tmp_path: Path, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was stopped after its last look at the destination, while it read the source."""
    destination = postgres(warehouse.config)
    write_rows(tmp_path, 300)
    step = load(files(tmp_path), destination, table("t.parquet", "t", APPEND, (), "id"))
    assert run(step).code is None
    write_rows(tmp_path, 500)
    read = TableLoad._arrow_plan

    def read_and_lose(self: TableLoad, normalize: Any, stored: Any) -> Any:
        warehouse.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
            (self.writer.application_name,),
        )
        return read(self, normalize, stored)

    monkeypatch.setattr(TableLoad, "_arrow_plan", read_and_lose)
    assert run(step).code == "superseded"
    assert warehouse.query("SELECT count(*) FROM raw.t") == [(300,)]


def sessions_of(warehouse: Warehouse, prefix: str) -> bool:
    return bool(
        warehouse.query(
            "SELECT 1 FROM pg_stat_activity WHERE starts_with(application_name, %s)", (prefix,)
        )
    )


@pytest.fixture
async def actor(database: str) -> Actor:
    return (await make_tenant()).owner


@pytest.fixture
async def pipeline(actor: Actor) -> MadePipeline:
    return await make_pipeline(actor)


async def claim(actor: Actor, pipeline: MadePipeline, run_id: int) -> RunClaim:
    async with get_session(actor.scope) as session:
        return await claim_run(
            session,
            org_id=actor.org_id,
            pipeline_id=pipeline.id,
            flow_run_id=str(uuid.uuid4()),
            run_id=run_id,
        )


async def end_lease(run_id: int) -> None:
    async with get_session(SYSTEM) as session:
        run = await session.get_one(Run, run_id)
        run.lease_expires_at = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)


async def test_a_flow_that_wakes_up_late_is_refused_by_the_control_plane(
    actor: Actor, pipeline: MadePipeline, home: Path, postgres_server: PostgresServer
) -> None:
    async with get_session(actor.scope) as session:
        run_id = (await RunService(session, actor).trigger(pipeline.id, "k")).id
    zombie = await claim(actor, pipeline, run_id)
    await end_lease(run_id)
    assert (await reconcile())["lost"] == 1
    successor = await claim(actor, pipeline, run_id)
    assert successor.attempt == zombie.attempt + 1
    late = LogLine(step_key="load", message="written by a zombie")
    for speak in ("plan", "resolve", "record", "finish"):
        with pytest.raises(Conflict) as refused:
            async with get_session(actor.scope) as session:
                recorder = RunRecorder(session, run_id, zombie.attempt)
                if speak == "plan":
                    await recorder.plan()
                elif speak == "resolve":
                    await recorder.resolve("load")
                elif speak == "record":
                    await recorder.record([late])
                else:
                    await recorder.finish(RunFinish(state=RunState.FAILED))
        assert refused.value.code == "stale_attempt"
    async with get_session(actor.scope) as session:
        await RunRecorder(session, run_id, successor.attempt).finish(
            RunFinish(state=RunState.SUCCEEDED)
        )
    async with get_session(actor.scope) as session:
        assert (await RunService(session, actor).get(run_id)).state == RunState.SUCCEEDED
        assert not await RunService(session, actor).logs(run_id)
    await check_invariants(Place(postgres_server.admin_url, home, canaries=[CANARY]))


async def test_a_process_that_is_never_heard_again_costs_at_most_so_many_attempts(
    actor: Actor, pipeline: MadePipeline, home: Path, postgres_server: PostgresServer
) -> None:
    async with get_session(actor.scope) as session:
        run_id = (await RunService(session, actor).trigger(pipeline.id, "k")).id
    for _ in range(settings.max_attempts):
        await claim(actor, pipeline, run_id)
        await end_lease(run_id)
        assert (await reconcile())["lost"] == 1
    async with get_session(actor.scope) as session:
        run = await RunService(session, actor).get(run_id)
    assert (run.state, run.error_code) == (RunState.FAILED, "run_lost")
    assert run.attempt == settings.max_attempts
    assert run.error_message
    await check_invariants(Place(postgres_server.admin_url, home, canaries=[CANARY]))
