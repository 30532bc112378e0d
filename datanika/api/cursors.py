"""Incremental cursors of a pipeline: where they are, where they have been, rewind."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, status

from datanika.api.deps import PROBLEMS, Id, page_of
from datanika.api.paging import paging
from datanika.api.transaction import TenantRoute, Tx, needs
from datanika.contracts.api import CursorOut, CursorVersionOut, Page, RewindIn
from datanika.services.cursor_service import SORTS, CursorService
from datanika.services.paging import PageRequest

router = APIRouter(
    prefix="/pipelines/{pipeline_id}/cursors",
    tags=["cursors"],
    responses=PROBLEMS,
    route_class=TenantRoute,
)
StepKey = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Target = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Paging = Annotated[PageRequest, paging(SORTS, "-id")]


@router.get("", **needs("cursor:read"))
async def list_cursors(pipeline_id: Id, tx: Tx) -> Page[CursorOut]:
    """Each table that the pipeline loads incrementally, and how far it has come."""
    cursors = await CursorService(tx.session, tx.actor).list(pipeline_id)
    return Page(items=[CursorOut.model_validate(cursor) for cursor in cursors])


@router.get("/{step_key}/{target}", **needs("cursor:read"))
async def list_cursor_versions(
    pipeline_id: Id, step_key: StepKey, target: Target, tx: Tx, page: Paging
) -> Page[CursorVersionOut]:
    """Every place that the cursor has been at, the newest first."""
    rows = await CursorService(tx.session, tx.actor).history(pipeline_id, step_key, target, page)
    return page_of(rows, CursorVersionOut.model_validate)


@router.post(
    "/{step_key}/{target}/rewind",
    status_code=status.HTTP_201_CREATED,
    **needs("cursor:rewind"),
)
async def rewind_cursor(
    pipeline_id: Id, step_key: StepKey, target: Target, body: RewindIn, tx: Tx
) -> CursorVersionOut:
    """Let the next run read the table again from an earlier place. Audited."""
    version = await CursorService(tx.session, tx.actor).rewind(
        pipeline_id,
        step_key,
        target,
        to_version=body.to_version,
        value=body.value,
        accept_duplicates=body.accept_duplicates,
    )
    return CursorVersionOut.model_validate(version)
