"""Which runs may start now: one of a pipeline at a time, and no more of an organisation than its
limit.

A run holds one of its organisation's places while it is being submitted (its lease, for so long
as that may take), while it waits in Prefect, and until it is over.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.config import settings
from datanika.contracts.enums import RunState
from datanika.contracts.events import utcnow
from datanika.models import Organization, Run
from datanika.services.run_lifecycle import FINAL_STATES, lock_run

SUBMITTING = dt.timedelta(minutes=2)
"""How long the submission of a run to Prefect may take before its place is given away."""

_LEASED = (RunState.STARTING.value, RunState.RUNNING.value, RunState.CANCELLING.value)


def _in_prefect() -> ColumnElement[bool]:
    submitted = and_(Run.state == RunState.QUEUED.value, Run.flow_run_id.is_not(None))
    return or_(Run.state.in_(_LEASED), submitted)


def _being_submitted() -> ColumnElement[bool]:
    return and_(Run.state == RunState.QUEUED.value, Run.lease_expires_at > func.now())


async def count_active(session: AsyncSession, org_id: int, *, but: int | None = None) -> int:
    """How many of the organisation's runs have a place; the run ``but`` is not counted."""
    query = (
        select(func.count())
        .select_from(Run)
        .where(Run.org_id == org_id, or_(_in_prefect(), _being_submitted()))
    )
    if but is not None:
        query = query.where(Run.id != but)
    return await session.scalar(query) or 0


async def has_room(session: AsyncSession, org_id: int, run_id: int | None = None) -> bool:
    """Whether the organisation may have one more run (beside ``run_id``, which may have a place).

    Until the transaction ends nobody else is told so.
    """
    await session.execute(
        select(func.pg_advisory_xact_lock(func.hashtextextended(f"runs of {org_id}", 0)))
    )
    limit = await session.scalar(
        select(func.coalesce(Organization.max_concurrent_runs, _default())).where(
            Organization.id == org_id
        )
    )
    return limit is None or await count_active(session, org_id, but=run_id) < limit


async def take_place(session: AsyncSession, run_id: int) -> Run | None:
    """The run, locked and with a place of its own, if it may be submitted now."""
    run = await session.get(Run, run_id)
    if run is None or run.state != RunState.QUEUED.value or await _older(session, run):
        return None
    if not await has_room(session, run.org_id, run_id):
        return None
    run = await lock_run(session, run_id)
    if run is None or run.state != RunState.QUEUED.value:
        return None
    run.lease_expires_at = utcnow() + SUBMITTING
    return run


async def give_place_back(session: AsyncSession, run_id: int) -> None:
    """The submission failed: the run waits again."""
    run = await lock_run(session, run_id)
    if run is not None and run.state == RunState.QUEUED.value:
        run.lease_expires_at = None


async def startable_runs(
    session: AsyncSession, *, org_id: int | None = None, limit: int
) -> Sequence[int]:
    """Ids of waiting runs that may be submitted, as many of each organisation as it has room for.

    The first of every organisation come before anybody's second.
    """
    older = (
        select(Run.pipeline_id, func.min(Run.id).label("id"))
        .where(Run.state.not_in(FINAL_STATES))
        .group_by(Run.pipeline_id)
        .subquery()
    )
    active = (
        select(Run.org_id, func.count().label("runs"))
        .where(_in_prefect())
        .group_by(Run.org_id)
        .subquery()
    )
    waiting = (
        select(
            Run.id,
            Run.org_id,
            # One whose submission has begun has its place; it may have died with its process.
            func.row_number()
            .over(
                partition_by=Run.org_id, order_by=[case((_being_submitted(), 0), else_=1), Run.id]
            )
            .label("place"),
        )
        # The oldest unfinished run of each pipeline: the others wait for it.
        .join(older, older.c.id == Run.id)
        .where(Run.state == RunState.QUEUED.value, Run.flow_run_id.is_(None))
    )
    if org_id is not None:
        waiting = waiting.where(Run.org_id == org_id)
    queue = waiting.subquery()
    most = func.coalesce(Organization.max_concurrent_runs, _default())
    room = most - func.coalesce(active.c.runs, 0)
    query = (
        select(queue.c.id)
        .join(Organization, Organization.id == queue.c.org_id)
        .outerjoin(active, active.c.org_id == queue.c.org_id)
        .where(or_(room.is_(None), queue.c.place <= room))
        .order_by(queue.c.place, queue.c.id)
        .limit(limit)
    )
    return (await session.scalars(query)).all()


def _default() -> int | None:
    return settings.default_max_concurrent_runs


async def _older(session: AsyncSession, run: Run) -> bool:
    older = await session.scalar(
        select(Run.id)
        .where(
            Run.pipeline_id == run.pipeline_id,
            Run.id < run.id,
            Run.state.not_in(FINAL_STATES),
        )
        .limit(1)
    )
    return older is not None
