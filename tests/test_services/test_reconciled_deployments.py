"""What Prefect has of each pipeline follows it: made, changed, paused, ended and made anew."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from sqlalchemy import select

from datanika.contracts.schedule import ScheduleSpec
from datanika.db import SYSTEM, get_session
from datanika.errors import InvalidInput
from datanika.models import Pipeline, Run, Schedule
from datanika.orchestration.deployments import DeploymentRequest
from datanika.orchestration.gateway import PrefectGateway
from datanika.orchestration.sweeper import PrefectSweeper
from datanika.services.actor import Actor
from datanika.services.deployer import deploy_after_commit
from datanika.services.pipeline_service import PipelineService
from datanika.services.reconciler import reconcile
from datanika.services.schedule_service import ScheduleService
from tests.support.pipelines import MadePipeline, make_pipeline

pytestmark = pytest.mark.usefixtures("database")


async def pipeline_of(pipeline_id: int) -> Pipeline:
    async with get_session(SYSTEM) as session:
        return await session.get_one(Pipeline, pipeline_id)


async def test_a_deployment_follows_its_pipeline_and_ends_with_it(
    actor: Actor, pipeline: MadePipeline, prefect: PrefectGateway
) -> None:
    await deploy_after_commit(pipeline.id)
    first = await pipeline_of(pipeline.id)
    assert first.deployment_id is not None
    assert first.deployed_hash is not None
    async with get_session(actor.scope) as session:
        spec = ScheduleSpec(interval_seconds=3600)
        await ScheduleService(session, actor).create(pipeline.id, spec)
    assert (await pipeline_of(pipeline.id)).deployed_hash is None
    assert (await reconcile())["deployed"] == 1
    second = await pipeline_of(pipeline.id)
    assert second.deployment_id == first.deployment_id
    assert second.deployed_hash not in (None, first.deployed_hash)
    async with get_session(actor.scope) as session:
        await PipelineService(session, actor).delete(pipeline.id)
    await deploy_after_commit(pipeline.id)
    assert (await pipeline_of(pipeline.id)).deployment_id is None
    assert (await reconcile())["deployed"] == 0


async def test_a_schedule_is_on_in_prefect_from_its_start_to_its_end(
    actor: Actor,
    pipeline: MadePipeline,
    prefect: PrefectGateway,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, hour = dt.datetime.now(dt.UTC), dt.timedelta(hours=1)
    async with get_session(actor.scope) as session:
        spec = ScheduleSpec(
            cron="30 2 * * *",
            timezone="America/New_York",
            starts_at=now + hour,
            ends_at=now + 2 * hour,
        )
        await ScheduleService(session, actor).create(pipeline.id, spec)

    async def active_at(moment: dt.datetime) -> tuple[int, list[bool]]:
        for module in ("deployer", "reconciler"):
            monkeypatch.setattr(f"datanika.services.{module}.utcnow", lambda: moment)
        deployed = (await reconcile())["deployed"]
        deployment_id = (await pipeline_of(pipeline.id)).deployment_id
        async with prefect._call() as client:
            known = await client.read_deployment(uuid.UUID(deployment_id))
        return deployed, sorted(one.active for one in known.schedules)

    assert await active_at(now) == (1, [False])
    assert await active_at(now + hour / 2) == (0, [False])
    # On with it are the times around shifts of the clocks that Prefect would not make.
    assert await active_at(now + hour) == (1, [True, True])
    assert await active_at(now + 1.5 * hour) == (0, [True, True])
    assert await active_at(now + 3 * hour) == (1, [False])


async def test_another_deployment_loses_no_time_that_jitter_has_put_off(
    actor: Actor, pipeline: MadePipeline, prefect: PrefectGateway
) -> None:
    before = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=3)
    async with get_session(actor.scope) as session:
        spec = ScheduleSpec(interval_seconds=120, jitter_seconds=86_400)
        made = await ScheduleService(session, actor).create(pipeline.id, spec)
    await deploy_after_commit(pipeline.id)
    async with get_session(SYSTEM) as session:
        (await session.get_one(Pipeline, pipeline.id)).deployed_at = before
        schedule = await session.get_one(Schedule, made.id)
        schedule.updated_at = before
    async with get_session(actor.scope) as session:
        await PipelineService(session, actor).update(pipeline.id, description="changed")
    assert (await reconcile())["deployed"] == 1
    async with get_session(SYSTEM) as session:
        runs = (await session.scalars(select(Run))).all()
    assert {run.schedule_id for run in runs} == {made.id}
    assert all(run.scheduled_for and run.scheduled_for > before for run in runs)


async def count_requests(monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, int], int]:
    """One pass, and the requests to Prefect that it made."""
    opened: list[PrefectSweeper] = []

    class Counting(PrefectSweeper):
        def __init__(self) -> None:
            super().__init__()
            opened.append(self)

    with monkeypatch.context() as counting:
        counting.setattr("datanika.services.reconciler.PrefectSweeper", Counting)
        counts = await reconcile()
    return counts, opened[0].requests


async def test_a_pass_that_changes_nothing_costs_the_same_however_many_pipelines_there_are(
    actor: Actor, prefect: PrefectGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        await make_pipeline(actor, f"p{number}")
    counts, requests = await count_requests(monkeypatch)
    # What Prefect has of all of them, the flow, each deployment; and what is pending.
    assert (counts["deployed"], requests) == (12, 1 + 1 + 12 + 1)

    counts, requests = await count_requests(monkeypatch)

    assert not any(counts.values())
    assert requests == 1


async def test_what_prefect_has_already_is_not_deployed_again(
    actor: Actor, prefect: PrefectGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [await make_pipeline(actor, f"p{number}") for number in range(3)]
    await reconcile()
    before = [(await pipeline_of(one.id)).deployed_hash for one in made]
    async with get_session(SYSTEM) as session:
        for one in made:
            (await session.get_one(Pipeline, one.id)).deployed_hash = None

    counts, requests = await count_requests(monkeypatch)

    assert (counts["deployed"], requests) == (3, 2)
    assert [(await pipeline_of(one.id)).deployed_hash for one in made] == before


async def test_a_pipeline_that_prefect_refuses_does_not_keep_the_others_waiting(
    actor: Actor, prefect: PrefectGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused, good = await make_pipeline(actor, "refused"), await make_pipeline(actor, "good")
    deploy = PrefectSweeper.deploy

    async def refusing(self: PrefectSweeper, request: DeploymentRequest) -> str:
        if request.pipeline_id == refused.id:
            raise InvalidInput("Prefect refused the request with 422.", code="prefect_refused")
        return await deploy(self, request)

    monkeypatch.setattr(PrefectSweeper, "deploy", refusing)
    assert (await reconcile())["deployed"] == 1
    assert (await pipeline_of(good.id)).deployment_id is not None
    assert (await pipeline_of(refused.id)).deployment_id is None
