"""Pipelines: versions never change, names are unique, every change is deployed again."""

from __future__ import annotations

import pytest

from datanika.contracts.enums import Role
from datanika.contracts.spec import PipelineSpec, TransformStep
from datanika.db import get_session
from datanika.errors import Conflict, NotFound, PermissionDenied, PreconditionFailed, SpecError
from datanika.models import PipelineVersion
from datanika.services.actor import Actor
from datanika.services.audit_service import AuditService
from datanika.services.connection_service import ConnectionService
from datanika.services.pipeline_service import PipelineService, spec_hash
from tests.support.pipelines import MadePipeline, make_pipeline, two_steps
from tests.support.tenants import add_member, make_tenant


async def test_a_changed_specification_is_a_new_version_and_the_old_one_stays(
    actor: Actor, pipeline: MadePipeline
) -> None:
    changed = two_steps(pipeline.source_id, pipeline.destination_id, schema="landing")
    async with get_session(actor.scope) as session:
        service = PipelineService(session, actor)
        first = await service.current_version(await service.get(pipeline.id))
        updated = await service.update(pipeline.id, spec=changed)
        second = await service.current_version(updated)
        assert (first.number, second.number) == (1, 2)
        assert PipelineSpec.model_validate(second.spec) == changed
        kept = await session.get(PipelineVersion, first.id, populate_existing=True)
        assert kept is not None
        assert kept.spec == two_steps(pipeline.source_id, pipeline.destination_id).model_dump(
            mode="json"
        )


async def test_the_same_specification_again_is_no_new_version(
    actor: Actor, pipeline: MadePipeline
) -> None:
    same = two_steps(pipeline.source_id, pipeline.destination_id)
    async with get_session(actor.scope) as session:
        service = PipelineService(session, actor)
        updated = await service.update(pipeline.id, spec=same, description="Now described.")
        assert (await service.current_version(updated)).number == 1
        assert updated.description == "Now described."


async def test_a_change_has_the_pipeline_deployed_again(
    actor: Actor, pipeline: MadePipeline
) -> None:
    async with get_session(actor.scope) as session:
        service = PipelineService(session, actor)
        (await service.get(pipeline.id)).deployed_hash = "deployed"
        assert (await service.update(pipeline.id, is_paused=True)).deployed_hash is None


async def test_the_plan_is_compiled_from_what_the_connections_are_called_now(
    actor: Actor, pipeline: MadePipeline
) -> None:
    async with get_session(actor.scope) as session:
        await ConnectionService(session, actor).update(pipeline.destination_id, name="renamed")
        plan = await PipelineService(session, actor).plan(pipeline.id)
    assert plan.stages == (("load",), ("transform",))
    assert plan.get("load").destination.name == "renamed"


async def test_a_specification_that_does_not_compile_is_refused_and_nothing_is_stored(
    actor: Actor, pipeline: MadePipeline
) -> None:
    step = TransformStep(key="marts", depends_on=("nowhere",), destination_id=1)
    broken = PipelineSpec(steps=(step,))
    async with get_session(actor.scope) as session:
        service = PipelineService(session, actor)
        with pytest.raises(SpecError, match="marts"):
            await service.create("broken", "", broken)
        assert (await service.list(name="broken")).rows == []


async def test_a_connection_of_another_organisation_is_not_found(
    actor: Actor, pipeline: MadePipeline
) -> None:
    stranger = (await make_tenant("Other")).owner
    async with get_session(stranger.scope) as session:
        with pytest.raises(SpecError, match="load"):
            await PipelineService(session, stranger).create(
                "mine", "", two_steps(pipeline.source_id, pipeline.destination_id)
            )


async def test_a_name_is_taken_once_in_an_organisation_until_it_is_deleted(
    actor: Actor, pipeline: MadePipeline
) -> None:
    spec = two_steps(pipeline.source_id, pipeline.destination_id)
    async with get_session(actor.scope) as session:
        service = PipelineService(session, actor)
        with pytest.raises(Conflict) as taken:
            await service.create("orders", "", spec)
        assert taken.value.code == "name_taken"
        await service.delete(pipeline.id)
        await service.create("orders", "", spec)
    await make_pipeline((await make_tenant("Other")).owner)


async def test_a_change_made_meanwhile_is_not_overwritten(
    actor: Actor, pipeline: MadePipeline
) -> None:
    async with get_session(actor.scope) as session:
        service = PipelineService(session, actor)
        await service.update(pipeline.id, description="first", revision=1)
        with pytest.raises(PreconditionFailed):
            await service.update(pipeline.id, description="second", revision=1)


async def test_a_deleted_pipeline_is_gone_but_its_runs_keep_its_name(
    actor: Actor, pipeline: MadePipeline
) -> None:
    async with get_session(actor.scope) as session:
        service = PipelineService(session, actor)
        await service.delete(pipeline.id)
        with pytest.raises(NotFound):
            await service.get(pipeline.id)
        assert (await service.list()).rows == []
        assert await service.names([pipeline.id]) == {pipeline.id: "orders"}


async def test_every_change_is_in_the_audit_log(actor: Actor, pipeline: MadePipeline) -> None:
    async with get_session(actor.scope) as session:
        service = PipelineService(session, actor)
        await service.update(pipeline.id, is_paused=True)
        await service.delete(pipeline.id)
    async with get_session(actor.scope) as session:
        entries = (await AuditService(session, actor).list(resource_type="pipeline")).rows
    assert [entry.action for entry in entries] == [
        "pipeline.deleted",
        "pipeline.updated",
        "pipeline.created",
    ]


@pytest.mark.parametrize(
    ("role", "may_write", "may_delete"),
    [(Role.VIEWER, False, False), (Role.EDITOR, True, False), (Role.ADMIN, True, True)],
)
async def test_roles(
    actor: Actor, pipeline: MadePipeline, role: Role, may_write: bool, may_delete: bool
) -> None:
    member = await add_member(actor.org_id, role)
    async with get_session(member.scope) as session:
        service = PipelineService(session, member)
        assert (await service.get(pipeline.id)).id == pipeline.id
        if may_write:
            await service.update(pipeline.id, description="changed")
        else:
            with pytest.raises(PermissionDenied):
                await service.update(pipeline.id, description="changed")
        if may_delete:
            await service.delete(pipeline.id)
        else:
            with pytest.raises(PermissionDenied):
                await service.delete(pipeline.id)


async def test_another_organisations_pipelines_do_not_exist(
    actor: Actor, pipeline: MadePipeline
) -> None:
    stranger = (await make_tenant("Other")).owner
    async with get_session(stranger.scope) as session:
        service = PipelineService(session, stranger)
        assert (await service.list()).rows == []
        assert await service.names([pipeline.id]) == {}
        for refused in (
            service.get(pipeline.id),
            service.plan(pipeline.id),
            service.update(pipeline.id, name="mine"),
            service.delete(pipeline.id),
        ):
            with pytest.raises(NotFound):
                await refused


def test_the_hash_of_a_specification_depends_on_its_content_alone() -> None:
    assert spec_hash(two_steps(1, 2)) == spec_hash(two_steps(1, 2))
    assert spec_hash(two_steps(1, 2)) != spec_hash(two_steps(1, 3))
