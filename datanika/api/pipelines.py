"""Pipelines, their plans, and triggering a run of one."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Header, Query, Response, status

from datanika.api.deps import PROBLEMS, Caller, Cursor, Id, Limit, make_page
from datanika.compiler import explain_mermaid, explain_text, plan_warnings
from datanika.contracts.api import Page, PipelineIn, PipelineOut, PipelinePatch, PlanOut, RunOut
from datanika.contracts.enums import RunState
from datanika.contracts.spec import PipelineSpec
from datanika.db import get_session
from datanika.models import Pipeline, PipelineVersion
from datanika.services.actor import Actor
from datanika.services.deployer import deploy_after_commit, submit_run
from datanika.services.pipeline_service import PipelineService
from datanika.services.run_service import RunService

router = APIRouter(prefix="/pipelines", tags=["pipelines"], responses=PROBLEMS)

MAX_WAIT_SECONDS = 300
POLL_SECONDS = 0.2


@router.get("")
async def list_pipelines(
    actor: Caller,
    cursor: Cursor = 0,
    limit: Limit = 100,
    name: Annotated[str | None, Query(description="Only the one called so.")] = None,
) -> Page[PipelineOut]:
    """The organisation's pipelines."""
    async with get_session(actor.scope) as session:
        service = PipelineService(session, actor)
        rows = await service.list(limit=limit + 1, after_id=cursor, name=name)
        versions = await service.current_versions(rows)
        return make_page(rows, limit, lambda row: pipeline_out(row, versions[row.id]))


@router.post("", status_code=status.HTTP_201_CREATED)
async def create_pipeline(body: PipelineIn, actor: Caller, later: BackgroundTasks) -> PipelineOut:
    """A new pipeline. Its specification must compile: errors name the step."""
    async with get_session(actor.scope) as session:
        service = PipelineService(session, actor)
        row = await service.create(body.name, body.description, body.spec)
        answer = pipeline_out(row, await service.current_version(row))
    later.add_task(deploy_after_commit, answer.id)
    return answer


@router.get("/{pipeline_id}")
async def read_pipeline(pipeline_id: Id, actor: Caller) -> PipelineOut:
    """One pipeline with its present specification."""
    async with get_session(actor.scope) as session:
        service = PipelineService(session, actor)
        row = await service.get(pipeline_id)
        return pipeline_out(row, await service.current_version(row))


@router.patch("/{pipeline_id}")
async def update_pipeline(
    pipeline_id: Id, body: PipelinePatch, actor: Caller, later: BackgroundTasks
) -> PipelineOut:
    """Change what is given; a changed specification becomes a new version."""
    async with get_session(actor.scope) as session:
        service = PipelineService(session, actor)
        row = await service.update(
            pipeline_id,
            name=body.name,
            description=body.description,
            spec=body.spec,
            is_paused=body.is_paused,
            revision=body.revision,
        )
        answer = pipeline_out(row, await service.current_version(row))
    later.add_task(deploy_after_commit, pipeline_id)
    return answer


@router.delete("/{pipeline_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_pipeline(pipeline_id: Id, actor: Caller, later: BackgroundTasks) -> None:
    """Take the pipeline away; its runs stay readable."""
    async with get_session(actor.scope) as session:
        await PipelineService(session, actor).delete(pipeline_id)
    later.add_task(deploy_after_commit, pipeline_id)


@router.get("/{pipeline_id}/plan")
async def read_plan(pipeline_id: Id, actor: Caller) -> PlanOut:
    """What a run triggered now would do: as data, in words, and as a Mermaid graph."""
    async with get_session(actor.scope) as session:
        service = PipelineService(session, actor)
        pipeline = await service.get(pipeline_id)
        plan = await service.plan(pipeline_id)
    return PlanOut(
        plan=plan,
        hash=plan.hash,
        text=explain_text(plan, pipeline.name),
        mermaid=explain_mermaid(plan),
        warnings=list(plan_warnings(plan)),
    )


@router.post("/{pipeline_id}/runs", status_code=status.HTTP_202_ACCEPTED)
async def trigger_run(
    pipeline_id: Id,
    actor: Caller,
    response: Response,
    later: BackgroundTasks,
    idempotency_key: Annotated[
        str | None, Header(description="The same key never makes a second run.")
    ] = None,
    wait: Annotated[
        float,
        Query(
            ge=0,
            le=MAX_WAIT_SECONDS,
            description="Answer when it is over, or after so many seconds.",
        ),
    ] = 0,
) -> RunOut:
    """Accept a run. It starts in about a second, or when Prefect is back."""
    key = idempotency_key or f"api-{secrets.token_hex(16)}"
    async with get_session(actor.scope) as session:
        run = RunOut.model_validate(await RunService(session, actor).trigger(pipeline_id, key))
    response.headers["Location"] = f"/api/v1/runs/{run.id}"
    if not wait:
        later.add_task(submit_run, run.id)
        return run
    await submit_run(run.id)
    return await _wait_for(actor, run.id, wait)


async def _wait_for(actor: Actor, run_id: int, seconds: float) -> RunOut:
    deadline = time.monotonic() + seconds
    while True:
        async with get_session(actor.scope) as session:
            run = RunOut.model_validate(await RunService(session, actor).get(run_id))
        if RunState(run.state).is_final or time.monotonic() > deadline:
            return run
        await asyncio.sleep(POLL_SECONDS)


def pipeline_out(row: Pipeline, version: PipelineVersion) -> PipelineOut:
    """The pipeline for the API."""
    return PipelineOut(
        id=row.id,
        name=row.name,
        description=row.description,
        is_paused=row.is_paused,
        revision=row.revision,
        version=version.number,
        spec=PipelineSpec.model_validate(version.spec),
        is_deployed=row.deployed_hash is not None,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
