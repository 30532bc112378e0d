"""Who did what."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Query

from datanika.api.deps import MAX_ID, PROBLEMS, page_of
from datanika.api.paging import paging
from datanika.api.transaction import TenantRoute, Tx, needs
from datanika.contracts.api import AuditOut, Page
from datanika.services.audit_service import SORTS, AuditService
from datanika.services.paging import PageRequest

router = APIRouter(prefix="/audit", tags=["audit"], responses=PROBLEMS, route_class=TenantRoute)
Paging = Annotated[PageRequest, paging(SORTS, "-id")]


@router.get("", **needs("audit:read"))
async def list_audit(
    tx: Tx,
    page: Paging,
    resource_type: Annotated[str | None, Query(max_length=50)] = None,
    resource_id: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
    action: Annotated[str | None, Query(max_length=100, examples=["pipeline.updated"])] = None,
    user_id: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
    after: Annotated[dt.datetime | None, Query(description="At this moment or later.")] = None,
    before: Annotated[dt.datetime | None, Query(description="Before this moment.")] = None,
) -> Page[AuditOut]:
    """The audit log, the newest first. Secrets are masked in it."""
    entries = await AuditService(tx.session, tx.actor).list(
        page,
        resource_type=resource_type,
        resource_id=resource_id,
        action=action,
        user_id=user_id,
        after=after,
        before=before,
    )
    return page_of(entries, AuditOut)
