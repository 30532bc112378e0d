"""dbt projects as a whole: the body of an import and the answer of an export are archives."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from datanika.api.deps import MAX_ID, PROBLEMS
from datanika.api.transaction import TenantRoute, Tx, needs
from datanika.contracts.api import CompletionOut, ImportReport
from datanika.services.project_service import ImportChoice, ProjectService

router = APIRouter(
    prefix="/projects", tags=["projects"], responses=PROBLEMS, route_class=TenantRoute
)
Destination = Annotated[int, Query(ge=1, le=MAX_ID, description="Connection that dbt builds in.")]


def _takes_an_archive(permission: str) -> dict[str, Any]:
    options = needs(permission)
    content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    options["openapi_extra"]["requestBody"] = {"required": True, "content": content}
    return options


@router.post("/import", **_takes_an_archive("transformation:import"))
async def import_project(
    request: Request,
    tx: Tx,
    destination_id: Destination,
    dry_run: Annotated[bool, Query(description="Only say what would be.")] = True,
    replace: Annotated[
        bool, Query(description="Take the archive's where a name is there already.")
    ] = False,
    accept_refused: Annotated[
        bool, Query(description="Take the rest without what is refused.")
    ] = False,
) -> ImportReport:
    """Transformations out of a zip of a dbt project, all or nothing, with a report."""
    return await ProjectService(tx.session, tx.actor).import_archive(
        destination_id, await request.body(), ImportChoice(dry_run, replace, accept_refused)
    )


@router.get(
    "/export",
    response_class=Response,
    responses={200: {"description": "A zip.", "content": {"application/zip": {}}}},
    **needs("transformation:export"),
)
async def export_project(
    tx: Tx,
    destination_id: Destination,
    name: Annotated[
        str, Query(pattern=r"^[a-z][a-z0-9_]{0,62}$", description="Of the project.")
    ] = "datanika",
) -> Response:
    """A destination's transformations as a dbt project that dbt's command line runs."""
    content = await ProjectService(tx.session, tx.actor).export(destination_id, name)
    return Response(
        content,
        media_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{name}.zip"'},
    )


@router.get("/completion", **needs("transformation:read"))
async def complete(tx: Tx, destination_id: Destination) -> CompletionOut:
    """For an editor: relations, sources, columns, macros and tests that may be named."""
    return await ProjectService(tx.session, tx.actor).completion(destination_id)
