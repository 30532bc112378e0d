"""A success starts what depends on it: once, together with the success, and nothing else."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import func, select, update

from datanika.contracts.enums import RunState
from datanika.contracts.events import RunFinish
from datanika.contracts.overrides import RunOverrides
from datanika.db import SYSTEM, TenantScope, get_session
from datanika.models import AuditLog, Connection
from datanika.services.actor import Actor
from datanika.services.audit_service import verify
from datanika.services.pipeline_service import PipelineService
from datanika.services.run_lifecycle import close_run
from datanika.services.run_recorder import RunRecorder
from datanika.services.run_rows import lock_run
from datanika.services.run_service import RunService
from tests.support.channels import end_run
from tests.support.dependencies import (
    change,
    claim,
    depend,
    needs_fresh,
    place,
    runs_of,
    succeed,
    trigger,
)
from tests.support.pipelines import make_pipeline

pytestmark = pytest.mark.usefixtures("database")


async def make(actor: Actor, *names: str) -> list[int]:
    return [(await make_pipeline(actor, name)).id for name in names]


async def end_dependency_runs(pipeline_id: int) -> None:
    for run in await runs_of(pipeline_id, "dependency"):
        async with get_session(SYSTEM) as session:
            locked = await lock_run(session, run.id)
            assert locked is not None
            if not RunState(locked.state).is_final:
                await close_run(session, locked, RunState.CANCELLED)


async def test_a_success_starts_a_run_of_what_depends_on_it(actor: Actor) -> None:
    orders, report = await make(actor, "orders", "report")
    await depend(actor, report, orders)
    run_id = await succeed(actor, orders)
    [run] = await runs_of(report)
    assert (run.state, run.trigger, run.triggered_by) == ("queued", "dependency", None)
    assert run.idempotency_key == f"dependency-{run_id}"
    assert run.waits_until is None
    assert await place(run.id)
    async with get_session(SYSTEM) as session:
        entry = await session.scalar(
            select(AuditLog).where(AuditLog.resource_id == run.id, AuditLog.actor == "dependency")
        )
        assert entry is not None and entry.action == "run.triggered"
        assert await verify(session, actor.org_id) is None


async def test_a_run_of_chosen_steps_is_no_success_of_the_pipeline(actor: Actor) -> None:
    orders, report = await make(actor, "orders", "report")
    await depend(actor, report, orders, within_seconds=3600)
    async with get_session(actor.scope) as session:
        only = RunOverrides(steps=("load",))
        run = await RunService(session, actor).trigger(orders, "k", overrides=only)
    claimed = await claim(actor, orders, run.id)
    async with get_session(TenantScope(actor.org_id)) as session:
        recorder = RunRecorder(session, claimed.run_id, claimed.attempt)
        await recorder.finish(RunFinish(state=RunState.SUCCEEDED))
    assert await runs_of(report) == []
    assert (await trigger(actor, report)).waits_until is not None


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.CANCELLED])
async def test_nothing_but_a_success_starts_anything(actor: Actor, state: RunState) -> None:
    orders, report = await make(actor, "orders", "report")
    await depend(actor, report, orders)
    await end_run(actor, orders, state)
    assert await runs_of(report) == []


async def test_an_end_that_is_rolled_back_starts_nothing(actor: Actor) -> None:
    orders, report = await make(actor, "orders", "report")
    await depend(actor, report, orders)
    run = await trigger(actor, orders)
    claimed = await claim(actor, orders, run.id)
    with pytest.raises(RuntimeError):
        async with get_session(SYSTEM) as session:
            locked = await lock_run(session, run.id)
            assert locked is not None
            await close_run(session, locked, RunState.SUCCEEDED)
            raise RuntimeError("the process dies before the commit")
    assert await runs_of(report) == []
    for _ in range(3):  # The worker says it again.
        async with get_session(TenantScope(actor.org_id)) as session:
            recorder = RunRecorder(session, claimed.run_id, claimed.attempt)
            await recorder.finish(RunFinish(state=RunState.SUCCEEDED))
    assert len(await runs_of(report)) == 1


async def test_with_several_upstreams_a_run_starts_after_the_last_of_them(actor: Actor) -> None:
    orders, customers, report = await make(actor, "orders", "customers", "report")
    await depend(actor, report, orders)
    await depend(actor, report, customers)
    await succeed(actor, orders)
    assert await runs_of(report) == []
    await succeed(actor, orders)
    assert await runs_of(report) == []
    await succeed(actor, customers)
    assert len(await runs_of(report)) == 1
    await end_dependency_runs(report)
    # Both must succeed again.
    await succeed(actor, customers)
    assert len(await runs_of(report)) == 1
    await succeed(actor, orders)
    assert len(await runs_of(report)) == 2


async def test_a_run_by_hand_does_not_use_up_the_successes_of_upstreams(actor: Actor) -> None:
    orders, customers, report = await make(actor, "orders", "customers", "report")
    await depend(actor, report, orders)
    await depend(actor, report, customers)
    await succeed(actor, orders)
    await end_run(actor, report, RunState.SUCCEEDED)
    await succeed(actor, customers)
    assert len(await runs_of(report, "dependency")) == 1


async def test_the_second_of_two_successes_waits_for_the_first_and_sees_it(actor: Actor) -> None:
    orders, customers, report = await make(actor, "orders", "customers", "report")
    ended = []
    for upstream in (orders, customers):
        await depend(actor, report, upstream)
        run = await trigger(actor, upstream)
        await claim(actor, upstream, run.id)
        ended.append(run.id)

    async def succeed_now(run_id: int, seconds: float = 0) -> None:
        async with get_session(SYSTEM) as session:
            locked = await lock_run(session, run_id)
            assert locked is not None
            await close_run(session, locked, RunState.SUCCEEDED)
            await asyncio.sleep(seconds)

    first = asyncio.create_task(succeed_now(ended[0], 2))
    await asyncio.sleep(1)
    await succeed_now(ended[1])
    assert first.done()
    await first
    assert len(await runs_of(report)) == 1


@pytest.mark.parametrize("attempt", range(3))
async def test_upstreams_that_succeed_at_once_start_exactly_one_run(
    actor: Actor, attempt: int
) -> None:
    upstreams = await make(actor, "a", "b", "c", "d")
    [report] = await make(actor, "report")
    for upstream in upstreams:
        await depend(actor, report, upstream)
    await asyncio.gather(*(succeed(actor, upstream) for upstream in upstreams))
    assert len(await runs_of(report)) == 1


async def test_a_whole_graph_that_ends_at_once_meets_no_deadlock(actor: Actor) -> None:
    ids = await make(actor, "a", "b", "c", "d", "e")
    for place_, pipeline_id in enumerate(ids):
        for upstream in ids[place_ + 1 :]:
            await depend(actor, pipeline_id, upstream)
    for pipeline_id in ids:
        await change(pipeline_id, overlap_policy="queue")
    await asyncio.gather(*(succeed(actor, pipeline_id) for pipeline_id in ids * 3))
    # The last depends on nothing; the one before on the last alone.
    assert len(await runs_of(ids[3], "dependency")) == 3


async def test_paused_and_deleted_dependants_are_not_started(actor: Actor) -> None:
    orders, paused, deleted = await make(actor, "orders", "paused", "deleted")
    for pipeline_id in (paused, deleted):
        await depend(actor, pipeline_id, orders)
    async with get_session(actor.scope) as session:
        service = PipelineService(session, actor)
        await service.update(paused, is_paused=True)
        await service.delete(deleted)
    await succeed(actor, orders)
    assert await runs_of(paused) == await runs_of(deleted) == []


async def test_a_deleted_upstream_is_no_longer_waited_for(actor: Actor) -> None:
    orders, customers, report = await make(actor, "orders", "customers", "report")
    await depend(actor, report, orders)
    await depend(actor, report, customers)
    async with get_session(actor.scope) as session:
        await PipelineService(session, actor).delete(customers)
    await succeed(actor, orders)
    assert len(await runs_of(report)) == 1


async def test_the_overlap_policy_says_what_becomes_of_a_run_while_another_is_not_over(
    actor: Actor,
) -> None:
    orders, skips, queues = await make(actor, "orders", "skips", "queues")
    await change(queues, overlap_policy="queue")
    for pipeline_id in (skips, queues):
        await depend(actor, pipeline_id, orders)
    await succeed(actor, orders)
    await succeed(actor, orders)
    first, second = await runs_of(skips)
    assert (first.state, second.state, second.error_code) == (
        "queued",
        "skipped",
        "overlap_skipped",
    )
    assert str(first.id) in (second.error_message or "")
    assert [run.state for run in await runs_of(queues)] == ["queued", "queued"]


async def test_a_chain_goes_on_link_by_link(actor: Actor) -> None:
    ids = await make(actor, "a", "b", "c")
    for upstream, pipeline_id in zip(ids, ids[1:], strict=False):
        await depend(actor, pipeline_id, upstream)
    await succeed(actor, ids[0])
    [run] = await runs_of(ids[1])
    assert await runs_of(ids[2]) == []
    claimed = await claim(actor, ids[1], run.id)
    async with get_session(TenantScope(actor.org_id)) as session:
        recorder = RunRecorder(session, claimed.run_id, claimed.attempt)
        await recorder.finish(RunFinish(state=RunState.SUCCEEDED))
    assert len(await runs_of(ids[2])) == 1


async def test_what_is_wrong_with_a_dependant_is_the_end_of_its_run_and_not_of_the_upstreams(
    actor: Actor,
) -> None:
    orders, report = await make(actor, "orders", "report")
    await depend(actor, report, orders)
    async with get_session(SYSTEM) as session:
        gone = Connection.name == "report files"
        await session.execute(update(Connection).where(gone).values(deleted_at=func.now()))
    run_id = await succeed(actor, orders)
    [run] = await runs_of(report)
    assert run.state == "failed"
    assert run.error_code and run.error_message
    assert [one.state for one in await runs_of(orders) if one.id == run_id] == ["succeeded"]


async def test_a_key_that_somebody_used_before_does_not_stop_the_upstream(actor: Actor) -> None:
    orders, report = await make(actor, "orders", "report")
    await depend(actor, report, orders)
    run = await trigger(actor, orders)
    async with get_session(actor.scope) as session:
        await RunService(session, actor).trigger(report, f"dependency-{run.id}")
    await change(report, overlap_policy="queue")
    claimed = await claim(actor, orders, run.id)
    async with get_session(TenantScope(actor.org_id)) as session:
        recorder = RunRecorder(session, claimed.run_id, claimed.attempt)
        await recorder.finish(RunFinish(state=RunState.SUCCEEDED))
    assert len(await runs_of(report)) == 1


async def test_a_started_run_waits_for_another_upstream_that_must_be_fresh(actor: Actor) -> None:
    orders, rates, report = await make(actor, "orders", "rates", "report")
    await depend(actor, report, orders)
    await needs_fresh(actor, report, rates)
    await succeed(actor, orders)
    [run] = await runs_of(report)
    assert run.state == "queued" and run.waits_until is not None
    assert not await place(run.id)
    await succeed(actor, rates)
    [run] = await runs_of(report)
    assert run.waits_until is None
    assert await place(run.id)
