"""Which runs may start now: one of a pipeline at a time (unless its runs may overlap), what they
depend on fresh, and no more of an organisation than its limit.

A run holds one of its organisation's places while it is being submitted (its lease, for so long
as that may take), while it waits in Prefect, and until it is over.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Subquery, and_, case, func, not_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.config import settings
from datanika.contracts.enums import OverlapPolicy, RunState
from datanika.contracts.events import utcnow
from datanika.models import Organization, Pipeline, Run
from datanika.services.freshness import wait_deadline
from datanika.services.run_rows import LEASED_STATES, OPEN_STATES, lock_run

SUBMITTING = dt.timedelta(minutes=2)
"""How long the submission of a run to Prefect may take before its place is given away."""


def in_prefect() -> ColumnElement[bool]:
    """Whether a run waits in Prefect, or is under way."""
    submitted = and_(Run.state == RunState.QUEUED.value, Run.flow_run_id.is_not(None))
    return or_(Run.state.in_(LEASED_STATES), submitted)


def being_submitted() -> ColumnElement[bool]:
    """Whether somebody is handing a run to Prefect just now."""
    return and_(Run.state == RunState.QUEUED.value, Run.lease_expires_at > func.now())


async def count_active(session: AsyncSession, org_id: int, *, but: int | None = None) -> int:
    """How many of the organisation's runs have a place; the run ``but`` is not counted."""
    query = (
        select(func.count())
        .select_from(Run)
        .where(Run.org_id == org_id, or_(in_prefect(), being_submitted()))
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
    limit = await session.scalar(select(most_runs()).where(Organization.id == org_id))
    return limit is None or await count_active(session, org_id, but=run_id) < limit


async def take_place(session: AsyncSession, run_id: int) -> Run | None:
    """The run, locked and with a place of its own, if it may be submitted now.

    One whose upstreams are no longer fresh begins to wait for them.
    """
    run = await session.get(Run, run_id)
    if run is None or not _may_be_submitted(run):
        return None
    waits_until = None
    if not run.ignores_dependencies and run.flow_run_id is None and run.started_at is None:
        # First the pipeline's lock, then the organisation's, then the run's: as others do.
        waits_until = await wait_deadline(session, run.org_id, run.pipeline_id)
    if not await has_room(session, run.org_id, run_id) or await must_wait(session, run):
        return None
    run = await lock_run(session, run_id)
    if run is None or not _may_be_submitted(run):
        return None
    if waits_until is not None:
        run.waits_until = waits_until
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
    queue, active = candidates(org_id), active_runs()
    room = most_runs() - func.coalesce(active.c.runs, 0)
    query = (
        select(queue.c.id)
        .join(Organization, Organization.id == queue.c.org_id)
        .outerjoin(active, active.c.org_id == queue.c.org_id)
        .where(or_(room.is_(None), queue.c.place <= room))
        .order_by(queue.c.place, queue.c.id)
        .limit(limit)
    )
    return (await session.scalars(query)).all()


def candidates(org_id: int | None = None) -> Subquery:
    """Runs (``id``, ``org_id``) that no other run of their pipeline and no upstream holds up, with
    their ``place`` among those of the organisation."""
    first = first_of_each_pipeline()
    waiting = (
        select(
            Run.id,
            Run.org_id,
            # One whose submission has begun has its place; it may have died with its process.
            func.row_number()
            .over(partition_by=Run.org_id, order_by=[case((being_submitted(), 0), else_=1), Run.id])
            .label("place"),
        )
        .join(Pipeline, Pipeline.id == Run.pipeline_id)
        .join(first, first.c.pipeline_id == Run.pipeline_id)
        .where(or_(first.c.id == Run.id, and_(_may_overlap(), not_(waits_for_upstream()))))
        .where(Run.state == RunState.QUEUED.value, Run.flow_run_id.is_(None))
    )
    if org_id is not None:
        waiting = waiting.where(Run.org_id == org_id)
    return waiting.subquery()


def active_runs() -> Subquery:
    """How many ``runs`` of each organisation (``org_id``) Prefect has."""
    return (
        select(Run.org_id, func.count().label("runs"))
        .where(in_prefect())
        .group_by(Run.org_id)
        .subquery()
    )


def most_runs() -> ColumnElement[int | None]:
    """How many runs an organisation may have at once; NULL: as many as it likes."""
    return func.coalesce(Organization.max_concurrent_runs, settings.default_max_concurrent_runs)


def _may_be_submitted(run: Run) -> bool:
    return run.state == RunState.QUEUED.value and run.waits_until is None


def waits_for_upstream() -> ColumnElement[bool]:
    """Whether a run waits for what its pipeline depends on: meanwhile it is in nobody's way."""
    return and_(Run.state == RunState.QUEUED.value, Run.waits_until.is_not(None))


def first_of_each_pipeline() -> Subquery:
    """The run (``id``) that the others of its pipeline wait for: the one that has a place, else
    the oldest that may have one."""
    has_place = case((or_(in_prefect(), being_submitted()), Run.id))
    may_have_one = case((not_(waits_for_upstream()), Run.id))
    return (
        select(
            Run.pipeline_id,
            func.coalesce(func.min(has_place), func.min(may_have_one)).label("id"),
        )
        .where(Run.state.in_(OPEN_STATES))
        .group_by(Run.pipeline_id)
        .subquery()
    )


def _may_overlap() -> ColumnElement[bool]:
    return Pipeline.overlap_policy == OverlapPolicy.ALLOW.value


async def must_wait(session: AsyncSession, run: Run) -> bool:
    """Whether another run of the pipeline comes first."""
    other = await session.scalar(
        select(Run.id)
        .join(Pipeline, Pipeline.id == Run.pipeline_id)
        .where(
            Run.pipeline_id == run.pipeline_id,
            not_(_may_overlap()),
            Run.id != run.id,
            Run.state.in_(OPEN_STATES),
            not_(waits_for_upstream()),
            or_(Run.id < run.id, in_prefect(), being_submitted()),
        )
        .limit(1)
    )
    return other is not None
