"""Schedules: who may set them, and that every change reaches Prefect and the audit log."""

from __future__ import annotations

import pytest

from datanika.contracts.enums import Role
from datanika.contracts.schedule import ScheduleSpec
from datanika.db import get_session
from datanika.errors import InvalidInput, NotFound, PermissionDenied, PreconditionFailed
from datanika.models import Pipeline
from datanika.services.actor import Actor
from datanika.services.audit_service import AuditService
from datanika.services.pipeline_service import PipelineService
from datanika.services.schedule_service import ScheduleService, changed_schedule, schedule_spec
from tests.support.paging import pages
from tests.support.pipelines import MadePipeline, make_pipeline
from tests.support.tenants import add_member, make_tenant

DAILY = ScheduleSpec(cron="0 6 * * *", timezone="Europe/Berlin")
HOURLY = ScheduleSpec(interval_seconds=3600)


async def create(actor: Actor, pipeline_id: int, spec: ScheduleSpec = DAILY) -> int:
    async with get_session(actor.scope) as session:
        return (await ScheduleService(session, actor).create(pipeline_id, spec)).id


async def mark_deployed(actor: Actor, pipeline_id: int) -> None:
    """As the deployer does once Prefect has the pipeline."""
    async with get_session(actor.scope) as session:
        found = await session.get(Pipeline, pipeline_id)
        assert found is not None
        found.deployed_hash = "deployed"


async def is_deployed(actor: Actor, pipeline_id: int) -> bool:
    async with get_session(actor.scope) as session:
        found = await session.get(Pipeline, pipeline_id)
        return found is not None and found.deployed_hash is not None


async def test_a_schedule_comes_back_as_it_was_asked_for(
    actor: Actor, pipeline: MadePipeline
) -> None:
    schedule_id = await create(actor, pipeline.id)
    async with get_session(actor.scope) as session:
        found = await ScheduleService(session, actor).get(schedule_id)
        assert schedule_spec(found) == DAILY


async def test_every_change_has_the_pipeline_deployed_again(
    actor: Actor, pipeline: MadePipeline
) -> None:
    await mark_deployed(actor, pipeline.id)
    schedule_id = await create(actor, pipeline.id)
    assert not await is_deployed(actor, pipeline.id)

    await mark_deployed(actor, pipeline.id)
    async with get_session(actor.scope) as session:
        await ScheduleService(session, actor).update(schedule_id, HOURLY)
    assert not await is_deployed(actor, pipeline.id)

    await mark_deployed(actor, pipeline.id)
    async with get_session(actor.scope) as session:
        await ScheduleService(session, actor).delete(schedule_id)
    assert not await is_deployed(actor, pipeline.id)


async def test_every_change_is_in_the_audit_log(actor: Actor, pipeline: MadePipeline) -> None:
    schedule_id = await create(actor, pipeline.id)
    async with get_session(actor.scope) as session:
        service = ScheduleService(session, actor)
        await service.update(schedule_id, HOURLY)
        await service.delete(schedule_id)
    async with get_session(actor.scope) as session:
        entries = (await AuditService(session, actor).list(resource_type="schedule")).rows
    assert [entry.action for entry in entries] == [
        "schedule.deleted",
        "schedule.updated",
        "schedule.created",
    ]


async def test_a_change_made_meanwhile_is_not_overwritten(
    actor: Actor, pipeline: MadePipeline
) -> None:
    schedule_id = await create(actor, pipeline.id)
    async with get_session(actor.scope) as session:
        await ScheduleService(session, actor).update(schedule_id, HOURLY, revision=1)
    async with get_session(actor.scope) as session:
        with pytest.raises(PreconditionFailed):
            await ScheduleService(session, actor).update(schedule_id, DAILY, revision=1)


async def test_a_deleted_schedule_is_gone_and_that_of_a_deleted_pipeline_is_not_listed(
    actor: Actor, pipeline: MadePipeline
) -> None:
    other = await make_pipeline(actor, "other")
    gone, kept = await create(actor, pipeline.id), await create(actor, other.id)
    async with get_session(actor.scope) as session:
        service = ScheduleService(session, actor)
        await service.delete(gone)
        with pytest.raises(NotFound):
            await service.get(gone)
        assert [one.id for one in (await service.list()).rows] == [kept]
        await PipelineService(session, actor).delete(other.id)
        assert (await service.list()).rows == []


async def test_lists_can_be_narrowed_and_paged(actor: Actor, pipeline: MadePipeline) -> None:
    other = await make_pipeline(actor, "other")
    ids = [await create(actor, pipeline.id), await create(actor, other.id)]
    ids.append(await create(actor, pipeline.id, HOURLY))
    async with get_session(actor.scope) as session:
        service = ScheduleService(session, actor)
        assert [one.id for one in (await service.list()).rows] == ids
        assert [one.id for one in await pages(service.list, limit=1)] == ids
        assert [one.id for one in (await service.list(pipeline_id=pipeline.id)).rows] == ids[::2]


async def test_what_is_left_out_of_a_change_stays(actor: Actor, pipeline: MadePipeline) -> None:
    schedule_id = await create(actor, pipeline.id)
    async with get_session(actor.scope) as session:
        found = await ScheduleService(session, actor).get(schedule_id)
        assert changed_schedule(found, is_active=False) == DAILY.model_copy(
            update={"active": False}
        )
        assert changed_schedule(found, interval_seconds=3600).cron is None
        with pytest.raises(InvalidInput):
            changed_schedule(found, cron="every morning")


@pytest.mark.parametrize(
    ("role", "may_write", "may_delete"),
    [(Role.VIEWER, False, False), (Role.EDITOR, True, False), (Role.ADMIN, True, True)],
)
async def test_roles(
    actor: Actor, pipeline: MadePipeline, role: Role, may_write: bool, may_delete: bool
) -> None:
    schedule_id = await create(actor, pipeline.id)
    member = await add_member(actor.org_id, role)
    async with get_session(member.scope) as session:
        service = ScheduleService(session, member)
        assert (await service.get(schedule_id)).id == schedule_id
        if may_write:
            await service.update(schedule_id, HOURLY)
        else:
            with pytest.raises(PermissionDenied):
                await service.update(schedule_id, HOURLY)
        if may_delete:
            await service.delete(schedule_id)
        else:
            with pytest.raises(PermissionDenied):
                await service.delete(schedule_id)


async def test_another_organisations_schedules_and_pipelines_do_not_exist(
    actor: Actor, pipeline: MadePipeline
) -> None:
    schedule_id = await create(actor, pipeline.id)
    stranger = (await make_tenant("Other")).owner
    async with get_session(stranger.scope) as session:
        service = ScheduleService(session, stranger)
        assert (await service.list()).rows == []
        for refused in (
            service.get(schedule_id),
            service.update(schedule_id, HOURLY),
            service.delete(schedule_id),
            service.create(pipeline.id, DAILY),
        ):
            with pytest.raises(NotFound):
                await refused
