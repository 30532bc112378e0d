"""A run waits for fresh upstreams, is released by their success, and gives up at its deadline."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid

import pytest
from sqlalchemy import update

from datanika.contracts.enums import RunState
from datanika.contracts.events import utcnow
from datanika.db import SYSTEM, get_session
from datanika.models import Run
from datanika.services.actor import Actor
from datanika.services.dependency_service import DependencyService
from datanika.services.freshness import Upstream, in_words
from datanika.services.pipeline_service import PipelineService
from datanika.services.reconciler import reconcile
from datanika.services.run_lifecycle import close_run
from datanika.services.run_queue import startable_runs
from datanika.services.run_rows import lock_run
from datanika.services.run_service import RunService
from tests.support.channels import end_run, make_channel
from tests.support.dependencies import (
    age,
    claim,
    needs_fresh,
    place,
    run_of,
    succeed,
    trigger,
)
from tests.support.pipelines import make_pipeline

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
async def orders(actor: Actor) -> int:
    """The upstream."""
    return (await make_pipeline(actor)).id


@pytest.fixture
async def report(actor: Actor, orders: int) -> int:
    """Needs a success of ``orders`` within an hour, and waits ten minutes for it."""
    made = await make_pipeline(actor, "report")
    await needs_fresh(actor, made.id, orders)
    return made.id


async def startable() -> list[int]:
    async with get_session(SYSTEM) as session:
        return list(await startable_runs(session, limit=100))


async def overdue(run_id: int) -> None:
    """Let the run's deadline be over."""
    async with get_session(SYSTEM) as session:
        await session.execute(
            update(Run).where(Run.id == run_id).values(waits_until=utcnow() - dt.timedelta(0, 1))
        )


async def test_a_run_starts_at_once_after_a_recent_success(
    actor: Actor, orders: int, report: int
) -> None:
    await age(await succeed(actor, orders), minutes=59)
    run = await trigger(actor, report)
    assert run.waits_until is None
    assert await startable() == [run.id]
    assert await place(run.id)


async def test_a_run_waits_for_a_success_and_is_released_by_it(
    actor: Actor, orders: int, report: int
) -> None:
    await age(await succeed(actor, orders), minutes=61)
    run = await trigger(actor, report)
    assert run.waits_until is not None
    assert run.waits_until - utcnow() == pytest.approx(
        dt.timedelta(minutes=10), abs=dt.timedelta(0, 60)
    )
    assert (await startable(), await place(run.id)) == ([], False)
    await end_run(actor, orders, RunState.FAILED)
    assert (await run_of(run.id)).waits_until is not None
    await succeed(actor, orders)
    assert (await run_of(run.id)).waits_until is None
    assert await startable() == [run.id]
    assert await place(run.id)


async def test_a_trigger_may_ignore_the_dependencies(
    actor: Actor, orders: int, report: int
) -> None:
    waiting = await trigger(actor, report)
    run = await trigger(actor, report, ignore_dependencies=True)
    assert (run.waits_until, run.ignores_dependencies) == (None, True)
    # It does not wait for the one that waits.
    assert await startable() == [run.id]
    assert await place(run.id)
    # And that one, released, waits for it: a pipeline has one run at a time.
    await succeed(actor, orders)
    assert (await run_of(waiting.id)).waits_until is None
    assert not await place(waiting.id)
    assert await startable() == [run.id]


async def test_a_retry_ignores_what_the_run_before_ignored(
    actor: Actor, orders: int, report: int
) -> None:
    ignoring = await trigger(actor, report, ignore_dependencies=True)
    waiting = await trigger(actor, report)
    async with get_session(actor.scope) as session:
        runs = RunService(session, actor)
        for run in (ignoring, waiting):
            await runs.cancel(run.id)
        assert (await runs.retry(ignoring.id, "a")).waits_until is None
        assert (await runs.retry(waiting.id, "b")).waits_until is not None


async def test_a_scheduled_run_waits_too_and_is_submitted_later(
    actor: Actor, orders: int, report: int
) -> None:
    flow_run_id = str(uuid.uuid4())
    refused = await claim(actor, report, flow_run_id=flow_run_id)
    assert not refused.proceed and "not fresh" in (refused.reason or "")
    again = await claim(actor, report, flow_run_id=flow_run_id)
    assert not again.proceed and again.reason == refused.reason
    assert await startable() == []
    await succeed(actor, orders)
    [run_id] = await startable()
    run = await run_of(run_id)
    assert (run.trigger, run.flow_run_id) == ("schedule", None)
    assert (await claim(actor, report, run_id)).proceed


async def test_at_its_deadline_a_run_ends_as_stale_and_says_of_whom(
    actor: Actor, orders: int, report: int
) -> None:
    await make_channel(actor, events=["run.upstream_stale"])
    await age(await succeed(actor, orders), hours=26)
    run = await trigger(actor, report)
    assert (await reconcile())["stale"] == 0
    await overdue(run.id)
    assert (await reconcile())["stale"] == 1
    ended = await run_of(run.id)
    assert (ended.state, ended.error_code) == (RunState.UPSTREAM_STALE, "upstream_stale")
    assert "orders succeeded 1 d 2 h ago" in (ended.error_message or "")
    assert "longer than 1 h" in (ended.error_message or "")
    assert ended.finished_at is not None and ended.waits_until is None
    assert (await reconcile())["stale"] == 0


async def test_an_upstream_that_never_succeeded_is_named(
    actor: Actor, orders: int, report: int
) -> None:
    run = await trigger(actor, report)
    await overdue(run.id)
    await reconcile()
    assert "orders has never succeeded" in ((await run_of(run.id)).error_message or "")


async def test_freshness_is_checked_again_before_the_run_is_submitted(
    actor: Actor, orders: int, report: int
) -> None:
    success = await succeed(actor, orders)
    run = await trigger(actor, report)
    await age(success, hours=2)
    assert not await place(run.id)
    waiting = await run_of(run.id)
    assert waiting.waits_until is not None
    assert waiting.lease_expires_at is None
    await succeed(actor, orders)
    assert await place(run.id)


async def test_an_attempt_after_a_crash_does_not_wait_again(
    actor: Actor, orders: int, report: int
) -> None:
    success = await succeed(actor, orders)
    run = await trigger(actor, report)
    assert (await claim(actor, report, run.id)).proceed
    async with get_session(SYSTEM) as session:
        row = await session.get_one(Run, run.id)
        row.lease_expires_at = utcnow() - dt.timedelta(seconds=1)
    await age(success, hours=2)
    await reconcile()
    assert await place(run.id)


async def test_a_run_waits_for_all_and_is_given_up_with_the_least_patient(
    actor: Actor, orders: int, report: int
) -> None:
    rates = (await make_pipeline(actor, "rates")).id
    await needs_fresh(actor, report, rates, wait=60)
    run = await trigger(actor, report)
    assert run.waits_until is not None
    assert run.waits_until < run.created_at + dt.timedelta(seconds=61)
    await succeed(actor, rates)
    # The one that is left may take ten minutes.
    waiting = await run_of(run.id)
    assert waiting.waits_until is not None
    assert waiting.waits_until >= run.created_at + dt.timedelta(seconds=600)
    await succeed(actor, orders)
    assert (await run_of(run.id)).waits_until is None


async def test_a_success_while_a_run_begins_to_wait_releases_it(
    actor: Actor, orders: int, report: int
) -> None:
    upstream = await trigger(actor, orders)
    await claim(actor, orders, upstream.id)

    async def begin_slowly() -> int:
        async with get_session(actor.scope) as session:
            run = await RunService(session, actor).trigger(report, "k")
            assert run.waits_until is not None
            await asyncio.sleep(2)
            return run.id

    waiting = asyncio.create_task(begin_slowly())
    await asyncio.sleep(1)
    async with get_session(SYSTEM) as session:
        locked = await lock_run(session, upstream.id)
        assert locked is not None
        await close_run(session, locked, RunState.SUCCEEDED)
    assert (await run_of(await waiting)).waits_until is None


@pytest.mark.parametrize("attempt", range(5))
async def test_a_success_at_the_moment_of_the_trigger_is_not_missed(
    actor: Actor, orders: int, report: int, attempt: int
) -> None:
    await asyncio.gather(
        succeed(actor, orders), *(trigger(actor, report) for _ in range(8)), succeed(actor, orders)
    )
    async with get_session(actor.scope) as session:
        page = await RunService(session, actor).list(pipeline_id=report)
    assert [run.waits_until for run in page.rows] == [None] * 8


async def test_what_is_no_longer_asked_is_no_longer_waited_for(
    actor: Actor, orders: int, report: int
) -> None:
    await age(await succeed(actor, orders), hours=2)
    run = await trigger(actor, report)
    async with get_session(actor.scope) as session:
        service = DependencyService(session, actor)
        [row] = (await service.list_of(report)).rows
        await service.update(report, row.id, {"within_seconds": 5000})
    assert (await run_of(run.id)).waits_until is not None
    async with get_session(actor.scope) as session:
        await DependencyService(session, actor).update(report, row.id, {"within_seconds": 9000})
    assert (await run_of(run.id)).waits_until is None


@pytest.mark.parametrize("what", ["dependency", "upstream"])
async def test_a_run_does_not_wait_for_what_was_deleted(
    actor: Actor, orders: int, report: int, what: str
) -> None:
    run = await trigger(actor, report)
    async with get_session(actor.scope) as session:
        if what == "dependency":
            service = DependencyService(session, actor)
            [row] = (await service.list_of(report)).rows
            await service.delete(report, row.id)
        else:
            await PipelineService(session, actor).delete(orders)
    assert (await run_of(run.id)).waits_until is None


async def test_a_waiting_run_is_cancelled_like_any_other(
    actor: Actor, orders: int, report: int
) -> None:
    run = await trigger(actor, report)
    async with get_session(actor.scope) as session:
        await RunService(session, actor).cancel(run.id)
    await overdue(run.id)
    assert (await reconcile())["stale"] == 0
    await succeed(actor, orders)
    assert (await run_of(run.id)).state == RunState.CANCELLED


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h"), (93_784, "1 d 2 h")],
)
def test_durations_are_told_in_their_largest_units(seconds: int, words: str) -> None:
    assert in_words(seconds) == words


def test_the_limit_itself_is_still_fresh() -> None:
    now = utcnow()
    one = Upstream(1, 2, "orders", False, 60, 0, 3, now - dt.timedelta(seconds=60))
    assert one.is_fresh(now)
    assert not one.is_fresh(now + dt.timedelta(microseconds=1))
