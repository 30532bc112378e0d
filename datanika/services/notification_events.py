"""What happened becomes deliveries, in the transaction in which it happened: the row is the outbox.

Without a matching channel this costs one query. The event's id says what happened to what, so the
same event never makes two deliveries for a channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.config import settings
from datanika.contracts.enums import RunState
from datanika.contracts.events import utcnow
from datanika.contracts.notifications import (
    DeliveryState,
    Named,
    Notification,
    NotificationEvent,
    RunError,
    RunSummary,
)
from datanika.models import (
    NotificationChannel,
    NotificationDelivery,
    Organization,
    Pipeline,
    Run,
    Schedule,
)

_OF_STATE = {
    RunState.FAILED: NotificationEvent.RUN_FAILED,
    RunState.SUCCEEDED: NotificationEvent.RUN_SUCCEEDED,
    RunState.CANCELLED: NotificationEvent.RUN_CANCELLED,
    RunState.SKIPPED: NotificationEvent.RUN_SKIPPED,
    RunState.UPSTREAM_STALE: NotificationEvent.RUN_UPSTREAM_STALE,
}


class _Channel(NamedTuple):
    id: int
    events: frozenset[str]


async def notify_run(session: AsyncSession, run: Run) -> None:
    """Tell the organisation's channels how ``run`` ended; its state is final."""
    state = RunState(run.state)
    channels = await _channels(session, run.org_id, run.pipeline_id)
    events = [_OF_STATE[state]]
    if (
        state is RunState.SUCCEEDED
        and _wanted(channels, NotificationEvent.RUN_RECOVERED)
        and await _failed_before(session, run)
    ):
        events.append(NotificationEvent.RUN_RECOVERED)
    for event in events:
        if _wanted(channels, event):
            message = await _about_run(session, run, event)
            await _deliver(session, run.org_id, channels, message)


async def notify_failing(session: AsyncSession, pipeline: Pipeline, run: Run) -> None:
    """Tell the organisation's channels that the pipeline fails again and again, last in ``run``."""
    event = NotificationEvent.PIPELINE_FAILING
    channels = await _channels(session, pipeline.org_id, pipeline.id)
    if not _wanted(channels, event):
        return
    count, limit = pipeline.consecutive_failures, settings.failures_until_pause
    message = await _about_run(session, run, event)
    reason = f"Its last {count} runs failed. After {limit} in a row it is paused."
    await _deliver(
        session, pipeline.org_id, channels, message.model_copy(update={"reason": reason})
    )


async def notify_switched(
    session: AsyncSession, pipeline: Pipeline, *, paused: bool, schedule: Schedule | None = None
) -> None:
    """Tell the organisation's channels that the pipeline, or a schedule of it, was paused or
    resumed. Its revision tells one time from the next."""
    what = schedule or pipeline
    event = NotificationEvent(
        f"{'schedule' if schedule else 'pipeline'}.{'paused' if paused else 'resumed'}"
    )
    channels = await _channels(session, pipeline.org_id, pipeline.id)
    if not _wanted(channels, event):
        return
    organization = await session.get_one(Organization, pipeline.org_id)
    message = Notification(
        event_id=f"{event.value}:{what.id}:{what.revision}",
        event=event.value,
        occurred_at=utcnow(),
        organization=Named(id=organization.id, name=organization.name),
        pipeline=Named(id=pipeline.id, name=pipeline.name),
        schedule_id=schedule.id if schedule else None,
        reason=pipeline.pause_reason if paused and schedule is None else None,
    )
    await _deliver(session, pipeline.org_id, channels, message)


async def _channels(session: AsyncSession, org_id: int, pipeline_id: int) -> list[_Channel]:
    rows = await session.execute(
        select(NotificationChannel.id, NotificationChannel.events, NotificationChannel.pipeline_ids)
        .where(
            NotificationChannel.org_id == org_id,
            NotificationChannel.deleted_at.is_(None),
            NotificationChannel.is_active,
        )
        .order_by(NotificationChannel.id)
    )
    return [
        _Channel(row.id, frozenset(row.events))
        for row in rows
        if not row.pipeline_ids or pipeline_id in row.pipeline_ids
    ]


def _wanted(channels: Sequence[_Channel], event: NotificationEvent) -> bool:
    return any(event.value in channel.events for channel in channels)


async def _failed_before(session: AsyncSession, run: Run) -> bool:
    """Whether the pipeline's run before this one that had a result failed."""
    before = await session.scalar(
        select(Run.state)
        .where(
            Run.org_id == run.org_id,
            Run.pipeline_id == run.pipeline_id,
            Run.id < run.id,
            Run.state.in_((RunState.SUCCEEDED.value, RunState.FAILED.value)),
        )
        .order_by(Run.id.desc())
        .limit(1)
    )
    return before == RunState.FAILED.value


async def _about_run(session: AsyncSession, run: Run, event: NotificationEvent) -> Notification:
    names = (
        await session.execute(
            select(Organization.name.label("organization"), Pipeline.name.label("pipeline"))
            .join(Pipeline, Pipeline.org_id == Organization.id)
            .where(Organization.id == run.org_id, Pipeline.id == run.pipeline_id)
        )
    ).one()
    error = None
    if run.error_code is not None:
        error = RunError(code=run.error_code, message=run.error_message or "", hint=run.error_hint)
    return Notification(
        event_id=f"{event.value}:{run.id}",
        event=event.value,
        occurred_at=run.finished_at or utcnow(),
        organization=Named(id=run.org_id, name=names.organization),
        pipeline=Named(id=run.pipeline_id, name=names.pipeline),
        run=RunSummary(
            id=run.id,
            state=run.state,
            trigger=run.trigger,
            attempt=run.attempt,
            started_at=run.started_at,
            finished_at=run.finished_at,
            rows=run.rows,
            error=error,
            url=f"{settings.public_url.rstrip('/')}/runs/{run.id}",
        ),
    )


async def _deliver(
    session: AsyncSession, org_id: int, channels: Sequence[_Channel], message: Notification
) -> None:
    payload, now = message.model_dump(mode="json"), utcnow()
    rows = [
        {
            "org_id": org_id,
            "channel_id": channel.id,
            "event_id": message.event_id,
            "event": message.event,
            "payload": payload,
            "state": DeliveryState.PENDING.value,
            "next_attempt_at": now,
        }
        for channel in channels
        if message.event in channel.events
    ]
    statement = insert(NotificationDelivery).values(rows)
    await session.execute(
        statement.on_conflict_do_nothing(index_elements=["channel_id", "event_id"])
    )
