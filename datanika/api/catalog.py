"""What exists in the destinations, as the runs saw it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from datanika.api.deps import MAX_ID, PROBLEMS, Caller, Cursor, Id, Limit, make_page
from datanika.contracts.api import CatalogEntryOut, Page
from datanika.db import get_session
from datanika.services.catalog_service import CatalogService

router = APIRouter(prefix="/catalog", tags=["catalog"], responses=PROBLEMS)


@router.get("")
async def list_catalog(
    actor: Caller,
    cursor: Cursor = 0,
    limit: Limit = 200,
    connection_id: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
) -> Page[CatalogEntryOut]:
    """Tables and views with their columns and what they were made from."""
    async with get_session(actor.scope) as session:
        rows = await CatalogService(session, actor).list(
            limit=limit + 1, after_id=cursor, connection_id=connection_id
        )
        return make_page(rows, limit, CatalogEntryOut.model_validate)


@router.get("/{entry_id}")
async def read_catalog_entry(entry_id: Id, actor: Caller) -> CatalogEntryOut:
    """One table or view."""
    async with get_session(actor.scope) as session:
        return CatalogEntryOut.model_validate(await CatalogService(session, actor).get(entry_id))
