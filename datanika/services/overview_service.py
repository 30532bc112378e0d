"""An organisation at a glance: what is healthy, what failed, what is late, how it develops.

A handful of queries, whatever the number of pipelines.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Date as SqlDate
from sqlalchemy import Row, and_, cast, exists, func, or_, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.api.overview import (
    DayOut,
    FailingPipelineOut,
    FirstStepsOut,
    HealthOut,
    LaneOut,
    OverviewOut,
    QuotaOut,
    TimelineRunOut,
)
from datanika.contracts.enums import RunState
from datanika.contracts.events import utcnow
from datanika.models import Connection, Pipeline, Run
from datanika.services.actor import Actor
from datanika.services.lateness import late_pipelines
from datanika.services.run_rows import LEASED_STATES
from datanika.services.usage_service import UsageService

DAYS = 14
MAX_PIPELINES = 2000
MAX_FAILING = 20
MAX_RUNS = 400
_LOOKED_AT = 2000
"""Newest runs among which those of the last day are looked for: there is no index of times."""
_FAILED = (RunState.FAILED.value, RunState.UPSTREAM_STALE.value)
_ENDS = (*_FAILED, RunState.SUCCEEDED.value)


class OverviewService:
    """The actor's organisation."""

    def __init__(self, session: AsyncSession, actor: Actor) -> None:
        self.session = session
        self.actor = actor

    async def read(self) -> OverviewOut:
        """Everything that the first page shows."""
        self.actor.require("run:read")
        now = utcnow()
        pipelines = await self._pipelines()
        names = {row.id: row.name for row in pipelines}
        failing = [row for row in pipelines if row.state in _FAILED]
        failing.sort(key=lambda row: row.run_id, reverse=True)
        runs, left_out = await self._runs(now)
        return OverviewOut(
            now=now,
            health=_health(pipelines),
            failing=[_failing(row) for row in failing[:MAX_FAILING]],
            lanes=_lanes(runs, names, {row.id for row in failing}),
            runs_left_out=left_out,
            late=await late_pipelines(self.session, self.actor, pipelines, now),
            days=await self._days(now.astimezone(dt.UTC).date()),
            quota=await self._quota(),
            first_steps=await self._first_steps(),
        )

    async def _pipelines(self) -> Sequence[Row[Any]]:
        """Each pipeline with its last run that says something, its last success, and whether it
        runs now."""
        of_it = (Run.pipeline_id == Pipeline.id, Run.org_id == Pipeline.org_id)
        lives = Run.deleted_at.is_(None)
        last = (
            select(Run)
            .where(*of_it, lives, Run.state.in_(_ENDS))
            .order_by(Run.id.desc())
            .limit(1)
            .lateral("last_run")
        )
        success = (
            select(Run.finished_at, Run.created_at)
            .where(*of_it, lives, Run.state == RunState.SUCCEEDED.value)
            .order_by(Run.id.desc())
            .limit(1)
            .lateral("last_success")
        )
        runs_now = select(Run.id).where(*of_it, lives, Run.state.in_(LEASED_STATES)).exists()
        query = (
            select(
                Pipeline.id,
                Pipeline.name,
                Pipeline.is_paused,
                Pipeline.pause_reason,
                Pipeline.consecutive_failures,
                last.c.id.label("run_id"),
                last.c.state,
                last.c.finished_at,
                last.c.error_code,
                func.left(last.c.error_message, 1000).label("error_message"),
                func.left(last.c.error_hint, 500).label("error_hint"),
                success.c.finished_at.label("last_success_at"),
                success.c.created_at.label("last_success_began"),
                runs_now.correlate(Pipeline).label("runs_now"),
            )
            .select_from(Pipeline)
            .outerjoin(last, true())
            .outerjoin(success, true())
            .where(Pipeline.org_id == self.actor.org_id, Pipeline.deleted_at.is_(None))
            .order_by(Pipeline.name)
            .limit(MAX_PIPELINES)
        )
        return (await self.session.execute(query)).all()

    async def _runs(self, now: dt.datetime) -> tuple[Sequence[Row[Any]], int]:
        """The newest runs of the last day in their order, and how many more there are."""
        since = now - dt.timedelta(hours=24)
        newest = (
            select(
                Run.id,
                Run.pipeline_id,
                Run.state,
                Run.trigger,
                Run.created_at,
                Run.started_at,
                Run.finished_at,
                Run.rows,
                func.left(Run.error_message, 300).label("error_message"),
            )
            .where(Run.org_id == self.actor.org_id, Run.deleted_at.is_(None))
            .order_by(Run.id.desc())
            .limit(_LOOKED_AT)
            .subquery("newest")
        )
        query = (
            select(newest)
            .where(or_(newest.c.finished_at.is_(None), newest.c.finished_at >= since))
            .order_by(newest.c.id.desc())
        )
        found = (await self.session.execute(query)).all()
        return found[:MAX_RUNS][::-1], max(0, len(found) - MAX_RUNS)

    async def _days(self, today: dt.date) -> list[DayOut]:
        first = today - dt.timedelta(days=DAYS - 1)
        begin = dt.datetime(first.year, first.month, first.day, tzinfo=dt.UTC)
        day = cast(func.timezone("UTC", Run.finished_at), SqlDate)
        seconds = func.extract("epoch", Run.finished_at - Run.started_at)
        succeeded = Run.state == RunState.SUCCEEDED.value
        query = (
            select(
                day.label("day"),
                func.count().label("runs"),
                func.count().filter(Run.state.in_(_FAILED)).label("failed"),
                func.coalesce(func.sum(Run.rows), 0).label("rows"),
                func.coalesce(func.sum(seconds), 0).label("seconds"),
                func.percentile_cont(0.5).within_group(seconds).filter(succeeded).label("median"),
            )
            .where(
                Run.org_id == self.actor.org_id,
                Run.finished_at >= begin,
                Run.state.in_((*_ENDS, RunState.CANCELLED.value)),
                Run.deleted_at.is_(None),
            )
            .group_by(day)
        )
        known = {row.day: row for row in await self.session.execute(query)}
        return [_day(first + dt.timedelta(days=number), known) for number in range(DAYS)]

    async def _quota(self) -> QuotaOut | None:
        if not self.actor.may("usage:read"):
            return None
        usage = await UsageService(self.session, self.actor).read()
        return QuotaOut.model_validate(usage)

    async def _first_steps(self) -> FirstStepsOut:
        org_id = self.actor.org_id
        runs = and_(Run.org_id == org_id, Run.deleted_at.is_(None))
        query = select(
            exists()
            .where(Connection.org_id == org_id, Connection.deleted_at.is_(None))
            .label("has_connection"),
            exists()
            .where(Pipeline.org_id == org_id, Pipeline.deleted_at.is_(None))
            .label("has_pipeline"),
            exists().where(runs).label("has_run"),
            exists().where(runs, Run.state == RunState.SUCCEEDED.value).label("has_success"),
        )
        return FirstStepsOut.model_validate((await self.session.execute(query)).one())


def _health(pipelines: Sequence[Row[Any]]) -> HealthOut:
    return HealthOut(
        total=len(pipelines),
        healthy=sum(row.state == RunState.SUCCEEDED.value for row in pipelines),
        failing=sum(row.state in _FAILED for row in pipelines),
        running=sum(row.runs_now for row in pipelines),
        paused=sum(row.is_paused for row in pipelines),
        never_run=sum(row.state is None for row in pipelines),
    )


def _failing(row: Row[Any]) -> FailingPipelineOut:
    return FailingPipelineOut(
        pipeline_id=row.id,
        name=row.name,
        run_id=row.run_id,
        state=RunState(row.state),
        failed_at=row.finished_at,
        failures=row.consecutive_failures,
        error_code=row.error_code,
        error_message=row.error_message,
        error_hint=row.error_hint,
        is_paused=row.is_paused,
        pause_reason=row.pause_reason,
        last_success_at=row.last_success_at,
    )


def _lanes(runs: Sequence[Row[Any]], names: dict[int, str], failing: set[int]) -> list[LaneOut]:
    """A lane a pipeline: failing ones first, then whose last run is the newest. Runs of pipelines
    that were deleted are left out."""
    by_pipeline: dict[int, list[TimelineRunOut]] = {}
    for row in runs:
        if row.pipeline_id in names:
            one = TimelineRunOut.model_validate(row)
            by_pipeline.setdefault(row.pipeline_id, []).append(one)
    order = sorted(by_pipeline, key=lambda key: (key not in failing, -by_pipeline[key][-1].id))
    return [LaneOut(pipeline_id=key, name=names[key], runs=by_pipeline[key]) for key in order]


def _day(day: dt.date, known: dict[dt.date, Row[Any]]) -> DayOut:
    row = known.get(day)
    if row is None:
        return DayOut(day=day, runs=0, failed=0, rows=0, seconds=0.0, median_seconds=None)
    return DayOut(
        day=day,
        runs=row.runs,
        failed=row.failed,
        rows=int(row.rows),
        seconds=float(row.seconds),
        median_seconds=None if row.median is None else float(row.median),
    )
