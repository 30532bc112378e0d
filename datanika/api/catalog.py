"""What exists in the destinations, as the runs saw it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from datanika.api.deps import MAX_ID, PROBLEMS, Id, Search, page_of
from datanika.api.paging import paging
from datanika.api.transaction import TenantRoute, Tx, needs
from datanika.contracts.api import CatalogEntryOut, Page
from datanika.contracts.text import Line
from datanika.services.catalog_service import SORTS, CatalogService
from datanika.services.paging import PageRequest

router = APIRouter(prefix="/catalog", tags=["catalog"], responses=PROBLEMS, route_class=TenantRoute)
Paging = Annotated[PageRequest, paging(SORTS)]


@router.get("", **needs("catalog:read"))
async def list_catalog(
    tx: Tx,
    page: Paging,
    connection_id: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
    schema_name: Annotated[Line | None, Query(max_length=63)] = None,
    search: Search = None,
) -> Page[CatalogEntryOut]:
    """Tables and views with their columns and what they were made from."""
    entries = await CatalogService(tx.session, tx.actor).list(
        page, connection_id=connection_id, schema_name=schema_name, search=search
    )
    return page_of(entries, CatalogEntryOut)


@router.get("/{entry_id}", **needs("catalog:read"))
async def read_catalog_entry(entry_id: Id, tx: Tx) -> CatalogEntryOut:
    """One table or view."""
    return CatalogEntryOut.model_validate(await CatalogService(tx.session, tx.actor).get(entry_id))
