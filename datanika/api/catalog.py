"""What exists in the destinations, as the runs saw it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from datanika.api.deps import MAX_ID, PROBLEMS, Id, Search, page_of
from datanika.api.paging import paging
from datanika.api.transaction import TenantRoute, Tx, needs
from datanika.contracts.api import CatalogEntryOut, Page
from datanika.contracts.api.lineage import (
    ImpactOut,
    LineageDirection,
    LineageGraphOut,
    LineageLevel,
    LineageMapOut,
)
from datanika.contracts.text import Line
from datanika.services.catalog_service import SORTS, CatalogService
from datanika.services.lineage_map import MAX_TABLES, lineage_map
from datanika.services.lineage_service import LineageService
from datanika.services.paging import PageRequest

router = APIRouter(prefix="/catalog", tags=["catalog"], responses=PROBLEMS, route_class=TenantRoute)
Paging = Annotated[PageRequest, paging(SORTS)]


@router.get("", **needs("catalog:read"))
async def list_catalog(
    tx: Tx,
    page: Paging,
    connection_id: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
    schema_name: Annotated[Line | None, Query(max_length=63)] = None,
    kind: Annotated[Line | None, Query(max_length=16)] = None,
    search: Search = None,
) -> Page[CatalogEntryOut]:
    """Tables and views with their columns and what they were made from."""
    entries = await CatalogService(tx.session, tx.actor).list(
        page, connection_id=connection_id, schema_name=schema_name, kind=kind, search=search
    )
    return page_of(entries, CatalogEntryOut)


@router.get("/lineage", **needs("catalog:read"))
async def read_lineage_map(
    tx: Tx,
    after: Annotated[int, Query(ge=0, le=MAX_ID, description="`next_after` before.")] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_TABLES)] = MAX_TABLES,
) -> LineageMapOut:
    """All tables with what each is made of, page by page."""
    return await lineage_map(tx.session, tx.actor, after, limit)


Column = Annotated[Line | None, Query(max_length=255, description="One column of the entry.")]
Depth = Annotated[int, Query(ge=1, le=20, description="Steps away, at most.")]


@router.get("/{entry_id}/lineage", **needs("catalog:read"))
async def read_lineage(
    entry_id: Id,
    tx: Tx,
    column: Column = None,
    level: LineageLevel = LineageLevel.TABLE,
    direction: LineageDirection = LineageDirection.BOTH,
    depth: Depth = 5,
    indirect: Annotated[
        bool, Query(description="Also through columns that only decide which rows there are.")
    ] = False,
) -> LineageGraphOut:
    """What an entry is made of and what is made of it, by tables or by columns.

    A column that says `unknown` may depend on any column of what its relation reads.
    """
    return await LineageService(tx.session, tx.actor).graph(
        entry_id, column=column, level=level, direction=direction, depth=depth, indirect=indirect
    )


@router.get("/{entry_id}/impact", **needs("catalog:read"))
async def read_impact(
    entry_id: Id,
    tx: Tx,
    column: Annotated[Line, Query(max_length=255, description="One column of the entry.")],
    depth: Depth = 20,
) -> ImpactOut:
    """What depends on this column: whose values change with it, whose rows, and what may."""
    return await LineageService(tx.session, tx.actor).impact(entry_id, column, depth)


@router.get("/{entry_id}", **needs("catalog:read"))
async def read_catalog_entry(entry_id: Id, tx: Tx) -> CatalogEntryOut:
    """One table or view."""
    return CatalogEntryOut.model_validate(await CatalogService(tx.session, tx.actor).get(entry_id))
