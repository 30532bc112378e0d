"""Dependencies between pipelines, under the pipeline that needs; and all of them, as a graph."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Query, status

from datanika.api.deps import MAX_ID, PROBLEMS, Id, IfMatch, page_of
from datanika.api.paging import paging
from datanika.api.transaction import TenantRoute, Tx, needs
from datanika.contracts.api import (
    DependencyIn,
    DependencyOut,
    DependencyPatch,
    Page,
    ReadinessOut,
)
from datanika.services.dependency_service import SORTS, DependencyService
from datanika.services.deployer import submit_next
from datanika.services.paging import PageRequest

router = APIRouter(tags=["dependencies"], responses=PROBLEMS, route_class=TenantRoute)
Paging = Annotated[PageRequest, paging(SORTS)]
OF_PIPELINE = "/pipelines/{pipeline_id}/dependencies"
ONE = f"{OF_PIPELINE}/{{dependency_id}}"


@router.get("/dependencies", **needs("pipeline:read"))
async def list_dependencies(
    tx: Tx, page: Paging, upstream_id: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None
) -> Page[DependencyOut]:
    """All dependencies of the organisation: the edges of its graph."""
    rows = await DependencyService(tx.session, tx.actor).list(page, upstream_id=upstream_id)
    return page_of(rows, DependencyOut)


@router.get(OF_PIPELINE, **needs("pipeline:read"))
async def list_pipeline_dependencies(pipeline_id: Id, tx: Tx, page: Paging) -> Page[DependencyOut]:
    """What the pipeline needs."""
    rows = await DependencyService(tx.session, tx.actor).list_of(pipeline_id, page)
    return page_of(rows, DependencyOut)


@router.post(OF_PIPELINE, status_code=status.HTTP_201_CREATED, **needs("pipeline:write"))
async def create_dependency(pipeline_id: Id, body: DependencyIn, tx: Tx) -> DependencyOut:
    """Let the pipeline need another one. One that would close a circle is refused."""
    row = await DependencyService(tx.session, tx.actor).create(
        pipeline_id,
        body.upstream_id,
        starts_run=body.starts_run,
        within_seconds=body.within_seconds,
        wait_seconds=body.wait_seconds,
    )
    return tx.tagged(DependencyOut.model_validate(row))


@router.get(ONE, **needs("pipeline:read"))
async def read_dependency(pipeline_id: Id, dependency_id: Id, tx: Tx) -> DependencyOut:
    """One dependency."""
    row = await DependencyService(tx.session, tx.actor).get(pipeline_id, dependency_id)
    return tx.tagged(DependencyOut.model_validate(row))


@router.patch(ONE, **needs("pipeline:write"))
async def update_dependency(
    pipeline_id: Id,
    dependency_id: Id,
    body: DependencyPatch,
    tx: Tx,
    revision: IfMatch,
    later: BackgroundTasks,
) -> DependencyOut:
    """Change what is given. Runs that wait for what is no longer asked start."""
    changes = body.model_dump(exclude_unset=True)
    row = await DependencyService(tx.session, tx.actor).update(
        pipeline_id, dependency_id, changes, revision
    )
    later.add_task(submit_next, tx.actor.org_id)
    return tx.tagged(DependencyOut.model_validate(row))


@router.delete(ONE, status_code=status.HTTP_204_NO_CONTENT, **needs("pipeline:delete"))
async def delete_dependency(
    pipeline_id: Id, dependency_id: Id, tx: Tx, later: BackgroundTasks
) -> None:
    """Take it away. Runs that wait for it start."""
    await DependencyService(tx.session, tx.actor).delete(pipeline_id, dependency_id)
    later.add_task(submit_next, tx.actor.org_id)


@router.get("/pipelines/{pipeline_id}/readiness", **needs("pipeline:read"))
async def read_readiness(pipeline_id: Id, tx: Tx) -> ReadinessOut:
    """What a run triggered now would wait for, and until when."""
    return await DependencyService(tx.session, tx.actor).readiness(pipeline_id)
