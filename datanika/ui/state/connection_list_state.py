"""The organisation's connections, a page at a time."""

from __future__ import annotations

import reflex as rx

from datanika.contracts.catalog import connector_kinds
from datanika.services.connection_service import ConnectionService
from datanika.services.connection_uses import uses_of
from datanika.services.paging import PageRequest
from datanika.ui.state.paged import Paged
from datanika.ui.state.tenant import TenantState
from datanika.ui.views.connections import ConnectionRow, connection_row

PAGE_SIZE = 25
MAX_SEARCH = 200


class ConnectionListState(Paged, TenantState):
    connections: list[ConnectionRow] = []
    is_empty: bool = False
    is_loaded: bool = False
    search: str = ""
    kind_filter: str = ""

    @rx.event
    async def load_connections(self) -> None:
        """The first page, of all kinds."""
        self.search, self.kind_filter = "", ""
        self._first_page()
        await self._load()

    @rx.event
    async def search_for(self, text: str) -> None:
        """Only connections with ``text`` in their name."""
        self.search = str(text)[:MAX_SEARCH].strip()
        self._first_page()
        await self._load()

    @rx.event
    async def filter_by_kind(self, kind: str) -> None:
        """Only connections of ``kind``; all for an empty or unknown one."""
        self.kind_filter = kind if isinstance(kind, str) and kind in connector_kinds() else ""
        self._first_page()
        await self._load()

    async def _load(self) -> None:
        async with self._attempt() as (session, actor):
            page = await ConnectionService(session, actor).list(
                PageRequest(PAGE_SIZE, self._cursors[-1], "name"),
                search=self.search or None,
                kind=self.kind_filter or None,
            )
            uses = await uses_of(session, actor.org_id, [row.id for row in page.rows])
        if self.error:
            return
        self._turned(page.next_cursor)
        self.connections = [connection_row(row, uses[row.id]) for row in page.rows]
        self.is_empty = not (page.rows or self.search or self.kind_filter or self.has_newer)
        self.is_loaded = True
