"""Schedules: what the tenant asked for. Prefect fires them; see ``deployer.py``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from enum import Enum

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.compiler import check_schedule
from datanika.contracts.events import utcnow
from datanika.contracts.schedule import ScheduleSpec
from datanika.errors import NotFound
from datanika.models import Pipeline, Schedule
from datanika.services.actor import Actor
from datanika.services.audit_service import record
from datanika.services.notification_events import notify_switched
from datanika.services.paging import OLDEST, PageRequest, RowPage, fetch_page, rows_of, sorts_of
from datanika.services.pipeline_service import PipelineService
from datanika.services.validation import check_revision


class Unchanged(Enum):
    """Of what may be None, and is not given."""

    UNCHANGED = "unchanged"


UNCHANGED = Unchanged.UNCHANGED
SORTS = sorts_of(Schedule, "created_at", "updated_at")


class ScheduleService:
    """Schedules of the actor's organisation."""

    def __init__(self, session: AsyncSession, actor: Actor) -> None:
        self.session = session
        self.actor = actor

    async def create(self, pipeline_id: int, spec: ScheduleSpec) -> Schedule:
        """``spec`` comes from :func:`~datanika.compiler.check_schedule`."""
        self.actor.require("schedule:write")
        await PipelineService(self.session, self.actor).find(pipeline_id)
        schedule = Schedule(org_id=self.actor.org_id, pipeline_id=pipeline_id, **_columns(spec))
        self.session.add(schedule)
        await self._saved("schedule.created", schedule, None)
        return schedule

    async def get(self, schedule_id: int) -> Schedule:
        """The schedule; raises :class:`NotFound`, also for another organisation's."""
        self.actor.require("schedule:read")
        return await self.find(schedule_id)

    async def list(
        self,
        page: PageRequest = OLDEST,
        *,
        pipeline_id: int | None = None,
        pipeline_ids: Collection[int] | None = None,
        is_active: bool | None = None,
    ) -> RowPage[Schedule]:
        """The schedules of the organisation's pipelines, or of some of them."""
        self.actor.require("schedule:read")
        query = (
            rows_of(Schedule)
            .join(Pipeline, Pipeline.id == Schedule.pipeline_id)
            .where(
                Schedule.org_id == self.actor.org_id,
                Schedule.deleted_at.is_(None),
                Pipeline.deleted_at.is_(None),
            )
        )
        if pipeline_id is not None:
            query = query.where(Schedule.pipeline_id == pipeline_id)
        if pipeline_ids is not None:
            query = query.where(Schedule.pipeline_id.in_(pipeline_ids))
        if is_active is not None:
            query = query.where(Schedule.is_active == is_active)
        return await fetch_page(self.session, query, SORTS, page)

    async def update(
        self, schedule_id: int, spec: ScheduleSpec, revision: int | None = None
    ) -> Schedule:
        """Replace when the pipeline runs."""
        self.actor.require("schedule:write")
        schedule = await self.find(schedule_id, lock=True)
        check_revision(schedule.revision, revision)
        old = schedule_spec(schedule)
        for name, value in _columns(spec).items():
            setattr(schedule, name, value)
        schedule.revision += 1
        await self._saved("schedule.updated", schedule, old)
        if schedule.is_active != old.active:
            pipeline = await self.session.get_one(Pipeline, schedule.pipeline_id)
            await notify_switched(
                self.session, pipeline, paused=not schedule.is_active, schedule=schedule
            )
        return schedule

    async def delete(self, schedule_id: int) -> None:
        """Take the schedule away."""
        self.actor.require("schedule:delete")
        schedule = await self.find(schedule_id, lock=True)
        old = schedule_spec(schedule)
        schedule.deleted_at = utcnow()
        await self._saved("schedule.deleted", schedule, old)

    async def paused_pipelines(self, pipeline_ids: Collection[int]) -> set[int]:
        """Those of the pipelines that no schedule starts, because they are paused; for a caller
        that was given their schedules."""
        query = select(Pipeline.id, Pipeline.is_paused).where(
            Pipeline.org_id == self.actor.org_id, Pipeline.id.in_(pipeline_ids)
        )
        return {row.id for row in await self.session.execute(query) if row.is_paused}

    async def find(self, schedule_id: int, *, lock: bool = False) -> Schedule:
        """The schedule, for a caller that has checked its own permission."""
        query = select(Schedule).where(
            Schedule.org_id == self.actor.org_id,
            Schedule.id == schedule_id,
            Schedule.deleted_at.is_(None),
        )
        schedule = await self.session.scalar(
            query.with_for_update(key_share=True) if lock else query
        )
        if schedule is None:
            raise NotFound("There is no such schedule.", code="schedule_not_found")
        return schedule

    async def _saved(self, action: str, schedule: Schedule, old: ScheduleSpec | None) -> None:
        """Write the change, have the pipeline deployed again, and say who did it."""
        await self.session.flush()
        await self.session.execute(
            update(Pipeline)
            .where(Pipeline.id == schedule.pipeline_id)
            .values(deployed_hash=None)
            .execution_options(synchronize_session="fetch")
        )
        await record(
            self.session,
            self.actor,
            action,
            "schedule",
            schedule.id,
            old=old.model_dump(mode="json") if old else None,
            new={
                "pipeline_id": schedule.pipeline_id,
                **schedule_spec(schedule).model_dump(mode="json"),
            },
        )


def schedule_spec(schedule: Schedule) -> ScheduleSpec:
    """The row as a contract."""
    return ScheduleSpec(
        cron=schedule.cron,
        interval_seconds=schedule.interval_seconds,
        timezone=schedule.timezone,
        active=schedule.is_active,
        starts_at=schedule.starts_at,
        ends_at=schedule.ends_at,
        catchup_seconds=schedule.catchup_seconds,
        jitter_seconds=schedule.jitter_seconds,
    )


def changed_schedule(
    schedule: Schedule,
    *,
    cron: str | None = None,
    interval_seconds: int | None = None,
    timezone: str | None = None,
    is_active: bool | None = None,
    starts_at: dt.datetime | None | Unchanged = UNCHANGED,
    ends_at: dt.datetime | None | Unchanged = UNCHANGED,
    catchup_seconds: int | None = None,
    jitter_seconds: int | None = None,
) -> ScheduleSpec:
    """``schedule`` with what is given: a cron replaces an interval and the other way round, and
    None takes ``starts_at`` or ``ends_at`` away."""
    if cron is None and interval_seconds is None:
        cron, interval_seconds = schedule.cron, schedule.interval_seconds
    return check_schedule(
        cron=cron,
        interval_seconds=interval_seconds,
        timezone=timezone or schedule.timezone,
        active=schedule.is_active if is_active is None else is_active,
        starts_at=schedule.starts_at if starts_at is UNCHANGED else starts_at,
        ends_at=schedule.ends_at if ends_at is UNCHANGED else ends_at,
        catchup_seconds=schedule.catchup_seconds if catchup_seconds is None else catchup_seconds,
        jitter_seconds=schedule.jitter_seconds if jitter_seconds is None else jitter_seconds,
    )


def _columns(spec: ScheduleSpec) -> dict[str, object]:
    return {
        "cron": spec.cron,
        "interval_seconds": spec.interval_seconds,
        "timezone": spec.timezone,
        "is_active": spec.active,
        "starts_at": spec.starts_at,
        "ends_at": spec.ends_at,
        "catchup_seconds": spec.catchup_seconds,
        "jitter_seconds": spec.jitter_seconds,
    }
