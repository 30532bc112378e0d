"""Schedules: when pipelines run by themselves."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Query, status

from datanika.api.deps import MAX_ID, PROBLEMS, Id, IfMatch, page_of
from datanika.api.paging import paging
from datanika.api.transaction import TenantRoute, Tx, needs
from datanika.compiler import check_schedule
from datanika.contracts.api import Page, ScheduleIn, ScheduleOut, SchedulePatch
from datanika.services.deployer import deploy_after_commit
from datanika.services.paging import PageRequest
from datanika.services.schedule_service import SORTS, ScheduleService, changed_schedule

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
    rows = await ScheduleService(tx.session, tx.actor).list(
        page, pipeline_id=pipeline_id, is_active=is_active
    )
    return page_of(rows, ScheduleOut)


@router.post("", status_code=status.HTTP_201_CREATED, **needs("schedule:write"))
async def create_schedule(body: ScheduleIn, tx: Tx, later: BackgroundTasks) -> ScheduleOut:
    """A cron expression or an interval, in a time zone."""
    spec = check_schedule(
        cron=body.cron,
        interval_seconds=body.interval_seconds,
        timezone=body.timezone,
        active=body.is_active,
    )
    row = await ScheduleService(tx.session, tx.actor).create(body.pipeline_id, spec)
    later.add_task(deploy_after_commit, row.pipeline_id)
    return tx.tagged(ScheduleOut.model_validate(row))


@router.get("/{schedule_id}", **needs("schedule:read"))
async def read_schedule(schedule_id: Id, tx: Tx) -> ScheduleOut:
    """One schedule."""
    row = await ScheduleService(tx.session, tx.actor).get(schedule_id)
    return tx.tagged(ScheduleOut.model_validate(row))


@router.patch("/{schedule_id}", **needs("schedule:write"))
async def update_schedule(
    schedule_id: Id, body: SchedulePatch, tx: Tx, revision: IfMatch, later: BackgroundTasks
) -> ScheduleOut:
    """Change what is given. A cron expression replaces an interval and the other way round."""
    service = ScheduleService(tx.session, tx.actor)
    changed = changed_schedule(
        await service.find(schedule_id),
        cron=body.cron,
        interval_seconds=body.interval_seconds,
        timezone=body.timezone,
        is_active=body.is_active,
    )
    row = await service.update(schedule_id, changed, revision)
    later.add_task(deploy_after_commit, row.pipeline_id)
    return tx.tagged(ScheduleOut.model_validate(row))


@router.delete("/{schedule_id}", status_code=status.HTTP_204_NO_CONTENT, **needs("schedule:delete"))
async def delete_schedule(schedule_id: Id, tx: Tx, later: BackgroundTasks) -> None:
    """Take it away."""
    service = ScheduleService(tx.session, tx.actor)
    pipeline_id = (await service.find(schedule_id)).pipeline_id
    await service.delete(schedule_id)
    later.add_task(deploy_after_commit, pipeline_id)
