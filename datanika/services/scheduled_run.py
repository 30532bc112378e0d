"""The run of a flow run that Prefect started by itself.

Prefect fires a little more than the schedules say, for it misreads some times around shifts of the
clocks, and more than once, because a deployment that changes schedules anew: what really fires is
decided here, and the key of a run is its schedule and its time.
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.compiler import fires, is_fire, jitter_of
from datanika.contracts.enums import RunState, RunTrigger
from datanika.contracts.events import Failure, utcnow
from datanika.models import Organization, Pipeline, Run, Schedule
from datanika.services.run_queue import has_room, must_wait
from datanika.services.run_rows import lock_run
from datanika.services.schedule_service import schedule_spec
from datanika.services.unattended_run import accept_unattended


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the flow run has nothing to run; with ``start_at``, not yet."""

    reason: str
    start_at: dt.datetime | None = None


WAITS = Refusal("The run waits for its turn: it gets a flow run of its own.")
WAITS_FOR_UPSTREAM = Refusal(
    "What the pipeline depends on is not fresh: this run starts when it is."
)

_MOST_POSTPONED = 10
"""Of a schedule that fires more often than its jitter is long, the last ones."""


def schedule_key(schedule_id: int, instant: dt.datetime) -> str:
    """The idempotency key of the run of a schedule's time."""
    return f"schedule-{schedule_id}-{instant.astimezone(dt.UTC):%Y%m%dT%H%M%SZ}"


async def register_scheduled(
    session: AsyncSession,
    org_id: int,
    pipeline_id: int,
    flow_run_id: str,
    scheduled_for: dt.datetime | None,
) -> Run | Refusal:
    """The row of a run that Prefect started for ``scheduled_for``, or why there is none.

    Without a time an operator started the flow run in Prefect.
    """
    # The lock makes two flow runs of one pipeline register one after the other.
    query = select(Pipeline).where(Pipeline.org_id == org_id, Pipeline.id == pipeline_id)
    pipeline = await session.scalar(query.with_for_update(key_share=True))
    schedules = await _schedules(session, org_id, pipeline_id) if scheduled_for else []
    keys = [f"flow-run-{flow_run_id}"]
    if scheduled_for is not None:
        keys += [schedule_key(schedule.id, scheduled_for) for schedule in schedules]
    known = await session.scalar(
        select(Run.id).where(
            Run.org_id == org_id, Run.pipeline_id == pipeline_id, Run.idempotency_key.in_(keys)
        )
    )
    if known is not None:
        return await _known_run(session, known)
    organization = await session.get(Organization, org_id)
    if organization is None or organization.deleted_at is not None:
        return Refusal("The organisation was deleted.")
    if pipeline is None or pipeline.deleted_at is not None:
        return Refusal("The pipeline was deleted.")
    if pipeline.is_paused:
        return Refusal("The pipeline is paused.")
    if scheduled_for is None:
        return await _accept(session, pipeline, flow_run_id, keys[0], None, None)
    schedule = _schedule_of(schedules, scheduled_for)
    if schedule is None:
        return Refusal(
            f"No schedule of the pipeline fires at {scheduled_for:%Y-%m-%d %H:%M:%S} UTC."
        )
    start_at = scheduled_for + jitter_of(pipeline_id, schedule.jitter_seconds)
    if utcnow() < start_at:
        return Refusal(f"It starts at {start_at:%Y-%m-%d %H:%M:%S} UTC.", start_at)
    key = schedule_key(schedule.id, scheduled_for)
    return await _accept(session, pipeline, flow_run_id, key, schedule, scheduled_for)


async def accept_postponed(
    session: AsyncSession, pipeline: Pipeline, since: dt.datetime, now: dt.datetime
) -> None:
    """Runs of the times since the deployment of ``since`` that jitter has put off: Prefect forgets
    their flow runs when the pipeline is deployed again. The caller has locked the pipeline."""
    for schedule in await _schedules(session, pipeline.org_id, pipeline.id):
        is_on = schedule.is_active and schedule.deleted_at is None
        start = max(since, now - jitter_of(pipeline.id, schedule.jitter_seconds))
        start = max(start, schedule.updated_at)
        if not is_on or start >= now:
            continue
        for at in deque(fires(schedule_spec(schedule), start, until=now), _MOST_POSTPONED):
            await accept_unattended(
                session,
                pipeline,
                RunTrigger.SCHEDULE,
                schedule_key(schedule.id, at),
                accepted_at=now,
                actor="scheduler",
                schedule_id=schedule.id,
                scheduled_for=at,
            )


async def _known_run(session: AsyncSession, run_id: int) -> Run | Refusal:
    found = await lock_run(session, run_id)
    if found is None:
        return Refusal("The run was deleted.")
    if found.state == RunState.QUEUED.value and found.flow_run_id is None:
        return WAITS if found.waits_until is None else WAITS_FOR_UPSTREAM
    return found


async def _schedules(session: AsyncSession, org_id: int, pipeline_id: int) -> Sequence[Schedule]:
    """The pipeline's, with those that were deleted: a run of theirs may wait."""
    query = select(Schedule).where(Schedule.org_id == org_id, Schedule.pipeline_id == pipeline_id)
    return (await session.scalars(query.order_by(Schedule.id))).all()


def _schedule_of(schedules: Sequence[Schedule], instant: dt.datetime) -> Schedule | None:
    """The schedule that fires at this time. Of two that do, one: a pipeline runs once."""
    for schedule in schedules:
        is_on = schedule.is_active and schedule.deleted_at is None
        if is_on and is_fire(schedule_spec(schedule), instant):
            return schedule
    return None


async def _accept(
    session: AsyncSession,
    pipeline: Pipeline,
    flow_run_id: str,
    key: str,
    schedule: Schedule | None,
    scheduled_for: dt.datetime | None,
) -> Run | Refusal:
    now = utcnow()
    run = await accept_unattended(
        session,
        pipeline,
        RunTrigger.SCHEDULE,
        key,
        accepted_at=now,
        actor="scheduler",
        schedule_id=schedule.id if schedule else None,
        scheduled_for=scheduled_for,
        missed=_missed(schedule, scheduled_for, now),
    )
    if run is None:
        return Refusal("The pipeline has no specification.")
    if run.waits_until is not None:
        return WAITS_FOR_UPSTREAM
    if run.state != RunState.QUEUED.value:
        run.flow_run_id = flow_run_id
        return run
    # In this order: what another process starts meanwhile is seen once its lock is released.
    if not await has_room(session, pipeline.org_id, run.id) or await must_wait(session, run):
        return WAITS
    run.flow_run_id = flow_run_id
    return run


def _missed(
    schedule: Schedule | None, scheduled_for: dt.datetime | None, now: dt.datetime
) -> Failure | None:
    """Why a run that could not start in its time does not start any more."""
    if schedule is None or scheduled_for is None:
        return None
    late = now - scheduled_for - jitter_of(schedule.pipeline_id, schedule.jitter_seconds)
    if late.total_seconds() <= schedule.catchup_seconds:
        return None
    return Failure(
        code="schedule_missed",
        message=f"It could start only {int(late.total_seconds()):,} s after its time, "
        f"{scheduled_for:%Y-%m-%d %H:%M} UTC, and this schedule makes up for no more than "
        f"{schedule.catchup_seconds:,} s.",
        hint="Trigger the pipeline if its data is needed now, or raise catchup_seconds.",
    )
