"""The queue: which runs have not started yet, in which order they will, and what each waits for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, Select, and_, case, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.enums import RunState
from datanika.contracts.events import utcnow
from datanika.models import Organization, Pipeline, Run
from datanika.services.actor import Actor
from datanika.services.freshness import Upstream, staleness, upstreams_of_each
from datanika.services.readiness import prefect_is_up
from datanika.services.run_queue import (
    active_runs,
    being_submitted,
    candidates,
    count_active,
    first_of_each_pipeline,
    most_runs,
    waits_for_upstream,
)
from datanika.services.run_rows import OPEN_STATES


class WaitReason(StrEnum):
    """Why a run has not started. In the order of the queue, but for the last."""

    WORKER = "waits_for_worker"
    LIMIT = "organization_limit"
    RUN = "waits_for_run"
    UPSTREAM = "waits_for_upstream"
    PREFECT = "prefect_unavailable"


@dataclass(frozen=True, slots=True)
class QueuedRun:
    """A run that waits. ``since``: when Prefect was given it; ``active`` of ``limit`` runs of its
    organisation are under way or handed over."""

    position: int
    run_id: int
    organization: str
    pipeline_id: int
    pipeline_name: str
    trigger: str
    created_at: dt.datetime
    waiting_seconds: int
    reason: WaitReason
    text: str
    waits_for_run_id: int | None
    waits_for_pipelines: list[str]
    waits_until: dt.datetime | None
    since: dt.datetime | None
    active: int
    limit: int | None


@dataclass(frozen=True, slots=True)
class Queue:
    """An organisation's queue. ``active``: runs that have one of its ``limit`` places; ``waiting``
    counts all that wait, listed or not."""

    items: list[QueuedRun]
    waiting: int
    running: int
    active: int
    limit: int | None


class QueueService:
    """The queue of the actor's organisation."""

    def __init__(self, session: AsyncSession, actor: Actor) -> None:
        self.session = session
        self.actor = actor

    async def read(self, limit: int = 100) -> Queue:
        """The first ``limit`` runs that wait, and how many there are."""
        self.actor.require("run:read")
        org_id = self.actor.org_id
        items = await queued_runs(self.session, org_id=org_id, limit=limit)
        states = await self.session.execute(
            select(Run.state, func.count())
            .where(Run.org_id == org_id, Run.state.in_(OPEN_STATES))
            .group_by(Run.state)
        )
        counts = {state: count for state, count in states}
        most = await self.session.scalar(select(most_runs()).where(Organization.id == org_id))
        waiting = counts.pop(RunState.QUEUED.value, 0)
        return Queue(
            items=items,
            waiting=waiting,
            running=sum(counts.values()),
            active=await count_active(self.session, org_id),
            limit=most,
        )


async def queued_runs(
    session: AsyncSession, *, org_id: int | None = None, limit: int
) -> list[QueuedRun]:
    """Runs that wait, in the order in which they will start as far as that is known: the first of
    every organisation before anybody's second. Without ``org_id`` everybody's, in system scope."""
    rows = (await session.execute(_queue(org_id).limit(limit))).all()
    stale = {row.pipeline_id for row in rows if row.reason == WaitReason.UPSTREAM}
    upstreams = await upstreams_of_each(session, stale, org_id) if stale else {}
    # Who waits for something else does not wait for Prefect yet.
    near = any(row.reason == WaitReason.WORKER for row in rows)
    is_up = await prefect_is_up() if near else True
    return [
        _queued(position, row, upstreams.get(row.pipeline_id, []), is_up)
        for position, row in enumerate(rows, 1)
    ]


async def waits_by_reason(session: AsyncSession) -> dict[WaitReason, tuple[int, dt.datetime]]:
    """How many runs of all organisations wait for what, and since when the oldest does. In system
    scope."""
    queue = _queue(None).order_by(None).subquery()
    rows = await session.execute(
        select(queue.c.reason, func.count(), func.min(queue.c.created_at)).group_by(queue.c.reason)
    )
    found = {WaitReason(reason): (count, oldest) for reason, count, oldest in rows}
    if WaitReason.WORKER in found and not await prefect_is_up():
        found[WaitReason.PREFECT] = found.pop(WaitReason.WORKER)
    return found


def _queue(org_id: int | None) -> Select[Any]:
    first, queue, active = first_of_each_pipeline(), candidates(org_id), active_runs()
    under_way = func.coalesce(active.c.runs, 0)
    has_place = case((being_submitted(), True), else_=Run.flow_run_id.is_not(None))
    reason = case(
        (waits_for_upstream(), WaitReason.UPSTREAM.value),
        (has_place, WaitReason.WORKER.value),
        (and_(first.c.id != Run.id, queue.c.id.is_(None)), WaitReason.RUN.value),
        (queue.c.place > most_runs() - under_way, WaitReason.LIMIT.value),
        else_=WaitReason.WORKER.value,
    )
    turn = case((waits_for_upstream(), 3), (has_place, 0), (queue.c.id.is_not(None), 1), else_=2)
    query = (
        select(
            Run.id,
            Run.pipeline_id,
            Pipeline.name,
            Organization.slug,
            Run.trigger,
            Run.created_at,
            Run.waits_until,
            case((Run.flow_run_id.is_not(None), Run.updated_at)).label("since"),
            first.c.id.label("first_id"),
            under_way.label("active"),
            most_runs().label("limit"),
            queue.c.place,
            reason.label("reason"),
        )
        .join(Pipeline, Pipeline.id == Run.pipeline_id)
        .join(Organization, Organization.id == Run.org_id)
        .outerjoin(first, first.c.pipeline_id == Run.pipeline_id)
        .outerjoin(queue, queue.c.id == Run.id)
        .outerjoin(active, active.c.org_id == Run.org_id)
        .where(Run.state == RunState.QUEUED.value, Run.deleted_at.is_(None))
        .order_by(turn, func.coalesce(queue.c.place, 0), Run.id)
    )
    return query if org_id is None else query.where(Run.org_id == org_id)


def _queued(
    position: int, row: Row[Any], upstreams: Sequence[Upstream], prefect_up: bool
) -> QueuedRun:
    now = utcnow()
    reason = WaitReason(row.reason)
    if reason is WaitReason.WORKER and not prefect_up:
        reason = WaitReason.PREFECT
    stale = [one for one in upstreams if not one.is_fresh(now)]
    return QueuedRun(
        position=position,
        run_id=row.id,
        organization=row.slug,
        pipeline_id=row.pipeline_id,
        pipeline_name=row.name,
        trigger=row.trigger,
        created_at=row.created_at,
        waiting_seconds=max(0, int((now - row.created_at).total_seconds())),
        reason=reason,
        text=_explain(reason, row, stale, now),
        waits_for_run_id=row.first_id if reason is WaitReason.RUN else None,
        waits_for_pipelines=[one.name for one in stale],
        waits_until=row.waits_until,
        since=row.since,
        active=row.active,
        limit=row.limit,
    )


def _explain(reason: WaitReason, row: Row[Any], stale: Sequence[Upstream], now: dt.datetime) -> str:
    match reason:
        case WaitReason.RUN:
            return f"Run {row.first_id} of this pipeline is not over."
        case WaitReason.LIMIT:
            under_way = f"{row.active} of {row.limit} runs of the organisation are under way"
            before = row.place - 1
            return f"{under_way}, and {before} more come first." if before else f"{under_way}."
        case WaitReason.UPSTREAM:
            why = " ".join(staleness(one, now) for one in stale)
            return f"{why} It waits until {row.waits_until:%Y-%m-%d %H:%M:%S} UTC.".strip()
        case WaitReason.PREFECT:
            return "Prefect does not answer: it starts when Prefect is back."
        case WaitReason.WORKER if row.since is not None:
            return f"Prefect has it since {row.since:%H:%M:%S} UTC; no worker has taken it yet."
        case _:
            return "It is being handed to Prefect."
