"""Pipelines and their plans."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, status

from datanika.api.deps import PROBLEMS, Id, IfMatch, Named, Search, page_of
from datanika.api.paging import paging
from datanika.api.transaction import TenantRoute, Tx, needs
from datanika.compiler import explain_mermaid, explain_text, plan_warnings
from datanika.contracts.api import (
    Page,
    PipelineIn,
    PipelineItem,
    PipelineOut,
    PipelinePatch,
    PipelineVersionOut,
    PlanOut,
)
from datanika.contracts.spec import PipelineSpec
from datanika.models import Pipeline, PipelineVersion
from datanika.services.deployer import deploy_after_commit
from datanika.services.paging import PageRequest
from datanika.services.pipeline_service import SORTS, VERSION_SORTS, PipelineService

router = APIRouter(
    prefix="/pipelines", tags=["pipelines"], responses=PROBLEMS, route_class=TenantRoute
)
Paging = Annotated[PageRequest, paging(SORTS)]
VersionPaging = Annotated[PageRequest, paging(VERSION_SORTS, "-id")]


@router.get("", **needs("pipeline:read"))
async def list_pipelines(
    tx: Tx,
    page: Paging,
    name: Named = None,
    search: Search = None,
    is_paused: bool | None = None,
) -> Page[PipelineItem]:
    """The organisation's pipelines, without their specifications."""
    rows = await PipelineService(tx.session, tx.actor).list(
        page, name=name, search=search, is_paused=is_paused
    )
    return page_of(rows, PipelineItem)


@router.post("", status_code=status.HTTP_201_CREATED, **needs("pipeline:write"))
async def create_pipeline(body: PipelineIn, tx: Tx, later: BackgroundTasks) -> PipelineOut:
    """A new pipeline. Its specification must compile: errors name the step."""
    service = PipelineService(tx.session, tx.actor)
    row = await service.create(body.name, body.description, body.spec, body.overlap_policy)
    later.add_task(deploy_after_commit, row.id)
    return tx.tagged(pipeline_out(row, await service.current_version(row)))


@router.get("/{pipeline_id}", **needs("pipeline:read"))
async def read_pipeline(pipeline_id: Id, tx: Tx) -> PipelineOut:
    """One pipeline with its present specification."""
    service = PipelineService(tx.session, tx.actor)
    row = await service.get(pipeline_id)
    return tx.tagged(pipeline_out(row, await service.current_version(row)))


@router.patch("/{pipeline_id}", **needs("pipeline:write"))
async def update_pipeline(
    pipeline_id: Id, body: PipelinePatch, tx: Tx, revision: IfMatch, later: BackgroundTasks
) -> PipelineOut:
    """Change what is given; a changed specification becomes a new version."""
    service = PipelineService(tx.session, tx.actor)
    row = await service.update(
        pipeline_id,
        name=body.name,
        description=body.description,
        spec=body.spec,
        is_paused=body.is_paused,
        overlap_policy=body.overlap_policy,
        revision=revision,
    )
    later.add_task(deploy_after_commit, pipeline_id)
    return tx.tagged(pipeline_out(row, await service.current_version(row)))


@router.delete("/{pipeline_id}", status_code=status.HTTP_204_NO_CONTENT, **needs("pipeline:delete"))
async def delete_pipeline(pipeline_id: Id, tx: Tx, later: BackgroundTasks) -> None:
    """Take the pipeline away; its runs stay readable."""
    await PipelineService(tx.session, tx.actor).delete(pipeline_id)
    later.add_task(deploy_after_commit, pipeline_id)


@router.post("/{pipeline_id}/pause", **needs("pipeline:write"))
async def pause_pipeline(pipeline_id: Id, tx: Tx, later: BackgroundTasks) -> PipelineOut:
    """No schedule starts it any more; people and programs still may."""
    return await _set_paused(pipeline_id, tx, later, True)


@router.post("/{pipeline_id}/resume", **needs("pipeline:write"))
async def resume_pipeline(pipeline_id: Id, tx: Tx, later: BackgroundTasks) -> PipelineOut:
    """Its schedules start it again."""
    return await _set_paused(pipeline_id, tx, later, False)


@router.get("/{pipeline_id}/plan", **needs("pipeline:read"))
async def read_plan(pipeline_id: Id, tx: Tx) -> PlanOut:
    """What a run triggered now would do: as data, in words, and as a Mermaid graph."""
    service = PipelineService(tx.session, tx.actor)
    pipeline = await service.get(pipeline_id)
    plan = await service.plan(pipeline_id)
    shared = await service.shared_tables(pipeline_id, plan)
    return PlanOut(
        plan=plan,
        hash=plan.hash,
        text=explain_text(plan, pipeline.name, shared),
        mermaid=explain_mermaid(plan),
        warnings=[*plan_warnings(plan), *shared],
    )


@router.get("/{pipeline_id}/versions", **needs("pipeline:read"))
async def list_pipeline_versions(
    pipeline_id: Id, tx: Tx, page: VersionPaging
) -> Page[PipelineVersionOut]:
    """Every specification that was saved, the newest first."""
    rows = await PipelineService(tx.session, tx.actor).versions(pipeline_id, page)
    return page_of(rows, PipelineVersionOut)


@router.post("/{pipeline_id}/versions/{number}/restore", **needs("pipeline:write"))
async def restore_pipeline_version(
    pipeline_id: Id, number: Id, tx: Tx, later: BackgroundTasks
) -> PipelineOut:
    """Make an old specification the present one, as a new version."""
    service = PipelineService(tx.session, tx.actor)
    row = await service.restore(pipeline_id, number)
    later.add_task(deploy_after_commit, pipeline_id)
    return tx.tagged(pipeline_out(row, await service.current_version(row)))


async def _set_paused(
    pipeline_id: int, tx: Tx, later: BackgroundTasks, is_paused: bool
) -> PipelineOut:
    service = PipelineService(tx.session, tx.actor)
    row = await service.update(pipeline_id, is_paused=is_paused)
    later.add_task(deploy_after_commit, pipeline_id)
    return tx.tagged(pipeline_out(row, await service.current_version(row)))


def pipeline_out(row: Pipeline, version: PipelineVersion) -> PipelineOut:
    """The pipeline by itself."""
    item = PipelineItem.model_validate(row)
    return PipelineOut(**item.model_dump(), spec=PipelineSpec.model_validate(version.spec))
