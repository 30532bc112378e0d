"""A run becomes a row: queued, with its plan and its steps, and an audit entry, in one transaction.

The row is the outbox: whoever accepts a run submits it after the commit, or the reconciler does.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.enums import RunState, RunTrigger
from datanika.contracts.overrides import Interval, RunOverrides
from datanika.contracts.plan import Plan
from datanika.errors import LimitReached
from datanika.models import Run
from datanika.services.actor import Actor
from datanika.services.audit_service import SystemActor, record
from datanika.services.freshness import wait_deadline
from datanika.services.limits import reason_not_to_run
from datanika.services.run_rows import add_steps
from datanika.services.run_states import with_states


@dataclass(frozen=True)
class Wanted:
    """A run to accept. ``key`` is unique in its pipeline."""

    pipeline_id: int
    version_id: int
    key: str
    trigger: RunTrigger
    plan: Plan
    retry_of: int | None = None
    ignore_dependencies: bool = False
    overrides: RunOverrides = field(default_factory=RunOverrides)
    backfill_id: int | None = None
    interval: Interval | None = None
    schedule_id: int | None = None
    scheduled_for: dt.datetime | None = None
    accepted_at: dt.datetime | None = None
    """When it counts as made, where that is not the beginning of the transaction."""


async def accept_run(session: AsyncSession, actor: Actor, wanted: Wanted) -> Run | None:
    """The new run, which waits for upstreams that are not fresh; None when there is one with this
    key. Raises :class:`LimitReached`."""
    reason = await reason_not_to_run(session, actor.org_id)
    if reason is not None:
        raise LimitReached(reason.message, code=reason.code, hint=reason.hint)
    waits_until = None
    if not wanted.ignore_dependencies:
        waits_until = await wait_deadline(session, actor.org_id, wanted.pipeline_id)
    return await insert_run(session, actor, wanted, waits_until)


async def insert_run(
    session: AsyncSession,
    actor: Actor | SystemActor,
    wanted: Wanted,
    waits_until: dt.datetime | None = None,
) -> Run | None:
    """:func:`accept_run` without its questions. A twin of this request is waited for."""
    plan = await with_states(session, actor.org_id, wanted.pipeline_id, wanted.plan)
    overrides = wanted.overrides.model_dump(mode="json", exclude_defaults=True)
    made = {} if wanted.accepted_at is None else {"created_at": wanted.accepted_at}
    run_id = await session.scalar(
        insert(Run)
        .values(
            org_id=actor.org_id,
            pipeline_id=wanted.pipeline_id,
            pipeline_version_id=wanted.version_id,
            state=RunState.QUEUED.value,
            trigger=wanted.trigger.value,
            triggered_by=actor.user_id,
            retry_of=wanted.retry_of,
            idempotency_key=wanted.key,
            plan=plan.model_dump(mode="json"),
            plan_hash=plan.hash,
            waits_until=waits_until,
            ignores_dependencies=wanted.ignore_dependencies,
            overrides=overrides,
            backfill_id=wanted.backfill_id,
            interval_start=wanted.interval.start if wanted.interval else None,
            interval_end=wanted.interval.end if wanted.interval else None,
            schedule_id=wanted.schedule_id,
            scheduled_for=wanted.scheduled_for,
            **made,
        )
        .on_conflict_do_nothing(index_elements=["org_id", "pipeline_id", "idempotency_key"])
        .returning(Run.id)
    )
    if run_id is None:
        return None
    run = await session.get_one(Run, run_id)
    add_steps(session, run, plan)
    await session.flush()
    new: dict[str, Any] = {"pipeline_id": wanted.pipeline_id, "trigger": wanted.trigger.value}
    if wanted.ignore_dependencies:
        new["ignores_dependencies"] = True
    if wanted.retry_of is not None:
        new["retry_of"] = wanted.retry_of
    if overrides:
        new["overrides"] = overrides
    if wanted.backfill_id is not None:
        new["backfill_id"] = wanted.backfill_id
    await record(session, actor, "run.triggered", "run", run.id, new=new)
    return run


async def run_with_key(
    session: AsyncSession, org_id: int, pipeline_id: int, key: str
) -> Run | None:
    """The pipeline's run with this idempotency key."""
    found: Run | None = await session.scalar(
        select(Run).where(
            Run.org_id == org_id, Run.pipeline_id == pipeline_id, Run.idempotency_key == key
        )
    )
    return found
