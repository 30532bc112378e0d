"""What heals by itself: lost processes, a Prefect that was down, one reconciler at a time."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import uuid

import pytest
from sqlalchemy import select, text

from datanika.config import settings
from datanika.contracts.enums import RunState
from datanika.db import SYSTEM, get_session
from datanika.models import Pipeline, Run
from datanika.orchestration.gateway import PrefectGateway
from datanika.orchestration.sweeper import PrefectSweeper
from datanika.services.actor import Actor
from datanika.services.deployer import deploy_after_commit, submit_next, submit_run
from datanika.services.pipeline_service import PipelineService
from datanika.services.reconciler import LOCK, PENDING, reconcile, renew_leases
from datanika.services.run_recorder import claim_run
from datanika.services.run_service import RunService
from tests.support.pipelines import MadePipeline, make_pipeline
from tests.support.tenants import make_tenant

pytestmark = pytest.mark.usefixtures("database")


async def trigger(actor: Actor, pipeline: MadePipeline, key: str = "k") -> int:
    async with get_session(actor.scope) as session:
        return (await RunService(session, actor).trigger(pipeline.id, key)).id


async def run_of(run_id: int) -> Run:
    async with get_session(SYSTEM) as session:
        return await session.get_one(Run, run_id)


async def pipeline_of(pipeline_id: int) -> Pipeline:
    async with get_session(SYSTEM) as session:
        return await session.get_one(Pipeline, pipeline_id)


async def start(actor: Actor, pipeline: MadePipeline, lease: dt.timedelta) -> int:
    """A claimed run whose lease ends ``lease`` from now."""
    run_id = await trigger(actor, pipeline)
    async with get_session(actor.scope) as session:
        await claim_run(
            session,
            org_id=actor.org_id,
            pipeline_id=pipeline.id,
            flow_run_id=str(uuid.uuid4()),
            run_id=run_id,
        )
    async with get_session(SYSTEM) as session:
        run = await session.get_one(Run, run_id)
        run.lease_expires_at = dt.datetime.now(dt.UTC) + lease
    return run_id


OVER = dt.timedelta(seconds=-1)
LIVE = dt.timedelta(seconds=20)


async def test_a_run_that_is_heard_is_left_alone(actor: Actor, pipeline: MadePipeline) -> None:
    run_id = await start(actor, pipeline, LIVE)
    assert (await reconcile())["lost"] == 0
    assert (await run_of(run_id)).state == RunState.STARTING


async def test_a_silent_run_gets_another_attempt(actor: Actor, pipeline: MadePipeline) -> None:
    run_id = await start(actor, pipeline, OVER)
    assert (await reconcile())["lost"] == 1
    run = await run_of(run_id)
    assert (run.state, run.attempt, run.flow_run_id) == (RunState.QUEUED, 1, None)


async def test_a_silent_run_without_attempts_left_is_failed_with_its_reason(
    actor: Actor, pipeline: MadePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "max_attempts", 1)
    run_id = await start(actor, pipeline, OVER)
    await reconcile()
    run = await run_of(run_id)
    assert (run.state, run.error_code) == (RunState.FAILED, "run_lost")
    assert run.error_hint


async def test_a_silent_run_that_was_being_cancelled_is_cancelled(
    actor: Actor, pipeline: MadePipeline
) -> None:
    run_id = await start(actor, pipeline, OVER)
    async with get_session(actor.scope) as session:
        await RunService(session, actor).cancel(run_id)
    await reconcile()
    assert (await run_of(run_id)).state == RunState.CANCELLED


async def test_after_an_outage_silent_runs_get_the_time_to_be_heard(
    actor: Actor, pipeline: MadePipeline
) -> None:
    run_id = await start(actor, pipeline, OVER)
    await renew_leases()
    assert (await reconcile())["lost"] == 0
    assert (await run_of(run_id)).state == RunState.STARTING


async def test_only_one_reconciles_at_a_time(actor: Actor, pipeline: MadePipeline) -> None:
    await start(actor, pipeline, OVER)
    async with get_session(SYSTEM) as other:
        await other.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        assert await reconcile() == {}
    passes = await asyncio.gather(*(reconcile() for _ in range(5)))
    assert sum(counts.get("lost", 0) for counts in passes) == 1


async def test_what_was_accepted_without_prefect_starts_when_it_is_there(
    actor: Actor, pipeline: MadePipeline, prefect: PrefectGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as down:
        down.setattr(settings, "prefect_api_url", "http://127.0.0.1:9/api")
        await deploy_after_commit(pipeline.id)
        run_id = await trigger(actor, pipeline)
        await submit_run(run_id)
        assert (await reconcile())["submitted"] == 0
    assert (await run_of(run_id)).flow_run_id is None
    counts = await reconcile()
    assert (counts["deployed"], counts["submitted"]) == (1, 1)
    run = await run_of(run_id)
    assert run.flow_run_id is not None
    assert run.flow_run_id in await prefect.read_states([run.flow_run_id])
    assert (await reconcile())["submitted"] == 0


async def test_a_run_is_submitted_once_however_often_it_is_tried(
    actor: Actor, pipeline: MadePipeline, prefect: PrefectGateway
) -> None:
    await deploy_after_commit(pipeline.id)
    run_id = await trigger(actor, pipeline)
    await asyncio.gather(*(submit_run(run_id) for _ in range(5)))
    run = await run_of(run_id)
    assert run.flow_run_id is not None
    states = await prefect.read_states([run.flow_run_id])
    assert not states[run.flow_run_id].is_final


async def test_a_pipelines_runs_go_one_after_the_other(
    actor: Actor, pipeline: MadePipeline, prefect: PrefectGateway
) -> None:
    first, second = await trigger(actor, pipeline, "1"), await trigger(actor, pipeline, "2")
    await submit_run(second)
    await submit_run(first)
    assert (await run_of(first)).flow_run_id is not None
    assert (await run_of(second)).flow_run_id is None
    async with get_session(actor.scope) as session:
        await RunService(session, actor).cancel(first)
    await submit_next(actor.org_id)
    assert (await run_of(second)).flow_run_id is not None


async def test_a_run_that_waits_ends_with_its_pipeline(
    actor: Actor, pipeline: MadePipeline, prefect: PrefectGateway
) -> None:
    run_id = await trigger(actor, pipeline)
    async with get_session(actor.scope) as session:
        await PipelineService(session, actor).delete(pipeline.id)
    await reconcile()
    run = await run_of(run_id)
    assert (run.state, run.error_code) == (RunState.CANCELLED, "pipeline_deleted")


async def test_a_flow_run_that_ended_before_a_worker_had_it_is_made_anew(
    actor: Actor, pipeline: MadePipeline, prefect: PrefectGateway
) -> None:
    run_id = await trigger(actor, pipeline)
    await submit_run(run_id)
    first = (await run_of(run_id)).flow_run_id
    async with get_session(SYSTEM) as session:
        run = await session.get_one(Run, run_id)
        run.flow_run_id = str(uuid.uuid4())  # Prefect knows nothing of it
        run.updated_at = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1)
    counts = await reconcile()
    assert (counts["closed"], counts["submitted"]) == (1, 1)
    run = await run_of(run_id)
    assert (run.state, run.attempt) == (RunState.QUEUED, 1)
    assert run.flow_run_id not in (None, first)


async def test_a_flow_run_that_was_cancelled_in_prefect_cancels_the_run(
    actor: Actor, pipeline: MadePipeline, prefect: PrefectGateway
) -> None:
    run_id = await trigger(actor, pipeline)
    await submit_run(run_id)
    flow_run_id = (await run_of(run_id)).flow_run_id
    assert flow_run_id is not None
    await prefect.cancel(flow_run_id)
    async with get_session(SYSTEM) as session:
        run = await session.get_one(Run, run_id)
        run.updated_at = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1)
    assert (await reconcile())["closed"] == 1
    assert (await run_of(run_id)).state == RunState.CANCELLED


async def test_a_deployment_that_somebody_deleted_in_prefect_comes_back(
    actor: Actor, pipeline: MadePipeline, prefect: PrefectGateway
) -> None:
    await deploy_after_commit(pipeline.id)
    deployment_id = (await pipeline_of(pipeline.id)).deployment_id
    assert deployment_id is not None
    await prefect.delete_deployment(deployment_id)
    run_id = await trigger(actor, pipeline)
    await submit_run(run_id)
    assert (await run_of(run_id)).flow_run_id is not None
    assert (await pipeline_of(pipeline.id)).deployment_id != deployment_id


async def test_an_attempt_after_a_crash_gets_a_flow_run_of_its_own(
    actor: Actor, pipeline: MadePipeline, prefect: PrefectGateway
) -> None:
    run_id = await start(actor, pipeline, OVER)
    first = (await run_of(run_id)).flow_run_id
    counts = await reconcile()
    assert (counts["lost"], counts["submitted"]) == (1, 1)
    run = await run_of(run_id)
    assert run.flow_run_id not in (None, first)


async def take(prefect: PrefectGateway, flow_run_id: str) -> None:
    """Be a worker that takes the flow run, and dies before it claims its run."""
    from prefect.states import Pending

    async with prefect._call() as client:
        await client.set_flow_run_state(uuid.UUID(flow_run_id), Pending(), force=True)


async def state_in(prefect: PrefectGateway, flow_run_id: str) -> str:
    return (await prefect.read_states([flow_run_id]))[flow_run_id].type


async def test_a_run_whose_worker_died_before_its_claim_gets_another_flow_run(
    actor: Actor, pipeline: MadePipeline, prefect: PrefectGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = await trigger(actor, pipeline)
    await submit_run(run_id)
    first = (await run_of(run_id)).flow_run_id
    assert first is not None
    await take(prefect, first)
    assert (await reconcile())["closed"] == 0
    assert dt.timedelta(seconds=60) >= PENDING
    monkeypatch.setattr("datanika.services.reconciler.PENDING", dt.timedelta(0))

    counts = await reconcile()

    assert (counts["closed"], counts["submitted"]) == (1, 1)
    run = await run_of(run_id)
    assert (run.state, run.attempt) == (RunState.QUEUED, 1)
    assert run.flow_run_id not in (None, first)
    assert await state_in(prefect, first) == "CANCELLED"


async def test_a_scheduled_run_whose_worker_died_before_its_claim_is_taken_by_another(
    actor: Actor, pipeline: MadePipeline, prefect: PrefectGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deploy_after_commit(pipeline.id)
    deployment_id = (await pipeline_of(pipeline.id)).deployment_id
    async with prefect._call() as client:
        made = await client.create_flow_run_from_deployment(uuid.UUID(deployment_id))
    await take(prefect, str(made.id))
    monkeypatch.setattr("datanika.services.reconciler.PENDING", dt.timedelta(0))

    assert (await reconcile())["closed"] == 1

    assert await state_in(prefect, str(made.id)) == "SCHEDULED"


async def test_a_claimed_run_is_left_to_its_lease_whatever_prefect_has_heard(
    actor: Actor, pipeline: MadePipeline, prefect: PrefectGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = await trigger(actor, pipeline)
    await submit_run(run_id)
    flow_run_id = (await run_of(run_id)).flow_run_id
    assert flow_run_id is not None
    await take(prefect, flow_run_id)
    async with get_session(actor.scope) as session:
        await claim_run(
            session,
            org_id=actor.org_id,
            pipeline_id=pipeline.id,
            flow_run_id=flow_run_id,
            run_id=run_id,
        )
    monkeypatch.setattr("datanika.services.reconciler.PENDING", dt.timedelta(0))

    assert (await reconcile())["closed"] == 0

    assert (await run_of(run_id)).state == RunState.STARTING
    assert await state_in(prefect, flow_run_id) == "PENDING"


TRIGGERS = 200


async def test_two_hundred_triggers_while_prefect_is_down_become_as_many_flow_runs(
    prefect: PrefectSweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "default_max_concurrent_runs", None)
    actors = [(await make_tenant()).owner for _ in range(4)]
    run_ids = []
    with monkeypatch.context() as down:
        down.setattr(settings, "prefect_api_url", "http://127.0.0.1:9/api")
        for number in range(TRIGGERS):
            actor = actors[number % len(actors)]
            made = await make_pipeline(actor, f"p{number}")
            run_ids.append(await trigger(actor, made))
            if number % 50 == 0:
                await submit_run(run_ids[-1])
        assert (await reconcile())["submitted"] == 0

    for _ in range(60):
        # Several web processes, and a pass that is cut off in the middle.
        passes = await asyncio.gather(*(reconcile() for _ in range(3)))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await reconcile()
        if not any(sum(counts.values()) for counts in passes):
            break

    async with get_session(SYSTEM) as session:
        runs = await session.execute(select(Run.id, Run.flow_run_id).where(Run.id.in_(run_ids)))
        flow_runs = {row.id: row.flow_run_id for row in runs}
    assert set(flow_runs) == set(run_ids)
    tomorrow = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    found = await prefect.open_flow_runs(["SCHEDULED"], tomorrow)
    assert sorted(one.run_id for one in found) == sorted(run_ids)
    assert {one.run_id: one.id for one in found} == flow_runs
