"""The catalog: what exists in the destinations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import reflex as rx
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.models import CatalogEntry
from datanika.services.actor import Actor
from datanika.services.catalog_service import CatalogService
from datanika.services.connection_service import ConnectionService
from datanika.services.paging import MAX_LIMIT, PageRequest, RowPage
from datanika.ui.state.paged import Paged
from datanika.ui.state.tenant import TenantState
from datanika.ui.views.catalog import EntryRow, entry_row

PAGE_SIZE = 50


class CatalogListState(Paged, TenantState):
    entries: list[EntryRow] = []
    schemas: list[str] = []
    kinds: list[str] = []
    search: str = ""
    schema_name: str = ""
    kind: str = ""
    is_loaded: bool = False
    is_empty: bool = False

    @rx.event
    async def load_catalog(self) -> None:
        self.search = str(self.router.url.query_parameters.get("search", ""))[:200]
        self._first_page()
        await self._load()

    @rx.event
    async def filter_catalog(self, form: dict[str, Any]) -> None:
        """Narrow the list: ``search``, ``schema``, ``kind``."""
        self.search = str(form.get("search") or "")[:200].strip()
        self.schema_name = str(form.get("schema") or "")[:63]
        self.kind = str(form.get("kind") or "")[:16]
        self._first_page()
        await self._load()

    async def _load(self) -> None:
        async with self._attempt() as (session, actor):
            found, names, places = await self._read(session, actor)
        if self.error:
            return
        self._turned(found.next_cursor)
        self.entries = [
            entry_row(entry, names.get(entry.connection_id, ""), self.search)
            for entry in found.rows
        ]
        self.schemas = sorted({schema for schema, _ in places})
        self.kinds = sorted({kind for _, kind in places})
        self.is_loaded, self.is_empty = True, not places

    async def _read(
        self, session: AsyncSession, actor: Actor
    ) -> tuple[RowPage[CatalogEntry], dict[int, str], Sequence[tuple[str, str]]]:
        service = CatalogService(session, actor)
        found = await service.list(
            PageRequest(PAGE_SIZE, self._cursors[-1], "name"),
            schema_name=self.schema_name or None,
            kind=self.kind or None,
            search=self.search or None,
        )
        return found, await connections_by_id(session, actor), await service.places()


async def connections_by_id(session: AsyncSession, actor: Actor) -> dict[int, str]:
    """Names of the organisation's connections."""
    found = await ConnectionService(session, actor).list(PageRequest(MAX_LIMIT))
    return {one.id: one.name for one in found.rows}


class LineageState(TenantState):
    """The map itself is drawn from the API: it never goes through the websocket."""

    connections: dict[str, str] = {}
    is_loaded: bool = False

    @rx.event
    async def load_lineage(self) -> None:
        async with self._attempt() as (session, actor):
            names = await connections_by_id(session, actor)
        if not self.error:
            self.connections = {str(key): name for key, name in names.items()}
            self.is_loaded = True
