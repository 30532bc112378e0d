"""Which pipelines are late: a schedule of theirs has fired, and they have not succeeded since."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.compiler import jitter_of, next_fires
from datanika.contracts.api.overview import LatePipelineOut
from datanika.models import CatalogEntry, Run, Schedule
from datanika.services.actor import Actor
from datanika.services.schedule_service import schedule_spec

GRACE = dt.timedelta(minutes=15)
"""What a run may take after its time before anybody is told that it is late."""
MAX_SCHEDULES = 1000
MAX_LATE = 20
MAX_NAMES = 10


async def late_pipelines(
    session: AsyncSession, actor: Actor, pipelines: Sequence[Row[Any]], now: dt.datetime
) -> list[LatePipelineOut]:
    """The latest first. ``pipelines`` are rows with ``id``, ``name``, ``is_paused``,
    ``last_success_at`` and ``last_success_began``; paused ones are not late."""
    by_id = {row.id: row for row in pipelines if not row.is_paused}
    schedules = await session.scalars(
        select(Schedule)
        .where(
            Schedule.org_id == actor.org_id,
            Schedule.is_active,
            Schedule.deleted_at.is_(None),
        )
        .order_by(Schedule.id)
        .limit(MAX_SCHEDULES)
    )
    due: dict[int, dt.datetime] = {}
    for schedule in schedules:
        row = by_id.get(schedule.pipeline_id)
        at = _missed(schedule, row.last_success_began if row else None, now) if row else None
        if at is not None:
            due[schedule.pipeline_id] = min(at, due.get(schedule.pipeline_id, at))
    order = sorted(due, key=lambda key: due[key])[:MAX_LATE]
    tables = await _tables(session, actor, order) if order else {}
    return [
        LatePipelineOut(
            pipeline_id=key,
            name=by_id[key].name,
            due_at=due[key],
            last_success_at=by_id[key].last_success_at,
            late_seconds=int((now - due[key]).total_seconds()),
            tables=tables.get(key, [])[:MAX_NAMES],
            tables_total=len(tables.get(key, [])),
        )
        for key in order
    ]


def _missed(
    schedule: Schedule, success: dt.datetime | None, now: dt.datetime
) -> dt.datetime | None:
    """The first time after the last success, or after the schedule was made, that is over."""
    since = schedule.created_at if success is None else max(success, schedule.created_at)
    found = next_fires(schedule_spec(schedule), since, 1)
    if not found:
        return None
    wait = GRACE + jitter_of(schedule.pipeline_id, schedule.jitter_seconds)
    return found[0] if found[0] + wait < now else None


async def _tables(
    session: AsyncSession, actor: Actor, pipeline_ids: Sequence[int]
) -> dict[int, list[str]]:
    """Tables and views that the pipelines built last, by pipeline."""
    if not actor.may("catalog:read"):
        return {}
    rows = await session.execute(
        select(Run.pipeline_id, CatalogEntry.schema_name, CatalogEntry.name)
        .join(Run, Run.id == CatalogEntry.run_id)
        .where(
            CatalogEntry.org_id == actor.org_id,
            CatalogEntry.deleted_at.is_(None),
            Run.org_id == actor.org_id,
            Run.pipeline_id.in_(pipeline_ids),
        )
        .order_by(CatalogEntry.schema_name, CatalogEntry.name)
    )
    found: dict[int, list[str]] = {}
    for pipeline_id, schema, name in rows:
        found.setdefault(pipeline_id, []).append(f"{schema}.{name}")
    return found
