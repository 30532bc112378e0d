"""Transformations: what the organisation wrote for dbt."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, status

from datanika.api.deps import MAX_ID, PROBLEMS, Caller, Cursor, Id, Limit, make_page
from datanika.contracts.api import Page, TransformationOut
from datanika.contracts.spec import TransformationSpec
from datanika.db import get_session
from datanika.services.transformation_service import TransformationService

router = APIRouter(prefix="/transformations", tags=["transformations"], responses=PROBLEMS)


@router.get("")
async def list_transformations(
    actor: Caller,
    cursor: Cursor = 0,
    limit: Limit = 100,
    destination_id: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
) -> Page[TransformationOut]:
    """The organisation's transformations."""
    async with get_session(actor.scope) as session:
        rows = await TransformationService(session, actor).list(
            limit=limit + 1, after_id=cursor, destination_id=destination_id
        )
        return make_page(rows, limit, TransformationOut.model_validate)


@router.post("", status_code=status.HTTP_201_CREATED)
async def create_transformation(body: TransformationSpec, actor: Caller) -> TransformationOut:
    """A new one. Its code passes the guard first: errors say what may not run."""
    async with get_session(actor.scope) as session:
        row = await TransformationService(session, actor).create(body)
        return TransformationOut.model_validate(row)


@router.get("/{transformation_id}")
async def read_transformation(transformation_id: Id, actor: Caller) -> TransformationOut:
    """One transformation."""
    async with get_session(actor.scope) as session:
        row = await TransformationService(session, actor).get(transformation_id)
        return TransformationOut.model_validate(row)


@router.patch("/{transformation_id}")
async def update_transformation(
    transformation_id: Id,
    body: TransformationSpec,
    actor: Caller,
    revision: Annotated[int | None, Query(description="Refuse if it was changed since.")] = None,
) -> TransformationOut:
    """Change it. Send the whole specification: what is left out takes its default."""
    async with get_session(actor.scope) as session:
        row = await TransformationService(session, actor).update(transformation_id, body, revision)
        return TransformationOut.model_validate(row)


@router.delete("/{transformation_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_transformation(transformation_id: Id, actor: Caller) -> None:
    """Take it away. What it built stays in the destination."""
    async with get_session(actor.scope) as session:
        await TransformationService(session, actor).delete(transformation_id)
