"""Backfills: one chunk after the other, each in the transaction that ends the one before."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest
from sqlalchemy import select, update

from datanika.contracts.enums import BackfillState, RunState, RunTrigger
from datanika.contracts.events import Failure, RunFinish
from datanika.db import SYSTEM, get_session
from datanika.errors import Conflict, InvalidInput, NotFound
from datanika.models import AuditLog, Backfill, Run
from datanika.services.actor import Actor
from datanika.services.backfill_service import BackfillService, Progress
from datanika.services.connection_service import ConnectionService
from datanika.services.pipeline_service import PipelineService
from datanika.services.run_recorder import RunRecorder, claim_run
from datanika.services.run_service import RunService
from tests.support.pipelines import make_incremental, make_pipeline
from tests.support.tenants import make_tenant

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
DAY = 86_400


@pytest.fixture
async def pipeline_id(actor: Actor) -> int:
    return await make_incremental(actor)


async def create(actor: Actor, pipeline_id: int, days: float = 2.5, **more: Any) -> int:
    async with get_session(actor.scope) as session:
        end = START + dt.timedelta(days=days)
        service = BackfillService(session, actor)
        return (await service.create(pipeline_id, START, end, DAY, **more)).id


async def progress(actor: Actor, backfill_id: int) -> Progress:
    async with get_session(actor.scope) as session:
        service = BackfillService(session, actor)
        [found] = await service.progress([await service.get(backfill_id)])
        return found


async def runs_of(backfill_id: int) -> list[Run]:
    async with get_session(SYSTEM) as session:
        query = select(Run).where(Run.backfill_id == backfill_id).order_by(Run.id)
        return list(await session.scalars(query))


async def start(actor: Actor, run: Run) -> None:
    async with get_session(actor.scope) as session:
        await claim_run(
            session,
            org_id=actor.org_id,
            pipeline_id=run.pipeline_id,
            flow_run_id=str(uuid.uuid4()),
            run_id=run.id,
        )


async def end(actor: Actor, run: Run, state: RunState = RunState.SUCCEEDED) -> None:
    await start(actor, run)
    async with get_session(actor.scope) as session:
        failure = Failure(code="x", message="x") if state is RunState.FAILED else None
        await RunRecorder(session, run.id, 1).finish(RunFinish(state=state, failure=failure))


async def audited(actor: Actor) -> list[str]:
    async with get_session(SYSTEM) as session:
        query = select(AuditLog.action).where(AuditLog.org_id == actor.org_id)
        return list(await session.scalars(query))


async def test_the_chunks_meet_and_the_last_ends_the_backfill(
    actor: Actor, pipeline_id: int
) -> None:
    backfill_id = await create(actor, pipeline_id)
    for done in range(3):
        found = await progress(actor, backfill_id)
        assert (found.chunks, found.chunks_done) == (3, done)
        runs = await runs_of(backfill_id)
        assert len(runs) == done + 1, "the next comes only when the last has ended"
        await end(actor, runs[-1])
    runs = await runs_of(backfill_id)
    bounds = [(run.interval_start, run.interval_end) for run in runs]
    day = dt.timedelta(days=1)
    assert bounds == [
        (START, START + day),
        (START + day, START + 2 * day),
        (START + 2 * day, START + 2.5 * day),
    ]
    assert {run.trigger for run in runs} == {RunTrigger.BACKFILL}
    found = await progress(actor, backfill_id)
    assert (found.backfill.state, found.chunks_done) == (BackfillState.SUCCEEDED, 3)
    assert found.backfill.finished_at is not None
    actions = await audited(actor)
    assert actions.count("run.triggered") == 3 and actions.count("backfill.created") == 1


async def test_a_chunk_that_failed_stops_it_and_a_retry_goes_on_there(
    actor: Actor, pipeline_id: int
) -> None:
    backfill_id = await create(actor, pipeline_id)
    [first] = await runs_of(backfill_id)
    await end(actor, first)
    second = (await runs_of(backfill_id))[1]
    await end(actor, second, RunState.FAILED)
    assert (await progress(actor, backfill_id)).backfill.state == BackfillState.FAILED
    assert len(await runs_of(backfill_id)) == 2
    async with get_session(actor.scope) as session:
        with pytest.raises(Conflict) as caught:
            await RunService(session, actor).retry(second.id, "k")
        assert caught.value.code == "run_of_backfill"
    async with get_session(actor.scope) as session:
        await BackfillService(session, actor).retry(backfill_id)
    again = (await runs_of(backfill_id))[2]
    assert (again.interval_start, again.state) == (second.interval_start, RunState.QUEUED)
    await end(actor, again)
    await end(actor, (await runs_of(backfill_id))[3])
    found = await progress(actor, backfill_id)
    assert (found.backfill.state, found.chunks_done) == (BackfillState.SUCCEEDED, 3)
    async with get_session(actor.scope) as session:
        with pytest.raises(Conflict):
            await BackfillService(session, actor).retry(backfill_id)


@pytest.mark.parametrize("running", [False, True])
async def test_a_cancelled_backfill_starts_no_further_chunk(
    actor: Actor, pipeline_id: int, running: bool
) -> None:
    backfill_id = await create(actor, pipeline_id)
    [run] = await runs_of(backfill_id)
    if running:
        await start(actor, run)
    async with get_session(actor.scope) as session:
        await BackfillService(session, actor).cancel(backfill_id)
    [run] = await runs_of(backfill_id)
    assert run.state == (RunState.CANCELLING if running else RunState.CANCELLED)
    if running:
        async with get_session(actor.scope) as session:
            # It came to its end before it heard of the cancel.
            await RunRecorder(session, run.id, 1).finish(RunFinish(state=RunState.SUCCEEDED))
    assert len(await runs_of(backfill_id)) == 1
    async with get_session(actor.scope) as session:
        again = await BackfillService(session, actor).cancel(backfill_id)
        assert again.state == BackfillState.CANCELLED
        await BackfillService(session, actor).retry(backfill_id)
    last = (await runs_of(backfill_id))[-1]
    assert last.interval_start == START + dt.timedelta(days=1 if running else 0)


async def test_a_retry_after_the_last_chunk_came_to_its_end_anyway_is_its_success(
    actor: Actor, pipeline_id: int
) -> None:
    backfill_id = await create(actor, pipeline_id, days=1)
    [run] = await runs_of(backfill_id)
    await start(actor, run)
    async with get_session(actor.scope) as session:
        await BackfillService(session, actor).cancel(backfill_id)
    async with get_session(actor.scope) as session:
        await RunRecorder(session, run.id, 1).finish(RunFinish(state=RunState.SUCCEEDED))
    async with get_session(actor.scope) as session:
        again = await BackfillService(session, actor).retry(backfill_id)
        assert again.state == BackfillState.SUCCEEDED
    assert len(await runs_of(backfill_id)) == 1
    assert (await audited(actor)).count("backfill.retried") == 1


async def test_a_run_that_somebody_cancels_ends_the_backfill(
    actor: Actor, pipeline_id: int
) -> None:
    backfill_id = await create(actor, pipeline_id)
    [run] = await runs_of(backfill_id)
    async with get_session(actor.scope) as session:
        await RunService(session, actor).cancel(run.id)
    assert (await progress(actor, backfill_id)).backfill.state == BackfillState.CANCELLED


async def test_what_no_longer_compiles_is_said_by_the_run_that_it_fails(
    actor: Actor, pipeline_id: int
) -> None:
    backfill_id = await create(actor, pipeline_id)
    async with get_session(SYSTEM) as session:
        await session.execute(update(Run).values(pipeline_version_id=Run.pipeline_version_id))
    async with get_session(actor.scope) as session:
        pipelines = PipelineService(session, actor)
        spec = (await pipelines.plan(pipeline_id)).steps[0].step
        connections = ConnectionService(session, actor)
        other = await connections.create("other", "duckdb", {"path": "o.duckdb"})
        moved = spec.model_copy(update={"destination_id": other.id})
        await pipelines.update(pipeline_id, spec=_one_step(moved))
        await connections.delete(spec.destination_id)
    [run] = await runs_of(backfill_id)
    await end(actor, run)
    last = (await runs_of(backfill_id))[-1]
    assert (last.state, last.error_code) == (RunState.FAILED, "unknown_connection")
    assert (await progress(actor, backfill_id)).backfill.state == BackfillState.FAILED


def _one_step(step: Any) -> Any:
    from datanika.contracts.spec import PipelineSpec

    return PipelineSpec(steps=(step,))


async def test_a_deleted_pipeline_is_not_backfilled_further(actor: Actor, pipeline_id: int) -> None:
    backfill_id = await create(actor, pipeline_id)
    [run] = await runs_of(backfill_id)
    async with get_session(actor.scope) as session:
        await PipelineService(session, actor).delete(pipeline_id)
    await end(actor, run)
    assert len(await runs_of(backfill_id)) == 1
    assert (await progress(actor, backfill_id)).backfill.state == BackfillState.CANCELLED


@pytest.mark.parametrize(
    ("days", "more", "code"),
    [
        (1001, {}, "too_many_chunks"),
        (0, {}, "interval_empty"),
        (1, {"steps": ["nope"]}, "unknown_step"),
    ],
)
async def test_what_cannot_be_backfilled_is_refused(
    actor: Actor, pipeline_id: int, days: float, more: dict[str, Any], code: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await create(actor, pipeline_id, days, **more)
    assert caught.value.code == code
    async with get_session(SYSTEM) as session:
        assert (await session.scalars(select(Backfill))).all() == []


async def test_a_pipeline_without_cursors_is_not_backfilled(actor: Actor) -> None:
    made = await make_pipeline(actor)
    with pytest.raises(InvalidInput) as caught:
        await create(actor, made.id)
    assert caught.value.code == "nothing_to_backfill"


async def test_another_organisations_backfill_is_not_found(actor: Actor, pipeline_id: int) -> None:
    backfill_id = await create(actor, pipeline_id)
    stranger = (await make_tenant("Other")).owner
    async with get_session(stranger.scope) as session:
        service = BackfillService(session, stranger)
        for call in (service.get, service.cancel, service.retry):
            with pytest.raises(NotFound):
                await call(backfill_id)
        assert (await service.list()).rows == []


async def test_a_preview_shows_the_chunks_that_would_run_and_starts_none(
    actor: Actor, pipeline_id: int
) -> None:
    async with get_session(actor.scope) as session:
        service = BackfillService(session, actor)
        end = START + dt.timedelta(days=2.5)
        shown = await service.preview(pipeline_id, START, end, DAY)
        assert (await service.list()).rows == []
        with pytest.raises(InvalidInput, match="before it begins"):
            await service.preview(pipeline_id, end, START, DAY)
    assert await runs_of(await create(actor, pipeline_id)) != []
    assert [one.start for one in shown.chunks] == [START + dt.timedelta(days=n) for n in range(3)]
    assert shown.chunks[-1].end == end
    for plan, chunk in ((shown.first, shown.chunks[0]), (shown.last, shown.chunks[-1])):
        assert [one.interval for one in plan.steps if one.kind == "load"] == [chunk]
        assert [one.reason for one in plan.left_out] == ["not_by_interval"]
