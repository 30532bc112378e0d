"""Schedules: when pipelines run by themselves."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Query, status

from datanika.api.deps import MAX_ID, PROBLEMS, Id, IfMatch
from datanika.api.paging import paging
from datanika.api.transaction import TenantRoute, Tx, needs
from datanika.compiler import check_schedule, next_fires
from datanika.contracts.api import (
    FiresOut,
    Page,
    ScheduleIn,
    ScheduleOut,
    SchedulePatch,
    SchedulePreviewIn,
)
from datanika.contracts.events import utcnow
from datanika.contracts.schedule import ScheduleSpec
from datanika.contracts.text import Moment
from datanika.models import Schedule
from datanika.services.deployer import deploy_after_commit
from datanika.services.paging import PageRequest
from datanika.services.schedule_service import (
    SORTS,
    UNCHANGED,
    ScheduleService,
    changed_schedule,
    schedule_spec,
)

router = APIRouter(
    prefix="/schedules", tags=["schedules"], responses=PROBLEMS, route_class=TenantRoute
)
Paging = Annotated[PageRequest, paging(SORTS)]


@router.get("", **needs("schedule:read"))
async def list_schedules(
    tx: Tx,
    page: Paging,
    pipeline_id: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
    is_active: bool | None = None,
) -> Page[ScheduleOut]:
    """The organisation's schedules."""
    service = ScheduleService(tx.session, tx.actor)
    rows = await service.list(page, pipeline_id=pipeline_id, is_active=is_active)
    paused = await service.paused_pipelines({row.pipeline_id for row in rows.rows})
    items = [schedule_out(one, one["pipeline_id"] in paused) for one in rows.records()]
    return Page(items=items, next_cursor=rows.next_cursor)


@router.post("", status_code=status.HTTP_201_CREATED, **needs("schedule:write"))
async def create_schedule(body: ScheduleIn, tx: Tx, later: BackgroundTasks) -> ScheduleOut:
    """A cron expression or an interval, in a time zone."""
    spec = check_schedule(
        cron=body.cron,
        interval_seconds=body.interval_seconds,
        timezone=body.timezone,
        active=body.is_active,
        starts_at=body.starts_at,
        ends_at=body.ends_at,
        catchup_seconds=body.catchup_seconds,
        jitter_seconds=body.jitter_seconds,
    )
    service = ScheduleService(tx.session, tx.actor)
    row = await service.create(body.pipeline_id, spec)
    later.add_task(deploy_after_commit, row.pipeline_id)
    return tx.tagged(await _answer(service, row))


@router.post("/preview", **needs("schedule:read"))
async def preview_schedule(body: SchedulePreviewIn, tx: Tx) -> FiresOut:
    """When a schedule would fire, before it is saved."""
    spec = check_schedule(
        cron=body.cron,
        interval_seconds=body.interval_seconds,
        timezone=body.timezone,
        starts_at=body.starts_at,
        ends_at=body.ends_at,
    )
    return _fires(spec, body.after, body.count)


@router.get("/{schedule_id}", **needs("schedule:read"))
async def read_schedule(schedule_id: Id, tx: Tx) -> ScheduleOut:
    """One schedule."""
    service = ScheduleService(tx.session, tx.actor)
    return tx.tagged(await _answer(service, await service.get(schedule_id)))


@router.get("/{schedule_id}/fires", **needs("schedule:read"))
async def read_schedule_fires(
    schedule_id: Id,
    tx: Tx,
    count: Annotated[int, Query(ge=1, le=100)] = 5,
    after: Annotated[Moment | None, Query(description="Now, if it is left out.")] = None,
) -> FiresOut:
    """When the schedule fires while it is active, the very times at which runs start."""
    row = await ScheduleService(tx.session, tx.actor).get(schedule_id)
    return _fires(schedule_spec(row).model_copy(update={"active": True}), after, count)


@router.patch("/{schedule_id}", **needs("schedule:write"))
async def update_schedule(
    schedule_id: Id, body: SchedulePatch, tx: Tx, revision: IfMatch, later: BackgroundTasks
) -> ScheduleOut:
    """Change what is given. A cron expression replaces an interval and the other way round."""
    service = ScheduleService(tx.session, tx.actor)
    given = body.model_fields_set
    changed = changed_schedule(
        await service.find(schedule_id),
        cron=body.cron,
        interval_seconds=body.interval_seconds,
        timezone=body.timezone,
        is_active=body.is_active,
        starts_at=body.starts_at if "starts_at" in given else UNCHANGED,
        ends_at=body.ends_at if "ends_at" in given else UNCHANGED,
        catchup_seconds=body.catchup_seconds,
        jitter_seconds=body.jitter_seconds,
    )
    row = await service.update(schedule_id, changed, revision)
    later.add_task(deploy_after_commit, row.pipeline_id)
    return tx.tagged(await _answer(service, row))


@router.delete("/{schedule_id}", status_code=status.HTTP_204_NO_CONTENT, **needs("schedule:delete"))
async def delete_schedule(schedule_id: Id, tx: Tx, later: BackgroundTasks) -> None:
    """Take it away."""
    service = ScheduleService(tx.session, tx.actor)
    pipeline_id = (await service.find(schedule_id)).pipeline_id
    await service.delete(schedule_id)
    later.add_task(deploy_after_commit, pipeline_id)


def schedule_out(columns: Mapping[str, Any], is_paused: bool) -> ScheduleOut:
    """A schedule with its next times; ``is_paused``: its pipeline is."""
    when = {name: columns[name] for name in ScheduleSpec.model_fields if name != "active"}
    spec = ScheduleSpec(**when, active=columns["is_active"] and not is_paused)
    return ScheduleOut.model_validate({**columns, "next_fires": next_fires(spec, utcnow())})


async def _answer(service: ScheduleService, row: Schedule) -> ScheduleOut:
    columns = {column.key: getattr(row, column.key) for column in row.__table__.columns}
    return schedule_out(columns, bool(await service.paused_pipelines({row.pipeline_id})))


def _fires(spec: ScheduleSpec, after: dt.datetime | None, count: int) -> FiresOut:
    return FiresOut(fires=next_fires(spec, after or utcnow(), count))
