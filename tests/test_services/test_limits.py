"""Limits: exact under parallel work, and nothing that waits for one is lost."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from typing import Any

import pytest
from sqlalchemy import func, select

from datanika.config import settings
from datanika.contracts.enums import RunState
from datanika.contracts.events import Failure, RunClaim, RunFinish
from datanika.db import SYSTEM, get_session
from datanika.errors import LimitReached
from datanika.models import Connection, Organization, Run
from datanika.services.connection_service import ConnectionService
from datanika.services.limits import limits_of
from datanika.services.run_lifecycle import close_run
from datanika.services.run_queue import SUBMITTING, startable_runs, take_place
from datanika.services.run_recorder import RunRecorder, claim_run
from datanika.services.run_rows import lock_run
from datanika.services.run_service import RunService
from datanika.services.usage_counter import next_month, store_storage
from datanika.services.usage_service import Usage, UsageService
from tests.support.pipelines import MadePipeline, make_pipeline
from tests.support.tenants import Tenant, make_tenant

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
async def tenant(database: str) -> Tenant:
    return await make_tenant()


async def limit(tenant: Tenant, **limits: int | None) -> None:
    async with get_session(SYSTEM) as session:
        organization = await session.get_one(Organization, tenant.org_id)
        for name, value in limits.items():
            setattr(organization, f"max_{name}", value)


async def trigger(tenant: Tenant, made: MadePipeline, key: str = "k") -> int:
    async with get_session(tenant.owner.scope) as session:
        return (await RunService(session, tenant.owner).trigger(made.id, key)).id


async def claim(tenant: Tenant, made: MadePipeline, run_id: int | None = None) -> RunClaim:
    """As a worker does; without ``run_id`` for Prefect's schedule."""
    async with get_session(tenant.owner.scope) as session:
        return await claim_run(
            session,
            org_id=tenant.org_id,
            pipeline_id=made.id,
            flow_run_id=str(uuid.uuid4()),
            run_id=run_id,
        )


async def place(run_id: int) -> bool:
    async with get_session(SYSTEM) as session:
        return await take_place(session, run_id) is not None


async def startable(tenant: Tenant | None = None) -> list[int]:
    async with get_session(SYSTEM) as session:
        org_id = tenant.org_id if tenant else None
        return list(await startable_runs(session, org_id=org_id, limit=100))


async def run_of(run_id: int) -> Run:
    async with get_session(SYSTEM) as session:
        return await session.get_one(Run, run_id)


async def finish(claimed: RunClaim, rows: int = 0) -> None:
    async with get_session(SYSTEM) as session:
        (await session.get_one(Run, claimed.run_id)).rows = rows
    async with get_session(SYSTEM) as session:
        recorder = RunRecorder(session, claimed.run_id, claimed.attempt)
        await recorder.finish(RunFinish(state=RunState.SUCCEEDED))


async def usage(tenant: Tenant) -> Usage:
    async with get_session(tenant.owner.scope) as session:
        return await UsageService(session, tenant.owner).read()


def test_an_organisations_own_limit_comes_before_the_platforms(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "default_max_connections", 7)
    monkeypatch.setattr(settings, "default_max_rows_per_month", None)
    assert limits_of(Organization(max_connections=None)).max_connections == 7
    assert limits_of(Organization(max_connections=0)).max_connections == 0
    assert limits_of(Organization()).max_rows_per_month is None


async def test_parallel_creations_give_exactly_as_many_connections_as_allowed(
    tenant: Tenant,
) -> None:
    await limit(tenant, connections=5)

    async def create(number: int) -> None:
        async with get_session(tenant.owner.scope) as session:
            service = ConnectionService(session, tenant.owner)
            await service.create(f"c{number}", "files", {"format": "csv"})

    outcomes = await asyncio.gather(*(create(i) for i in range(50)), return_exceptions=True)
    refused = [one for one in outcomes if isinstance(one, LimitReached)]
    assert (len(refused), outcomes.count(None)) == (45, 5)
    assert "5 connections" in refused[0].message
    async with get_session(SYSTEM) as session:
        assert await session.scalar(select(func.count()).select_from(Connection)) == 5


async def test_a_deleted_connection_makes_room(tenant: Tenant) -> None:
    await limit(tenant, connections=1)
    async with get_session(tenant.owner.scope) as session:
        service = ConnectionService(session, tenant.owner)
        first = await service.create("a", "files", {"format": "csv"})
        await service.delete(first.id)
        await service.create("b", "files", {"format": "csv"})


async def test_of_runs_submitted_at_once_only_as_many_get_a_place_as_allowed(
    tenant: Tenant,
) -> None:
    await limit(tenant, concurrent_runs=2)
    runs = [
        await trigger(tenant, await make_pipeline(tenant.owner, f"p{number}"))
        for number in range(5)
    ]
    got = await asyncio.gather(*(place(run_id) for run_id in runs))
    assert sum(got) == 2
    # A run that has a place keeps it however often its submission is tried.
    assert await place(runs[got.index(True)])
    assert not await place(runs[got.index(False)])


async def test_what_waits_starts_when_a_run_of_another_pipeline_ends(tenant: Tenant) -> None:
    await limit(tenant, concurrent_runs=1)
    pipelines = [await make_pipeline(tenant.owner, name) for name in ("a", "b", "c")]
    runs = [await trigger(tenant, made) for made in pipelines]
    claimed = await claim(tenant, pipelines[0], runs[0])
    assert await startable(tenant) == []
    assert not await place(runs[1])
    await finish(claimed)
    assert await startable(tenant) == [runs[1]]
    assert await place(runs[1])


async def test_a_submission_that_died_does_not_keep_its_run_waiting(tenant: Tenant) -> None:
    await limit(tenant, concurrent_runs=1)
    runs = [await trigger(tenant, await make_pipeline(tenant.owner, name)) for name in ("a", "b")]
    assert await place(runs[1])
    # Its process is killed: the reconciler takes it up again, and not the other one.
    assert await startable(tenant) == [runs[1]]
    async with get_session(SYSTEM) as session:
        run = await session.get_one(Run, runs[1])
        assert run.lease_expires_at is not None
        run.lease_expires_at -= SUBMITTING
    assert await startable(tenant) == [runs[0]]


async def test_a_busy_organisation_does_not_push_others_back(tenant: Tenant) -> None:
    neighbour = await make_tenant()
    await limit(tenant, concurrent_runs=2)
    ours = [
        await trigger(tenant, await make_pipeline(tenant.owner, f"p{number}"))
        for number in range(4)
    ]
    theirs = await trigger(neighbour, await make_pipeline(neighbour.owner))
    assert await startable() == [ours[0], theirs, ours[1]]


async def test_a_scheduled_run_over_the_limit_waits_and_is_not_lost(tenant: Tenant) -> None:
    await limit(tenant, concurrent_runs=1)
    first, second = [await make_pipeline(tenant.owner, name) for name in ("a", "b")]
    running = await claim(tenant, first)
    assert running.proceed
    refused = await claim(tenant, second)
    assert not refused.proceed and "waits for its turn" in (refused.reason or "")
    async with get_session(SYSTEM) as session:
        waiting = await session.scalar(select(Run).where(Run.pipeline_id == second.id))
        assert waiting is not None
    assert (waiting.state, waiting.flow_run_id) == (RunState.QUEUED, None)
    assert await startable(tenant) == []
    await finish(running)
    assert await startable(tenant) == [waiting.id]
    assert (await claim(tenant, second, waiting.id)).proceed


async def test_scheduled_runs_that_register_at_once_stay_within_the_limit(tenant: Tenant) -> None:
    await limit(tenant, concurrent_runs=2)
    pipelines = [await make_pipeline(tenant.owner, f"p{number}") for number in range(6)]
    claims = await asyncio.gather(*(claim(tenant, made) for made in pipelines))
    assert sum(one.proceed for one in claims) == 2
    async with get_session(SYSTEM) as session:
        states = (await session.scalars(select(Run.state).order_by(Run.state))).all()
    assert states == ["queued"] * 4 + ["starting"] * 2


@pytest.mark.parametrize("what", ["rows", "storage"])
async def test_used_up_months_and_disks_refuse_triggers_and_skip_schedules(
    tenant: Tenant, what: str
) -> None:
    made = await make_pipeline(tenant.owner)
    known = await trigger(tenant, made)
    claimed = await claim(tenant, made, known)
    await finish(claimed, rows=100)
    async with get_session(SYSTEM) as session:
        await store_storage(session, tenant.org_id, 5000)
    if what == "rows":
        await limit(tenant, rows_per_month=100)
    else:
        await limit(tenant, storage_bytes=5000)
    with pytest.raises(LimitReached) as refused:
        await trigger(tenant, made, "another")
    assert refused.value.code == "limit_reached"
    assert ("100" if what == "rows" else "5,000") in refused.value.message
    # The same key is still the same run.
    assert await trigger(tenant, made) == known
    skipped = await claim(tenant, made)
    assert not skipped.proceed
    run = await run_of(skipped.run_id)
    assert (run.state, run.error_code) == (RunState.SKIPPED, "limit_reached")
    await limit(tenant, rows_per_month=101, storage_bytes=5001)
    assert await trigger(tenant, made, "another")


async def test_a_run_is_counted_once_when_it_ends(tenant: Tenant) -> None:
    made = await make_pipeline(tenant.owner)
    claimed = await claim(tenant, made, await trigger(tenant, made))
    await finish(claimed, rows=7)
    async with get_session(SYSTEM) as session:
        recorder = RunRecorder(session, claimed.run_id, claimed.attempt)
        await recorder.finish(RunFinish(state=RunState.SUCCEEDED))  # said twice
    failed = await trigger(tenant, made, "2")
    cancelled = await trigger(tenant, made, "3")
    for run_id, state in ((failed, RunState.FAILED), (cancelled, RunState.CANCELLED)):
        async with get_session(SYSTEM) as session:
            run = await lock_run(session, run_id)
            assert run is not None
            await close_run(session, run, state, Failure(code="x", message="x"))
    now = await usage(tenant)
    (month,) = now.history
    # One that never began and was cancelled is no use of anything.
    assert (month.runs, month.failed_runs, month.rows) == (2, 1, 7)
    assert (now.rows.used, now.concurrent_runs.used, now.connections.used) == (7, 0, 2)


async def test_runs_that_end_at_once_are_all_counted(tenant: Tenant) -> None:
    claims = [
        await claim(tenant, await make_pipeline(tenant.owner, f"p{number}")) for number in range(6)
    ]
    await asyncio.gather(*(finish(one, rows=10) for one in claims))
    assert (await usage(tenant)).rows.used == 60


@pytest.mark.parametrize(
    ("month", "end"),
    [
        (dt.date(2026, 1, 1), dt.datetime(2026, 2, 1, tzinfo=dt.UTC)),
        (dt.date(2026, 12, 1), dt.datetime(2027, 1, 1, tzinfo=dt.UTC)),
    ],
)
def test_a_month_ends_when_the_next_begins(month: dt.date, end: Any) -> None:
    assert next_month(month) == end
