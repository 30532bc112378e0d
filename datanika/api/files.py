"""Uploaded files. An upload's body is the file itself, so that it never is in the memory."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, status

from datanika.api.deps import PROBLEMS, Id, Search, page_of
from datanika.api.paging import paging
from datanika.api.transaction import ActorRoute, Caller, TenantRoute, Tx, needs
from datanika.contracts.api import FileOut, Page
from datanika.services.file_service import SORTS, FileService, upload
from datanika.services.paging import PageRequest

router = APIRouter(tags=["files"], responses=PROBLEMS, route_class=TenantRoute)
uploads = APIRouter(tags=["files"], responses=PROBLEMS, route_class=ActorRoute)
Paging = Annotated[PageRequest, paging(SORTS)]


def _takes_a_file(permission: str) -> dict[str, Any]:
    options = needs(permission)
    content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    options["openapi_extra"]["requestBody"] = {"required": True, "content": content}
    return options


@uploads.post("/files", status_code=status.HTTP_201_CREATED, **_takes_a_file("file:write"))
async def upload_file(
    request: Request,
    actor: Caller,
    name: Annotated[
        str, Query(min_length=1, max_length=150, description="With its ending: orders.csv.gz.")
    ],
    replace: Annotated[
        bool, Query(description="Put it in the place of a file of this name.")
    ] = False,
) -> Page[FileOut]:
    """Keep the request's body as a file for `files` connections: CSV, JSON lines or Parquet, the
    first two also as .gz. A .zip is taken apart: its files are kept under their own names."""
    files = await upload(actor, name, request.stream(), replace=replace)
    return Page(items=[FileOut.model_validate(file) for file in files])


@router.get("/files", **needs("file:read"))
async def list_files(tx: Tx, page: Paging, search: Search = None) -> Page[FileOut]:
    """The organisation's files."""
    rows = await FileService(tx.session, tx.actor).list(page, search=search)
    return page_of(rows, FileOut.model_validate)


@router.get("/files/{file_id}", **needs("file:read"))
async def read_file(file_id: Id, tx: Tx) -> FileOut:
    """One file, without its content."""
    return FileOut.model_validate(await FileService(tx.session, tx.actor).get(file_id))


@router.delete("/files/{file_id}", status_code=status.HTTP_204_NO_CONTENT, **needs("file:delete"))
async def delete_file(file_id: Id, tx: Tx) -> None:
    """Take it away. Tables that were loaded from it stay."""
    await FileService(tx.session, tx.actor).delete(file_id)
