"""Who did what."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from datanika.api.deps import MAX_ID, PROBLEMS, Before, Caller, Limit, make_page
from datanika.contracts.api import AuditOut, Page
from datanika.db import get_session
from datanika.services.audit_service import AuditService

router = APIRouter(prefix="/audit", tags=["audit"], responses=PROBLEMS)


@router.get("")
async def list_audit(
    actor: Caller,
    cursor: Before = None,
    limit: Limit = 50,
    resource_type: Annotated[str | None, Query(max_length=50)] = None,
    resource_id: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
) -> Page[AuditOut]:
    """The audit log, the newest first. Secrets are masked in it."""
    async with get_session(actor.scope) as session:
        rows = await AuditService(session, actor).list(
            limit=limit + 1,
            before_id=cursor,
            resource_type=resource_type,
            resource_id=resource_id,
        )
        return make_page(rows, limit, AuditOut.model_validate)
