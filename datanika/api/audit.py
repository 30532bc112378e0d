"""Who did what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from datanika.api.deps import MAX_ID, PROBLEMS, page_of
from datanika.api.paging import paging
from datanika.api.transaction import TenantRoute, Tx, needs
from datanika.contracts.api import AuditOut, AuditVerdictOut, Page
from datanika.contracts.text import Line, Moment
from datanika.db import get_session
from datanika.services.actor import Actor
from datanika.services.audit_export import csv_head, csv_lines, json_lines
from datanika.services.audit_service import SORTS, AuditService
from datanika.services.audit_verification import verify_own
from datanika.services.paging import MAX_LIMIT, PageRequest

router = APIRouter(prefix="/audit", tags=["audit"], responses=PROBLEMS, route_class=TenantRoute)
Paging = Annotated[PageRequest, paging(SORTS, "-id")]
MEDIA_TYPES = {"jsonl": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Filters:
    """Which entries."""

    resource_type: Annotated[Line | None, Query(max_length=50)] = None
    resource_id: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None
    action: Annotated[Line | None, Query(max_length=100, examples=["pipeline.updated"])] = None
    user_id: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None
    after: Annotated[Moment | None, Query(description="At this moment or later.")] = None
    before: Annotated[Moment | None, Query(description="Before this moment.")] = None


Filtered = Annotated[Filters, Depends()]


@router.get("", **needs("audit:read"))
async def list_audit(tx: Tx, page: Paging, filters: Filtered) -> Page[AuditOut]:
    """The audit log, the newest first. Secrets are masked in it."""
    entries = await AuditService(tx.session, tx.actor).list(page, **asdict(filters))
    return page_of(entries, AuditOut)


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The entries, the oldest first.",
            "content": {"application/x-ndjson": {}, "text/csv": {}},
        }
    },
    **needs("audit:read"),
)
async def export_audit(
    tx: Tx,
    filters: Filtered,
    format: Annotated[
        Literal["jsonl", "csv"], Query(description="A JSON object on each line, or a table.")
    ] = "jsonl",
) -> StreamingResponse:
    """The whole log, or what the filters leave of it, as a file."""
    return StreamingResponse(
        _export(tx.actor, filters, format),
        media_type=MEDIA_TYPES[format],
        headers={"Content-Disposition": f'attachment; filename="audit.{format}"'},
    )


@router.get("/verify", **needs("audit:read"))
async def verify_audit(tx: Tx) -> AuditVerdictOut:
    """Whether the log is as it was written: every entry carries the hash of the one before."""
    return AuditVerdictOut.model_validate(await verify_own(tx.session, tx.actor))


async def _export(actor: Actor, filters: Filters, format: str) -> AsyncIterator[str]:
    """Page by page, each in a transaction of its own: a slow reader must not hold one open."""
    if format == "csv":
        yield csv_head()
    cursor: str | None = None
    while True:
        page = PageRequest(limit=MAX_LIMIT, cursor=cursor)
        async with get_session(actor.scope) as session:
            entries = await AuditService(session, actor).list(page, **asdict(filters))
        yield (csv_lines if format == "csv" else json_lines)(entries.rows)
        cursor = entries.next_cursor
        if cursor is None:
            return
