"""Transformations: what the organisation wrote for dbt."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, status

from datanika.api.deps import MAX_ID, PROBLEMS, Id, IfMatch, Named, Search, page_of
from datanika.api.paging import paging
from datanika.api.transaction import TenantRoute, Tx, needs
from datanika.contracts.api import (
    Page,
    TransformationDiff,
    TransformationOut,
    TransformationVersionOut,
)
from datanika.contracts.enums import TransformationKind
from datanika.contracts.spec import TransformationSpec
from datanika.services.paging import PageRequest
from datanika.services.transformation_service import (
    SORTS,
    VERSION_SORTS,
    TransformationService,
)

router = APIRouter(
    prefix="/transformations", tags=["transformations"], responses=PROBLEMS, route_class=TenantRoute
)
Paging = Annotated[PageRequest, paging(SORTS)]
VersionPaging = Annotated[PageRequest, paging(VERSION_SORTS, "-id")]


@router.get("", **needs("transformation:read"))
async def list_transformations(
    tx: Tx,
    page: Paging,
    name: Named = None,
    search: Search = None,
    kind: TransformationKind | None = None,
    destination_id: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
) -> Page[TransformationOut]:
    """The organisation's transformations."""
    rows = await TransformationService(tx.session, tx.actor).list(
        page, name=name, search=search, kind=kind, destination_id=destination_id
    )
    return page_of(rows, TransformationOut)


@router.post("", status_code=status.HTTP_201_CREATED, **needs("transformation:write"))
async def create_transformation(body: TransformationSpec, tx: Tx) -> TransformationOut:
    """A new one. Its code passes the guard first: errors say what may not run."""
    row = await TransformationService(tx.session, tx.actor).create(body)
    return tx.tagged(TransformationOut.model_validate(row))


@router.get("/{transformation_id}", **needs("transformation:read"))
async def read_transformation(transformation_id: Id, tx: Tx) -> TransformationOut:
    """One transformation."""
    row = await TransformationService(tx.session, tx.actor).get(transformation_id)
    return tx.tagged(TransformationOut.model_validate(row))


@router.patch("/{transformation_id}", **needs("transformation:write"))
async def update_transformation(
    transformation_id: Id, body: TransformationSpec, tx: Tx, revision: IfMatch
) -> TransformationOut:
    """Change it. Send the whole specification: what is left out takes its default."""
    row = await TransformationService(tx.session, tx.actor).update(
        transformation_id, body, revision
    )
    return tx.tagged(TransformationOut.model_validate(row))


@router.get("/{transformation_id}/versions", **needs("transformation:read"))
async def list_transformation_versions(
    transformation_id: Id, tx: Tx, page: VersionPaging
) -> Page[TransformationVersionOut]:
    """Everything that it ever was, the newest first."""
    rows = await TransformationService(tx.session, tx.actor).versions(transformation_id, page)
    return page_of(rows, TransformationVersionOut)


@router.post("/{transformation_id}/versions/{number}/restore", **needs("transformation:write"))
async def restore_transformation_version(
    transformation_id: Id, number: Id, tx: Tx
) -> TransformationOut:
    """Make an old version the present one, as a new version. It passes today's checks first."""
    row = await TransformationService(tx.session, tx.actor).restore(transformation_id, number)
    return tx.tagged(TransformationOut.model_validate(row))


@router.get("/{transformation_id}/diff", **needs("transformation:read"))
async def diff_transformation(
    transformation_id: Id,
    tx: Tx,
    from_version: Annotated[
        int | None, Query(ge=1, le=MAX_ID, description="Default: the one before `to_version`.")
    ] = None,
    to_version: Annotated[
        int | None, Query(ge=1, le=MAX_ID, description="Default: the present one.")
    ] = None,
) -> TransformationDiff:
    """What changed between two versions, of its code and of what is said about it."""
    return await TransformationService(tx.session, tx.actor).diff(
        transformation_id, from_version, to_version
    )


@router.delete(
    "/{transformation_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    **needs("transformation:delete"),
)
async def delete_transformation(transformation_id: Id, tx: Tx) -> None:
    """Take it away. What it built stays in the destination."""
    await TransformationService(tx.session, tx.actor).delete(transformation_id)
