"""What becomes of a flow run that Prefect starts by itself: judged, once, late, early, at once."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select, update

from datanika.compiler import check_schedule, jitter_of
from datanika.contracts.enums import OverlapPolicy, RunState
from datanika.contracts.events import RunClaim, RunFinish, utcnow
from datanika.db import SYSTEM, get_session
from datanika.models import Pipeline, Run, Schedule
from datanika.services import scheduled_run
from datanika.services.actor import Actor
from datanika.services.pipeline_service import PipelineService
from datanika.services.run_queue import startable_runs, take_place
from datanika.services.run_recorder import RunRecorder, claim_run
from datanika.services.run_service import RunService
from datanika.services.schedule_service import ScheduleService
from datanika.services.scheduled_run import schedule_key
from tests.support.pipelines import MadePipeline
from tests.support.recorded_runs import claim

pytestmark = pytest.mark.usefixtures("database")
MINUTE = dt.timedelta(minutes=1)
ZONE = "America/New_York"


def this_minute() -> dt.datetime:
    return utcnow().replace(second=0, microsecond=0)


async def schedule(actor: Actor, pipeline: MadePipeline, **given: Any) -> int:
    given = given or {"cron": "* * * * *"}
    async with get_session(actor.scope) as session:
        made = await ScheduleService(session, actor).create(pipeline.id, check_schedule(**given))
        return made.id


async def fire(
    actor: Actor, pipeline: MadePipeline, at: dt.datetime, flow_run_id: str | None = None
) -> RunClaim:
    return await claim(actor, pipeline, None, flow_run_id, at)


async def finish(claimed: RunClaim) -> None:
    async with get_session(SYSTEM) as session:
        recorder = RunRecorder(session, claimed.run_id, claimed.attempt)
        await recorder.finish(RunFinish(state=RunState.SUCCEEDED))


async def runs_of(pipeline: MadePipeline) -> Sequence[Run]:
    async with get_session(SYSTEM) as session:
        query = select(Run).where(Run.pipeline_id == pipeline.id).order_by(Run.id)
        return (await session.scalars(query)).all()


async def set_policy(actor: Actor, pipeline: MadePipeline, policy: OverlapPolicy) -> None:
    async with get_session(actor.scope) as session:
        await PipelineService(session, actor).update(pipeline.id, overlap_policy=policy)


async def test_a_run_says_which_schedule_started_it_and_for_when(
    actor: Actor, pipeline: MadePipeline
) -> None:
    schedule_id, at = await schedule(actor, pipeline), this_minute()
    claimed = await fire(actor, pipeline, at)
    [run] = await runs_of(pipeline)
    assert claimed.proceed
    assert (run.schedule_id, run.scheduled_for, run.trigger) == (schedule_id, at, "schedule")
    assert run.idempotency_key == schedule_key(schedule_id, at)


async def test_a_time_that_is_not_of_the_schedule_starts_nothing(
    actor: Actor, pipeline: MadePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Prefect makes of 02:30 on the night on which New York has no such time."""
    monkeypatch.setattr(
        scheduled_run, "utcnow", lambda: dt.datetime(2026, 3, 8, 7, 1, tzinfo=dt.UTC)
    )
    await schedule(actor, pipeline, cron="30 2 * * *", timezone=ZONE)
    wrong = await fire(actor, pipeline, dt.datetime(2026, 3, 8, 6, 30, tzinfo=dt.UTC))
    assert not wrong.proceed
    assert wrong.reason == "No schedule of the pipeline fires at 2026-03-08 06:30:00 UTC."
    assert await runs_of(pipeline) == []
    assert (await fire(actor, pipeline, dt.datetime(2026, 3, 8, 7, tzinfo=dt.UTC))).proceed


@pytest.mark.parametrize("off", ["inactive", "deleted", "ended", "not yet"])
async def test_a_schedule_that_is_off_starts_nothing(
    actor: Actor, pipeline: MadePipeline, off: str
) -> None:
    at = this_minute()
    given: dict[str, Any] = {
        "inactive": {"active": False},
        "deleted": {},
        "ended": {"ends_at": at},
        "not yet": {"starts_at": at + MINUTE},
    }[off]
    schedule_id = await schedule(actor, pipeline, cron="* * * * *", **given)
    if off == "deleted":
        async with get_session(actor.scope) as session:
            await ScheduleService(session, actor).delete(schedule_id)
    assert not (await fire(actor, pipeline, at)).proceed
    assert await runs_of(pipeline) == []


async def test_two_flow_runs_for_one_time_make_one_run(
    actor: Actor, pipeline: MadePipeline
) -> None:
    """Prefect schedules anew what it had scheduled, whenever a deployment changes."""
    await schedule(actor, pipeline)
    claims = await asyncio.gather(*(fire(actor, pipeline, this_minute()) for _ in range(10)))
    [run] = await runs_of(pipeline)
    assert [claimed.run_id for claimed in claims if claimed.proceed] == [run.id]
    assert {claimed.reason for claimed in claims if not claimed.proceed} == {
        "Another flow run has this run."
    }


async def test_two_schedules_of_one_time_start_one_run(
    actor: Actor, pipeline: MadePipeline
) -> None:
    first = await schedule(actor, pipeline)
    await schedule(actor, pipeline, interval_seconds=60)
    at = this_minute()
    assert [(await fire(actor, pipeline, at)).proceed for _ in range(2)] == [True, False]
    assert [run.schedule_id for run in await runs_of(pipeline)] == [first]


async def test_a_run_that_is_over_is_not_started_again_for_its_time(
    actor: Actor, pipeline: MadePipeline
) -> None:
    schedule_id, at = await schedule(actor, pipeline), this_minute()
    await finish(await fire(actor, pipeline, at))
    async with get_session(actor.scope) as session:
        await ScheduleService(session, actor).delete(schedule_id)
    again = await fire(actor, pipeline, at)
    assert (again.proceed, again.reason) == (False, "The run is over: succeeded.")


async def test_a_time_that_was_missed_by_more_than_its_catch_up_is_recorded_and_does_not_run(
    actor: Actor, pipeline: MadePipeline
) -> None:
    await schedule(actor, pipeline, cron="* * * * *", catchup_seconds=600)
    missed = await fire(actor, pipeline, this_minute() - 12 * MINUTE)
    late = await fire(actor, pipeline, this_minute() - 5 * MINUTE)
    first, second = await runs_of(pipeline)
    assert (missed.proceed, first.state, first.error_code) == (False, "skipped", "schedule_missed")
    assert "makes up for no more than 600 s" in (first.error_message or "")
    assert "makes up for no more than 600 s" in (missed.reason or "")
    assert (late.proceed, second.state) == (True, "starting")


async def test_jitter_postpones_the_flow_run_and_not_the_time_it_is_for(
    actor: Actor, pipeline: MadePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    await schedule(actor, pipeline, cron="* * * * *", jitter_seconds=86_400)
    at, flow_run_id = this_minute(), str(uuid.uuid4())
    start_at = at + jitter_of(pipeline.id, 86_400)
    early = await fire(actor, pipeline, at, flow_run_id)
    assert (early.proceed, early.start_at) == (False, start_at)
    assert await runs_of(pipeline) == []
    monkeypatch.setattr(scheduled_run, "utcnow", lambda: start_at)
    assert (await fire(actor, pipeline, at, flow_run_id)).proceed
    assert [run.scheduled_for for run in await runs_of(pipeline)] == [at]


async def test_what_jitter_has_put_off_survives_another_deployment(
    actor: Actor, pipeline: MadePipeline
) -> None:
    schedule_id = await schedule(actor, pipeline, cron="* * * * *", jitter_seconds=86_400)
    offset, at = jitter_of(pipeline.id, 86_400), this_minute() + MINUTE
    assert offset > 2 * MINUTE

    async def deployed_again(now: dt.datetime) -> list[dt.datetime | None]:
        async with get_session(SYSTEM) as session:
            one = await session.get_one(Pipeline, pipeline.id)
            await scheduled_run.accept_postponed(session, one, at - 2 * MINUTE, now)
        return [run.scheduled_for for run in await runs_of(pipeline)]

    assert await deployed_again(at - dt.timedelta(seconds=1)) == [], "the schedule is newer"
    assert await deployed_again(at + MINUTE / 2) == [at]
    assert await deployed_again(at + MINUTE / 2) == [at]
    [run] = await runs_of(pipeline)
    assert (run.state, run.schedule_id) == ("queued", schedule_id)
    assert (await fire(actor, pipeline, at)).reason == scheduled_run.WAITS.reason


async def test_late_times_collapse_to_one_run_where_runs_may_not_overlap(
    actor: Actor, pipeline: MadePipeline
) -> None:
    await schedule(actor, pipeline)
    claims = [await fire(actor, pipeline, this_minute() - n * MINUTE) for n in range(5, 0, -1)]
    first, *others = await runs_of(pipeline)
    assert [claimed.proceed for claimed in claims] == [True, False, False, False, False]
    assert {(run.state, run.error_code) for run in others} == {("skipped", "overlap_skipped")}
    assert f"Run {first.id} of this pipeline was not over yet." in (claims[1].reason or "")


async def test_where_runs_queue_each_waits_for_the_one_before(
    actor: Actor, pipeline: MadePipeline
) -> None:
    await schedule(actor, pipeline)
    await set_policy(actor, pipeline, OverlapPolicy.QUEUE)
    at = this_minute()
    first, second = await fire(actor, pipeline, at - MINUTE), await fire(actor, pipeline, at)
    assert (first.proceed, second.proceed) == (True, False)
    assert second.reason == "The run waits for its turn: it gets a flow run of its own."
    waiting = (await runs_of(pipeline))[1]
    assert (waiting.state, waiting.flow_run_id) == ("queued", None)
    # A second flow run for its time attaches to nothing.
    assert (await fire(actor, pipeline, at)).reason == second.reason
    async with get_session(SYSTEM) as session:
        assert await startable_runs(session, limit=9) == []
    await finish(first)
    async with get_session(SYSTEM) as session:
        assert await startable_runs(session, limit=9) == [waiting.id]
        assert await take_place(session, waiting.id) is not None
    async with get_session(actor.scope) as session:
        claimed = await claim_run(
            session,
            org_id=actor.org_id,
            pipeline_id=pipeline.id,
            flow_run_id="own",
            run_id=waiting.id,
        )
    assert claimed.proceed
    assert [run.scheduled_for for run in await runs_of(pipeline)] == [at - MINUTE, at]


async def test_where_runs_may_overlap_they_start_at_once(
    actor: Actor, pipeline: MadePipeline
) -> None:
    await schedule(actor, pipeline)
    await set_policy(actor, pipeline, OverlapPolicy.ALLOW)
    at = this_minute()
    claims = [await fire(actor, pipeline, at - MINUTE), await fire(actor, pipeline, at)]
    assert [claimed.proceed for claimed in claims] == [True, True]
    async with get_session(actor.scope) as session:
        service = RunService(session, actor)
        asked = [(await service.trigger(pipeline.id, key)).id for key in ("a", "b")]
    async with get_session(SYSTEM) as session:
        assert await startable_runs(session, limit=9) == asked
        assert await take_place(session, asked[1]) is not None


@pytest.mark.parametrize("policy", [OverlapPolicy.SKIP, OverlapPolicy.QUEUE])
async def test_what_a_person_asks_for_is_never_dropped_and_waits(
    actor: Actor, pipeline: MadePipeline, policy: OverlapPolicy
) -> None:
    await schedule(actor, pipeline)
    await set_policy(actor, pipeline, policy)
    await fire(actor, pipeline, this_minute())
    async with get_session(actor.scope) as session:
        asked = await RunService(session, actor).trigger(pipeline.id, "k")
    assert asked.state == RunState.QUEUED
    async with get_session(SYSTEM) as session:
        assert await take_place(session, asked.id) is None


async def test_a_paused_pipeline_starts_nothing_and_records_nothing(
    actor: Actor, pipeline: MadePipeline
) -> None:
    await schedule(actor, pipeline)
    async with get_session(actor.scope) as session:
        await PipelineService(session, actor).update(pipeline.id, is_paused=True)
    assert (await fire(actor, pipeline, this_minute())).reason == "The pipeline is paused."
    assert await runs_of(pipeline) == []


async def test_a_run_that_was_registered_by_an_older_version_is_found_again(
    actor: Actor, pipeline: MadePipeline
) -> None:
    await schedule(actor, pipeline)
    at, flow_run_id = this_minute(), str(uuid.uuid4())
    await fire(actor, pipeline, at, flow_run_id)
    async with get_session(SYSTEM) as session:
        values = {"idempotency_key": f"flow-run-{flow_run_id}", "scheduled_for": None}
        await session.execute(update(Run).values(values))
    again = await fire(actor, pipeline, at, flow_run_id)
    assert (again.proceed, again.attempt) == (True, 2)
    assert len(await runs_of(pipeline)) == 1


async def test_what_is_deployed_again_is_what_time_has_changed(
    actor: Actor, pipeline: MadePipeline
) -> None:
    from datanika.services.schedule_windows import is_outdated

    now = utcnow()
    hour = dt.timedelta(hours=1)
    schedule_id = await schedule(
        actor, pipeline, cron="* * * * *", starts_at=now + hour, ends_at=now + 3 * hour
    )

    async def outdated(deployed: dt.timedelta, seen: dt.timedelta) -> bool:
        async with get_session(SYSTEM) as session:
            one = await session.get_one(Pipeline, pipeline.id)
            one.deployed_at = now + deployed
            await session.flush()
            found = await session.scalar(select(Pipeline.id).where(is_outdated(now + seen)))
            return found is not None

    none = dt.timedelta()
    assert not await outdated(none, hour / 2)
    assert await outdated(none, hour), "it has started"
    assert not await outdated(hour, 2 * hour)
    assert await outdated(hour, 4 * hour), "it has ended"
    assert not await outdated(4 * hour, 100 * hour)
    assert await outdated(none, dt.timedelta(days=181)), "the next shifts of the clocks"
    async with get_session(SYSTEM) as session:
        (await session.get_one(Schedule, schedule_id)).is_active = False
    assert not await outdated(none, dt.timedelta(days=181))
