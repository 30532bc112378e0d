"""The chunks of a backfill: a run each, the next accepted in the transaction in which the one
before ends, so that none is lost and none is doubled.

Locks are taken in this order: the chunk's run, then the backfill.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.compiler import backfill_plan, narrow_plan
from datanika.contracts.enums import BackfillState, RunState, RunTrigger
from datanika.contracts.events import Failure, utcnow
from datanika.contracts.overrides import Interval, RunOverrides
from datanika.contracts.plan import Plan
from datanika.errors import DatanikaError
from datanika.models import Backfill, Organization, Pipeline, PipelineVersion, Run
from datanika.services.actor import Actor
from datanika.services.audit_service import SystemActor
from datanika.services.limits import reason_not_to_run
from datanika.services.pipeline_service import compile_version
from datanika.services.run_acceptance import Wanted, insert_run
from datanika.services.run_rows import end_run


@dataclass(frozen=True)
class Options:
    """What a backfill's ``overrides`` hold."""

    overrides: RunOverrides
    full: bool

    @classmethod
    def of(cls, backfill: Backfill) -> Options:
        steps = backfill.overrides.get("steps")
        return cls(RunOverrides(steps=tuple(steps) if steps else None), backfill.overrides["full"])


def chunk_at(backfill: Backfill, start: dt.datetime) -> Interval:
    """The chunk that begins at ``start``; the last one may be shorter."""
    end = start + dt.timedelta(seconds=backfill.chunk_seconds)
    return Interval(start=start, end=min(end, backfill.interval_end))


async def plan_chunk(
    session: AsyncSession, backfill: Backfill, version: PipelineVersion, chunk: Interval
) -> Plan:
    """What the run of ``chunk`` does. Raises what compiling raises, and
    :class:`~datanika.errors.InvalidInput`."""
    options = Options.of(backfill)
    plan = await compile_version(session, backfill.org_id, version)
    is_last = chunk.end >= backfill.interval_end
    return backfill_plan(
        narrow_plan(plan, options.overrides), chunk, transforms=options.full or is_last
    )


async def accept_chunk(
    session: AsyncSession,
    actor: Actor | SystemActor,
    backfill: Backfill,
    version: PipelineVersion,
    chunk: Interval,
    plan: Plan,
) -> Run:
    """A queued run of ``chunk``. The caller has locked the backfill."""
    tries = await session.scalar(
        select(func.count())
        .select_from(Run)
        .where(Run.backfill_id == backfill.id, Run.interval_start == chunk.start)
    )
    wanted = Wanted(
        backfill.pipeline_id,
        version.id,
        f"backfill-{backfill.id}-{chunk.start:%Y%m%dT%H%M%S.%f}-{tries}",
        RunTrigger.BACKFILL,
        plan,
        # What the past looked like does not become wrong because an upstream is late today.
        ignore_dependencies=True,
        overrides=Options.of(backfill).overrides,
        backfill_id=backfill.id,
        interval=chunk,
    )
    run = await insert_run(session, actor, wanted)
    assert run is not None, "the backfill's lock makes the key new"
    return run


async def lock_backfill(session: AsyncSession, backfill_id: int) -> Backfill:
    """The backfill as it is now, locked until the end of the transaction."""
    query = select(Backfill).where(Backfill.id == backfill_id)
    locked = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    return (await session.execute(locked)).scalar_one()


async def go_on(session: AsyncSession, run: Run) -> bool:
    """After the end of a chunk's ``run``: accept the next chunk, or end the backfill; whether
    another chunk follows."""
    if run.backfill_id is None:
        return False
    backfill = await lock_backfill(session, run.backfill_id)
    if backfill.state != BackfillState.RUNNING.value:
        return False
    if run.state != RunState.SUCCEEDED.value:
        was_cancelled = run.state == RunState.CANCELLED.value
        _end(backfill, BackfillState.CANCELLED if was_cancelled else BackfillState.FAILED)
        return False
    if run.interval_end is None or run.interval_end >= backfill.interval_end:
        _end(backfill, BackfillState.SUCCEEDED)
        return False
    if not await _may_go_on(session, backfill):
        _end(backfill, BackfillState.CANCELLED)
        return False
    await _accept_next(session, backfill, run, chunk_at(backfill, run.interval_end))
    return True


async def _accept_next(
    session: AsyncSession, backfill: Backfill, before: Run, chunk: Interval
) -> None:
    """Of the version that the backfill began with. What is wrong with it is its run's end."""
    version = await session.get_one(PipelineVersion, before.pipeline_version_id)
    plan, failure = Plan(steps=(), stages=()), await reason_not_to_run(session, backfill.org_id)
    try:
        plan = await plan_chunk(session, backfill, version, chunk)
    except DatanikaError as error:
        failure = Failure(code=error.code, message=error.message, hint=error.hint)
    actor = SystemActor(backfill.org_id, "backfill", backfill.created_by)
    run = await accept_chunk(session, actor, backfill, version, chunk, plan)
    if failure is not None:
        await end_run(session, run, RunState.FAILED, failure)
        _end(backfill, BackfillState.FAILED)


async def _may_go_on(session: AsyncSession, backfill: Backfill) -> bool:
    lives = await session.scalar(
        select(Pipeline.id)
        .join(Organization, Organization.id == Pipeline.org_id)
        .where(
            Pipeline.id == backfill.pipeline_id,
            Pipeline.deleted_at.is_(None),
            Organization.deleted_at.is_(None),
        )
    )
    return lives is not None


def _end(backfill: Backfill, state: BackfillState) -> None:
    backfill.state, backfill.finished_at = state.value, utcnow()
