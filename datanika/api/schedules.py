"""Schedules: when pipelines run by themselves."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Query, status

from datanika.api.deps import MAX_ID, PROBLEMS, Caller, Cursor, Id, Limit, make_page
from datanika.compiler import check_schedule
from datanika.contracts.api import Page, ScheduleIn, ScheduleOut, SchedulePatch
from datanika.db import get_session
from datanika.services.deployer import deploy_after_commit
from datanika.services.schedule_service import ScheduleService, changed_schedule

router = APIRouter(prefix="/schedules", tags=["schedules"], responses=PROBLEMS)


@router.get("")
async def list_schedules(
    actor: Caller,
    cursor: Cursor = 0,
    limit: Limit = 100,
    pipeline_id: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
) -> Page[ScheduleOut]:
    """The organisation's schedules."""
    async with get_session(actor.scope) as session:
        rows = await ScheduleService(session, actor).list(
            limit=limit + 1, after_id=cursor, pipeline_id=pipeline_id
        )
        return make_page(rows, limit, ScheduleOut.model_validate)


@router.post("", status_code=status.HTTP_201_CREATED)
async def create_schedule(body: ScheduleIn, actor: Caller, later: BackgroundTasks) -> ScheduleOut:
    """A cron expression or an interval, in a time zone."""
    spec = check_schedule(
        cron=body.cron,
        interval_seconds=body.interval_seconds,
        timezone=body.timezone,
        active=body.is_active,
    )
    async with get_session(actor.scope) as session:
        row = await ScheduleService(session, actor).create(body.pipeline_id, spec)
        answer = ScheduleOut.model_validate(row)
    later.add_task(deploy_after_commit, answer.pipeline_id)
    return answer


@router.get("/{schedule_id}")
async def read_schedule(schedule_id: Id, actor: Caller) -> ScheduleOut:
    """One schedule."""
    async with get_session(actor.scope) as session:
        return ScheduleOut.model_validate(await ScheduleService(session, actor).get(schedule_id))


@router.patch("/{schedule_id}")
async def update_schedule(
    schedule_id: Id, body: SchedulePatch, actor: Caller, later: BackgroundTasks
) -> ScheduleOut:
    """Change what is given. A cron expression replaces an interval and the other way round."""
    async with get_session(actor.scope) as session:
        service = ScheduleService(session, actor)
        changed = changed_schedule(
            await service.get(schedule_id),
            cron=body.cron,
            interval_seconds=body.interval_seconds,
            timezone=body.timezone,
            is_active=body.is_active,
        )
        row = await service.update(schedule_id, changed, body.revision)
        answer = ScheduleOut.model_validate(row)
    later.add_task(deploy_after_commit, answer.pipeline_id)
    return answer


@router.delete("/{schedule_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_schedule(schedule_id: Id, actor: Caller, later: BackgroundTasks) -> None:
    """Take it away."""
    async with get_session(actor.scope) as session:
        service = ScheduleService(session, actor)
        pipeline_id = (await service.get(schedule_id)).pipeline_id
        await service.delete(schedule_id)
    later.add_task(deploy_after_commit, pipeline_id)
