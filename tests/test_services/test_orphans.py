"""What Prefect has and nobody owns ends; what somebody may still own stays."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from sqlalchemy import text

from datanika.config import settings
from datanika.contracts.enums import RunState
from datanika.db import SYSTEM, get_session
from datanika.models import Pipeline, Run
from datanika.orchestration.gateway import DeploymentRequest
from datanika.orchestration.sweeper import PrefectSweeper
from datanika.services.actor import Actor
from datanika.services.deployer import deploy_after_commit, submit_run
from datanika.services.orphans import AGE, LOCK, sweep_orphans
from datanika.services.run_service import RunService
from tests.support.pipelines import MadePipeline

pytestmark = pytest.mark.usefixtures("database")
NOW = dt.timedelta(0)


def new_id() -> int:
    return uuid.uuid4().int % 10**9


async def deployed(pipeline_id: int) -> str:
    await deploy_after_commit(pipeline_id)
    async with get_session(SYSTEM) as session:
        found = (await session.get_one(Pipeline, pipeline_id)).deployment_id
    assert found is not None
    return found


async def state_in(prefect: PrefectSweeper, flow_run_id: str) -> str:
    return (await prefect.read_states([flow_run_id]))[flow_run_id].type


async def submitted(actor: Actor, pipeline: MadePipeline) -> tuple[int, str]:
    async with get_session(actor.scope) as session:
        run_id = (await RunService(session, actor).trigger(pipeline.id, "k")).id
    await submit_run(run_id)
    async with get_session(SYSTEM) as session:
        flow_run_id = (await session.get_one(Run, run_id)).flow_run_id
    assert flow_run_id is not None
    return run_id, flow_run_id


async def test_the_deployment_of_a_pipeline_that_is_gone_is_deleted(
    actor: Actor, pipeline: MadePipeline, prefect: PrefectSweeper
) -> None:
    kept = await deployed(pipeline.id)
    left = await prefect.deploy(
        DeploymentRequest(org_id=1, pipeline_id=10**9 + 7, name="gone", plan_hash="h")
    )
    assert (await sweep_orphans())["deployments"] == 0
    assert dt.timedelta(hours=1) == AGE

    assert (await sweep_orphans(NOW))["deployments"] == 1

    found = {one.id for one in await prefect.read_deployments()}
    assert kept in found and left not in found


async def test_the_deployments_of_another_installation_are_left_alone(
    prefect: PrefectSweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = await prefect.deploy(
        DeploymentRequest(org_id=1, pipeline_id=10**9 + 8, name="theirs", plan_hash="h")
    )
    with monkeypatch.context() as ours:
        ours.setattr(settings, "work_pool", "another")
        assert await sweep_orphans(NOW) == {"deployments": 0, "flow_runs": 0}
    assert theirs in {one.id for one in await prefect.read_deployments()}


async def test_a_flow_run_that_no_run_has_is_ended(
    actor: Actor, pipeline: MadePipeline, prefect: PrefectSweeper
) -> None:
    from prefect.states import Running

    waiting = await prefect.submit(await deployed(pipeline.id), new_id())
    running = await prefect.submit(await deployed(pipeline.id), new_id())
    async with prefect._call() as client:
        await client.set_flow_run_state(uuid.UUID(running), Running(), force=True)
    assert (await sweep_orphans())["flow_runs"] == 0

    assert (await sweep_orphans(NOW))["flow_runs"] == 2

    assert await state_in(prefect, waiting) == "CANCELLED"
    assert await state_in(prefect, running) == "CRASHED"


async def test_a_flow_run_whose_run_is_over_is_ended_and_one_that_is_not_stays(
    actor: Actor, pipeline: MadePipeline, prefect: PrefectSweeper
) -> None:
    run_id, flow_run_id = await submitted(actor, pipeline)
    assert (await sweep_orphans(NOW))["flow_runs"] == 0
    async with get_session(SYSTEM) as session:
        run = await session.get_one(Run, run_id)
        run.state = RunState.FAILED.value
        run.finished_at = dt.datetime.now(dt.UTC)

    assert (await sweep_orphans(NOW))["flow_runs"] == 1

    assert await state_in(prefect, flow_run_id) == "CANCELLED"


async def test_what_a_schedule_made_waits_for_a_worker_as_long_as_it_must(
    actor: Actor, pipeline: MadePipeline, prefect: PrefectSweeper
) -> None:
    deployment_id = await deployed(pipeline.id)
    async with prefect._call() as client:
        made = await client.create_flow_run_from_deployment(uuid.UUID(deployment_id))

    assert (await sweep_orphans(NOW))["flow_runs"] == 0

    assert await state_in(prefect, str(made.id)) == "SCHEDULED"
    async with get_session(SYSTEM) as session:
        await session.execute(text("UPDATE pipelines SET deleted_at = now()"))
    await sweep_orphans(NOW)
    states = await prefect.read_states([str(made.id)])
    assert all(state.is_final for state in states.values())


async def test_one_sweeps_at_a_time_and_an_outage_is_no_failure(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "prefect_api_url", "http://127.0.0.1:9/api")
    async with get_session(SYSTEM) as other:
        await other.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        assert await sweep_orphans() == {}
    assert await sweep_orphans() == {"deployments": 0, "flow_runs": 0}
