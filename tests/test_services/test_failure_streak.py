"""A poison pipeline: people hear of it, it is paused with the reason, and nobody else notices."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select

from datanika.config import settings
from datanika.contracts.enums import RunState
from datanika.contracts.events import Failure, RunFinish
from datanika.db import SYSTEM, TenantScope, get_session
from datanika.models import AuditLog, Organization, Pipeline
from datanika.services.actor import Actor
from datanika.services.audit_service import verify
from datanika.services.pipeline_service import PipelineService
from datanika.services.run_recorder import RunRecorder
from tests.support.channels import deliveries, end_run, make_channel
from tests.support.dependencies import change, claim, depend, runs_of, succeed
from tests.support.pipelines import make_pipeline

pytestmark = pytest.mark.usefixtures("database")
OUT_OF_MEMORY = Failure(code="out_of_memory", message="It took more memory than it may.")


@pytest.fixture
async def poison(actor: Actor) -> int:
    return (await make_pipeline(actor, "poison")).id


async def pipeline_of(pipeline_id: int) -> Pipeline:
    async with get_session(SYSTEM) as session:
        return await session.get_one(Pipeline, pipeline_id)


async def fail(actor: Actor, pipeline_id: int, times: int) -> None:
    for _ in range(times):
        await end_run(actor, pipeline_id, RunState.FAILED)


async def test_only_failures_in_a_row_count(actor: Actor, poison: int) -> None:
    before = await pipeline_of(poison)
    await fail(actor, poison, 2)
    await end_run(actor, poison, RunState.CANCELLED)
    assert (await pipeline_of(poison)).consecutive_failures == 2
    await fail(actor, poison, 1)
    now = await pipeline_of(poison)
    assert now.consecutive_failures == 3
    # Counting is no change of the pipeline: nobody's edit is refused for it.
    assert (now.revision, now.updated_at) == (before.revision, before.updated_at)
    await succeed(actor, poison)
    assert (await pipeline_of(poison)).consecutive_failures == 0


async def test_failures_at_once_are_all_counted(actor: Actor, poison: int) -> None:
    await asyncio.gather(*(fail(actor, poison, 1) for _ in range(8)))
    assert (await pipeline_of(poison)).consecutive_failures == 8


async def test_the_fifth_failure_warns_once(actor: Actor, poison: int) -> None:
    await make_channel(actor, events=["pipeline.failing"])
    await fail(actor, poison, 4)
    assert await deliveries(actor) == []
    await fail(actor, poison, 3)
    [warning] = await deliveries(actor)
    assert warning.event == "pipeline.failing"
    assert "last 5 runs failed" in warning.payload["reason"]
    assert warning.payload["run"]["error"]["code"] == "boom"
    assert not (await pipeline_of(poison)).is_paused


async def test_the_tenth_failure_pauses_it_and_says_why(actor: Actor, poison: int) -> None:
    await make_channel(actor, events=["pipeline.paused", "pipeline.resumed"])
    await change(poison, deployed_hash="known")
    await fail(actor, poison, 9)
    assert (await pipeline_of(poison)).deployed_hash == "known"
    await fail(actor, poison, 3)
    paused = await pipeline_of(poison)
    assert (paused.is_paused, paused.pause_code) == (True, "too_many_failures")
    assert "last 10 runs failed" in (paused.pause_reason or "")
    assert (paused.revision, paused.deployed_hash) == (2, None)
    [told] = await deliveries(actor)
    assert (told.event, told.payload["reason"]) == ("pipeline.paused", paused.pause_reason)
    async with get_session(SYSTEM) as session:
        query = select(AuditLog).where(AuditLog.action == "pipeline.paused")
        [entry] = await session.scalars(query)
        assert (entry.actor, entry.user_id, entry.resource_id) == ("system", None, poison)
        assert await verify(session, actor.org_id) is None
    async with get_session(actor.scope) as session:
        resumed = await PipelineService(session, actor).update(poison, is_paused=False)
    assert (resumed.is_paused, resumed.pause_code, resumed.pause_reason) == (False, None, None)
    assert resumed.consecutive_failures == 0
    await fail(actor, poison, 1)
    assert not (await pipeline_of(poison)).is_paused


async def test_who_paused_it_is_not_overwritten(actor: Actor, poison: int) -> None:
    async with get_session(actor.scope) as session:
        await PipelineService(session, actor).update(poison, is_paused=True)
    await fail(actor, poison, 11)
    mine = await pipeline_of(poison)
    assert (mine.pause_code, mine.revision, mine.consecutive_failures) == (None, 2, 11)


async def test_the_thresholds_are_settings(
    actor: Actor, poison: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "failures_until_pause", 2)
    await fail(actor, poison, 2)
    assert (await pipeline_of(poison)).is_paused


async def test_ten_healthy_pipelines_do_not_notice_a_poison_one(actor: Actor, poison: int) -> None:
    healthy = [(await make_pipeline(actor, f"healthy_{number}")).id for number in range(10)]
    # What depends on the poison is not started by its failures.
    await depend(actor, healthy[0], poison)
    async with get_session(SYSTEM) as session:
        (await session.get_one(Organization, actor.org_id)).max_concurrent_runs = 3
    rounds = 12
    for _ in range(rounds):
        for pipeline_id in (poison, *healthy):
            claimed = await claim(actor, pipeline_id)
            if pipeline_id != poison:
                assert claimed.proceed, claimed.reason
            if not claimed.proceed:
                assert claimed.reason == "The pipeline is paused."
                continue
            end = (
                RunFinish(state=RunState.FAILED, failure=OUT_OF_MEMORY)
                if pipeline_id == poison
                else RunFinish(state=RunState.SUCCEEDED)
            )
            async with get_session(TenantScope(actor.org_id)) as session:
                await RunRecorder(session, claimed.run_id, claimed.attempt).finish(end)
    assert [run.state for run in await runs_of(poison)] == ["failed"] * 10
    for pipeline_id in healthy:
        assert [run.state for run in await runs_of(pipeline_id)] == ["succeeded"] * rounds
        assert (await pipeline_of(pipeline_id)).consecutive_failures == 0
