"""Claims of runs by the data plane, and what a schedule or an attempt may start."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid

import pytest

from datanika.config import settings
from datanika.contracts.enums import RunState
from datanika.contracts.spec import PipelineSpec
from datanika.db import get_session
from datanika.errors import NotFound
from datanika.security import read_run_token
from datanika.services.actor import Actor
from datanika.services.pipeline_service import PipelineService
from datanika.services.run_recorder import RunRecorder
from datanika.services.run_service import RunService
from tests.support.pipelines import MadePipeline, make_pipeline
from tests.support.recorded_runs import claim, claimed_run, finish, run_of, steps_of, trigger
from tests.support.tenants import make_tenant

pytestmark = pytest.mark.usefixtures("database")


async def test_a_claim_starts_the_run_with_a_token_of_its_own(
    actor: Actor, pipeline: MadePipeline
) -> None:
    claimed = await claimed_run(actor, pipeline)
    token = read_run_token(claimed.token)
    assert claimed.proceed
    assert (token.run_id, token.org_id, token.attempt) == (claimed.run_id, actor.org_id, 1)
    run = await run_of(claimed.run_id)
    assert (run.state, run.attempt) == (RunState.STARTING, 1)
    assert run.lease_expires_at is not None
    assert run.lease_expires_at > dt.datetime.now(dt.UTC)


async def test_a_second_flow_run_cannot_have_the_same_run(
    actor: Actor, pipeline: MadePipeline
) -> None:
    run_id = await trigger(actor, pipeline)
    first = await claim(actor, pipeline, run_id)
    second = await claim(actor, pipeline, run_id)
    assert (first.proceed, second.proceed, second.token) == (True, False, "")


async def test_of_twenty_claims_at_once_one_proceeds(actor: Actor, pipeline: MadePipeline) -> None:
    run_id = await trigger(actor, pipeline)
    claims = await asyncio.gather(*(claim(actor, pipeline, run_id) for _ in range(20)))
    assert sum(claimed.proceed for claimed in claims) == 1


async def test_a_run_of_another_pipeline_cannot_be_claimed(
    actor: Actor, pipeline: MadePipeline
) -> None:
    other = await make_pipeline(actor, "returns")
    run_id = await trigger(actor, pipeline)
    with pytest.raises(NotFound):
        await claim(actor, other, run_id)


async def test_another_organisation_cannot_claim(actor: Actor, pipeline: MadePipeline) -> None:
    run_id = await trigger(actor, pipeline)
    stranger = (await make_tenant("Other")).owner
    with pytest.raises(NotFound):
        await claim(stranger, pipeline, run_id)


async def test_a_run_that_was_cancelled_is_not_started(
    actor: Actor, pipeline: MadePipeline
) -> None:
    run_id = await trigger(actor, pipeline)
    async with get_session(actor.scope) as session:
        assert (await RunService(session, actor).cancel(run_id)).state == RunState.CANCELLED
    assert not (await claim(actor, pipeline, run_id)).proceed


async def test_attempts_are_limited(
    actor: Actor, pipeline: MadePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "max_attempts", 2)
    run_id = await trigger(actor, pipeline)
    flow_run_id = str(uuid.uuid4())
    claims = [await claim(actor, pipeline, run_id, flow_run_id) for _ in range(3)]
    assert [claimed.proceed for claimed in claims] == [True, True, False]
    run = await run_of(run_id)
    assert (run.state, run.error_code) == (RunState.FAILED, "run_lost")


async def test_a_schedule_makes_its_run_when_it_starts(
    actor: Actor, pipeline: MadePipeline
) -> None:
    flow_run_id = str(uuid.uuid4())
    claimed = await claim(actor, pipeline, None, flow_run_id)
    run = await run_of(claimed.run_id)
    assert claimed.proceed
    assert (run.trigger, run.idempotency_key) == ("schedule", f"flow-run-{flow_run_id}")
    assert set(await steps_of(run.id)) == {("load", ""), ("transform", "")}
    again = await claim(actor, pipeline, None, flow_run_id)
    assert (again.run_id, again.attempt) == (claimed.run_id, 2)


async def test_a_scheduled_run_is_skipped_while_another_is_not_over(
    actor: Actor, pipeline: MadePipeline
) -> None:
    first = await claim(actor, pipeline, None)
    second = await claim(actor, pipeline, None)
    assert (first.proceed, second.proceed) == (True, False)
    skipped = await run_of(second.run_id)
    assert (skipped.state, skipped.error_code) == (RunState.SKIPPED, "overlap_skipped")
    await finish(first, RunState.SUCCEEDED)
    assert (await claim(actor, pipeline, None)).proceed


async def test_a_schedule_does_not_start_a_paused_or_deleted_pipeline(
    actor: Actor, pipeline: MadePipeline
) -> None:
    async with get_session(actor.scope) as session:
        await PipelineService(session, actor).update(pipeline.id, is_paused=True)
    paused = await claim(actor, pipeline, None)
    async with get_session(actor.scope) as session:
        await PipelineService(session, actor).delete(pipeline.id)
    deleted = await claim(actor, pipeline, None)
    assert (paused.proceed, paused.reason) == (False, "The pipeline is paused.")
    assert (deleted.proceed, deleted.reason) == (False, "The pipeline was deleted.")


async def test_the_plan_is_the_one_the_run_was_accepted_with(
    actor: Actor, pipeline: MadePipeline
) -> None:
    claimed = await claimed_run(actor, pipeline)
    async with get_session(actor.scope) as session:
        service = PipelineService(session, actor)
        row = await service.get(pipeline.id)
        version = await service.current_version(row)
        steps = version.spec["steps"]
        steps[0]["target_schema"] = "changed"
        await service.update(pipeline.id, spec=PipelineSpec.model_validate({"steps": steps[:1]}))
    async with get_session(actor.scope) as session:
        plan = await RunRecorder(session, claimed.run_id, 1).plan()
    assert [step.step.key for step in plan.steps] == ["load", "transform"]
