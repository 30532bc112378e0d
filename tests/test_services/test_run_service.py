"""Runs as the UI sees them: lists, the latest of each pipeline, cancelling what is over."""

from __future__ import annotations

import uuid

import pytest
from sqlalchemy import inspect

from datanika.contracts.enums import RunState, RunTrigger, StepState
from datanika.contracts.events import RunFinish, StepFinished, utcnow
from datanika.db import get_session
from datanika.errors import IllegalTransition, NotFound
from datanika.models import RunLog
from datanika.services.actor import Actor
from datanika.services.run_lifecycle import lose_attempt
from datanika.services.run_recorder import RunRecorder, claim_run
from datanika.services.run_rows import lock_run
from datanika.services.run_service import RunService
from tests.support.paging import pages
from tests.support.pipelines import MadePipeline, make_pipeline
from tests.support.tenants import make_tenant


async def trigger(actor: Actor, pipeline: MadePipeline, key: str) -> int:
    async with get_session(actor.scope) as session:
        service = RunService(session, actor)
        return (await service.trigger(pipeline.id, key, RunTrigger.MANUAL)).id


async def end(actor: Actor, pipeline: MadePipeline, run_id: int) -> None:
    async with get_session(actor.scope) as session:
        claim = await claim_run(
            session,
            org_id=actor.org_id,
            pipeline_id=pipeline.id,
            flow_run_id=str(uuid.uuid4()),
            run_id=run_id,
        )
        recorder = RunRecorder(session, run_id, claim.attempt)
        await recorder.finish(RunFinish(state=RunState.SUCCEEDED))


async def test_lists_are_newest_first_and_can_be_narrowed(actor: Actor) -> None:
    one, two = await make_pipeline(actor, "one"), await make_pipeline(actor, "two")
    ids = [await trigger(actor, one, "1"), await trigger(actor, two, "2")]
    ids.append(await trigger(actor, one, "3"))
    await end(actor, one, ids[0])
    async with get_session(actor.scope) as session:
        service = RunService(session, actor)
        assert [run.id for run in (await service.list()).rows] == ids[::-1]
        assert [run.id for run in await pages(service.list, limit=2, sort="-id")] == ids[::-1]
        assert [run.id for run in (await service.list(pipeline_id=one.id)).rows] == [ids[2], ids[0]]
        assert [run.id for run in (await service.list(state=RunState.SUCCEEDED)).rows] == ids[:1]
        latest = await service.latest([one.id, two.id])
    assert {key: run.id for key, run in latest.items()} == {one.id: ids[2], two.id: ids[1]}


async def test_lists_leave_out_the_plans(actor: Actor) -> None:
    """A plan is read by who shows it: twenty-five of them cost more than all else of a list."""
    pipeline = await make_pipeline(actor)
    run_id = await trigger(actor, pipeline, "1")
    async with get_session(actor.scope) as session:
        service = RunService(session, actor)
        (listed,) = (await service.list()).rows
        assert not hasattr(listed, "plan") and listed.plan_hash
        latest = (await service.latest([pipeline.id]))[pipeline.id]
        assert "plan" in inspect(latest).unloaded
        # Whoever reads the run itself has all of it.
        assert (await service.get(run_id)).plan["steps"]


async def test_a_log_is_followed_from_the_beginning_of_its_end(actor: Actor) -> None:
    run_id = await trigger(actor, await make_pipeline(actor), "k")
    async with get_session(actor.scope) as session:
        service = RunService(session, actor)
        lines = [
            RunLog(
                org_id=actor.org_id,
                run_id=run_id,
                step_key="load",
                level="info",
                message=str(n),
                at=utcnow(),
            )
            for n in range(5)
        ]
        session.add_all(lines)
        await session.flush()
        assert await service.log_start(run_id, 5) == (0, 0)
        before, skipped = await service.log_start(run_id, 3)
        assert skipped == 2
        assert [one.message for one in await service.logs(run_id, before)] == ["2", "3", "4"]


async def test_the_same_key_of_two_pipelines_is_two_runs(actor: Actor) -> None:
    one, two = await make_pipeline(actor, "one"), await make_pipeline(actor, "two")
    assert await trigger(actor, one, "k") != await trigger(actor, two, "k")
    assert await trigger(actor, one, "k") == await trigger(actor, one, "k")


async def test_a_run_that_is_over_cannot_be_cancelled(actor: Actor) -> None:
    pipeline = await make_pipeline(actor)
    run_id = await trigger(actor, pipeline, "k")
    await end(actor, pipeline, run_id)
    async with get_session(actor.scope) as session:
        with pytest.raises(IllegalTransition):
            await RunService(session, actor).cancel(run_id)


async def test_steps_and_logs_of_anothers_run_are_not_found(actor: Actor) -> None:
    run_id = await trigger(actor, await make_pipeline(actor), "k")
    stranger = (await make_tenant("Other")).owner
    async with get_session(stranger.scope) as session:
        service = RunService(session, stranger)
        for call in (
            service.get(run_id), service.steps(run_id), service.logs(run_id),
            service.log_start(run_id, 10),
        ):  # fmt: skip
            with pytest.raises(NotFound):
                await call
        with pytest.raises(NotFound):
            await service.cancel(run_id)


async def test_what_an_earlier_run_did_stays_skipped_through_lost_attempts(actor: Actor) -> None:
    pipeline = await make_pipeline(actor)
    first = await trigger(actor, pipeline, "k")
    claim_arguments = {"org_id": actor.org_id, "pipeline_id": pipeline.id}
    async with get_session(actor.scope) as session:
        await claim_run(session, flow_run_id=str(uuid.uuid4()), run_id=first, **claim_arguments)
    async with get_session(actor.scope) as session:
        recorder = RunRecorder(session, first, 1)
        await recorder.record([StepFinished(step_key="load", state=StepState.SUCCEEDED, rows=3)])
        await recorder.finish(RunFinish(state=RunState.FAILED))
    async with get_session(actor.scope) as session:
        retried = await RunService(session, actor).retry(first, "again")
    for attempt in (1, 2):
        async with get_session(actor.scope) as session:
            await claim_run(
                session, flow_run_id=str(uuid.uuid4()), run_id=retried.id, **claim_arguments
            )
        async with get_session(actor.scope) as session:
            run = await lock_run(session, retried.id)
            assert run is not None and run.attempt == attempt
            await lose_attempt(session, run, "")
            steps = await RunService(session, actor).steps(retried.id)
        found = {step.step_key: (step.state, step.details.get("run_id")) for step in steps}
        assert found == {"transform": ("pending", None), "load": ("skipped", first)}
    async with get_session(actor.scope) as session:
        again = await RunService(session, actor).cancel(retried.id)
        assert again.state == RunState.CANCELLED
        whole = await RunService(session, actor).retry(retried.id, "whole", from_failure=False)
        steps = await RunService(session, actor).steps(whole.id)
    assert {step.state for step in steps} == {"pending"}, "both steps again"
    assert len(steps) == 2
