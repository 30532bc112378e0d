"""Replication slots that no pipeline uses any more, until they are gone from their sources.

A slot keeps its source's log until somebody drops it. What a change of a pipeline leaves behind is
written down in the change's own transaction; the reconciler hands it to a worker for ad hoc jobs,
again and again, until the source says that it is gone. Redis and the source may be away meanwhile.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from datanika import job_queue
from datanika.contracts.ad_hoc import AdHocAnswer, SlotInfo, SlotsResult
from datanika.contracts.cdc import pipeline_key, slot_name, steps_with_changes
from datanika.contracts.events import Failure, utcnow
from datanika.contracts.jobs import RELEASE_SLOTS
from datanika.db import SYSTEM, get_session
from datanika.errors import ConfigError, Unavailable
from datanika.models import Pipeline, PipelineVersion, Run, SlotRelease
from datanika.services.audit_service import SystemActor, record
from datanika.services.delivery import delay_after
from datanika.services.table_owners import owner_name

logger = logging.getLogger(__name__)

CLAIM = dt.timedelta(minutes=5)
"""A worker that has been told has done it by then, or is dead."""
SOON = dt.timedelta(seconds=15)
"""When it is tried again where a run still uses the slot, or Redis is away."""
BATCH = 50
TRIED_ENOUGH = 3
"""After so many failed attempts a source counts as gone, and its connection may be deleted."""

Place = tuple[str, int]
"""(step key, the connection of its source)"""


async def release(
    session: AsyncSession, org_id: int, pipeline_id: int, places: Iterable[Place]
) -> None:
    """Have the slots of these steps dropped, if nobody uses them by then."""
    places = sorted(set(places))
    if not places:
        return
    owner = await owner_name(session, org_id)
    rows = [
        {
            "org_id": org_id,
            "connection_id": source,
            "pipeline_id": pipeline_id,
            "step_key": key,
            "slot": slot_name(owner, pipeline_key(pipeline_id, key)),
            "next_attempt_at": utcnow(),
        }
        for key, source in places
    ]
    same = [SlotRelease.org_id, SlotRelease.connection_id, SlotRelease.slot]
    added = insert(SlotRelease).values(rows)
    await session.execute(
        added.on_conflict_do_update(
            index_elements=same, set_={"next_attempt_at": added.excluded.next_attempt_at}
        )
    )


async def release_of_run(session: AsyncSession, run: Run) -> None:
    """A run ended: what it may have made, and its pipeline does not use. Retries have old plans,
    and a pipeline may be changed or deleted while it runs."""
    places = set(steps_with_changes(run.plan.get("steps")))
    if not places:
        return
    spec = await session.scalar(
        select(PipelineVersion.spec)
        .join(Pipeline, Pipeline.current_version_id == PipelineVersion.id)
        .where(Pipeline.id == run.pipeline_id, Pipeline.deleted_at.is_(None))
    )
    used = set(steps_with_changes(spec["steps"])) if spec is not None else set()
    await release(session, run.org_id, run.pipeline_id, places - used)


async def release_all(session: AsyncSession, org_id: int) -> None:
    """The organisation is deleted: nobody reads any of its slots any more."""
    rows = await session.execute(
        select(Pipeline.id, PipelineVersion.spec["steps"])
        .join(PipelineVersion, PipelineVersion.id == Pipeline.current_version_id)
        .where(Pipeline.org_id == org_id, Pipeline.deleted_at.is_(None))
    )
    for pipeline_id, steps in rows.all():
        await release(session, org_id, pipeline_id, steps_with_changes(steps))


async def claim_releases() -> Sequence[tuple[int, int]]:
    """(organisation, connection) of what is due; it is not due again for :data:`CLAIM`."""
    now = utcnow()
    async with get_session(SYSTEM) as session:
        due = (
            select(SlotRelease.id)
            .where(SlotRelease.next_attempt_at <= now)
            .order_by(SlotRelease.next_attempt_at)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        )
        rows = await session.execute(
            update(SlotRelease)
            .where(SlotRelease.id.in_(due.scalar_subquery()))
            .values(next_attempt_at=now + CLAIM)
            .returning(SlotRelease.org_id, SlotRelease.connection_id)
            .execution_options(synchronize_session=False)
        )
        return sorted({(row.org_id, row.connection_id) for row in rows})


async def enqueue_releases() -> int:
    """Tell a worker which replication slots are due to be dropped; of how many connections."""
    claimed = await claim_releases()
    for place, (org_id, connection_id) in enumerate(claimed):
        try:
            await job_queue.send(RELEASE_SLOTS, org_id, connection_id)
        except (Unavailable, ConfigError):
            for left in claimed[place:]:
                await postpone(*left)
            return place
    return len(claimed)


async def postpone(org_id: int, connection_id: int, delay: dt.timedelta = SOON) -> None:
    """The worker could not be told, or a run is in the way."""
    async with get_session(SYSTEM) as session:
        await session.execute(
            update(SlotRelease)
            .where(SlotRelease.org_id == org_id, SlotRelease.connection_id == connection_id)
            .values(next_attempt_at=utcnow() + delay)
            .execution_options(synchronize_session=False)
        )


async def waiting(session: AsyncSession, org_id: int, connection_id: int) -> Sequence[SlotRelease]:
    """The releases at a connection, locked."""
    rows = await session.scalars(
        select(SlotRelease)
        .where(SlotRelease.org_id == org_id, SlotRelease.connection_id == connection_id)
        .order_by(SlotRelease.id)
        .with_for_update()
    )
    return rows.all()


async def keep_answer(
    session: AsyncSession,
    org_id: int,
    connection_id: int,
    ids: Collection[int],
    answer: AdHocAnswer,
) -> None:
    """What became of these releases. System scope."""
    result = answer.result
    slots = {one.name: one for one in result.slots} if isinstance(result, SlotsResult) else {}
    gone = []
    for row in await waiting(session, org_id, connection_id):
        if row.id not in ids:
            continue
        failure = answer.failure or _failure(slots.get(row.slot))
        if failure is None:
            if row.slot in slots and slots[row.slot].is_dropped:
                gone.append(row.slot)
            await session.delete(row)
            continue
        row.attempts += 1
        row.next_attempt_at = utcnow() + delay_after(row.attempts)
        row.error_code, row.error_message = failure.code[:100], failure.message
        logger.warning("The slot %s stays at its source: %s", row.slot, failure.code)
    await session.flush()
    if gone:
        await record(
            session, SystemActor(org_id), "connection.slots_dropped", "connection", connection_id,
            old={"slots": gone},
        )  # fmt: skip


def _failure(slot: SlotInfo | None) -> Failure | None:
    """Why it is still there; None: it is gone, or somebody uses it through another connection."""
    return slot.failure if slot is not None else None


async def slots_in_the_way(session: AsyncSession, org_id: int, connection_id: int) -> Sequence[str]:
    """Slots that are about to be dropped, and need the connection's credentials for that."""
    rows = await session.scalars(
        select(SlotRelease.slot)
        .where(
            SlotRelease.org_id == org_id,
            SlotRelease.connection_id == connection_id,
            SlotRelease.attempts < TRIED_ENOUGH,
        )
        .order_by(SlotRelease.slot)
    )
    return rows.all()


async def give_up(session: AsyncSession, org_id: int, connection_id: int) -> Sequence[str]:
    """The connection is deleted: the slots that stay at its source."""
    rows = await session.scalars(
        delete(SlotRelease)
        .where(SlotRelease.org_id == org_id, SlotRelease.connection_id == connection_id)
        .returning(SlotRelease.slot)
        .execution_options(synchronize_session=False)
    )
    return sorted(rows.all())
