"""The organisation's transformations, a page at a time, and how new ones come in."""

from __future__ import annotations

from typing import Any

import reflex as rx
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.catalog import connector_kind
from datanika.contracts.enums import TransformationKind
from datanika.models import Transformation
from datanika.services.actor import Actor
from datanika.services.connection_service import ConnectionService
from datanika.services.paging import MAX_LIMIT, PageRequest, RowPage
from datanika.services.transformation_service import TransformationService
from datanika.ui.state.paged import Paged
from datanika.ui.state.tenant import TenantState
from datanika.ui.views.transformations import TransformationRow, first_spec, transformation_row

PAGE_SIZE = 50


class TransformationListState(Paged, TenantState):
    """``destinations``: connections that dbt can work in, as id and name. ``dialog``: ``new``,
    ``import`` or nothing."""

    transformations: list[TransformationRow] = []
    destinations: list[dict[str, str]] = []
    search: str = ""
    kind: str = ""
    destination: str = ""
    dialog: str = ""
    is_loaded: bool = False
    is_empty: bool = False
    has_destination: bool = False

    @rx.event
    async def load_transformations(self) -> None:
        self.dialog = ""
        self._first_page()
        await self._load()

    @rx.event
    async def filter_transformations(self, form: dict[str, Any]) -> None:
        """Narrow the list: ``search``, ``kind``, ``destination``."""
        kind = str(form.get("kind") or "")
        self.search = str(form.get("search") or "")[:200].strip()
        self.kind = kind if kind in set(TransformationKind) else ""
        destination = str(form.get("destination") or "")
        self.destination = destination if destination.isdecimal() else ""
        self._first_page()
        await self._load()

    @rx.event
    def open_dialog(self, name: str) -> None:
        self._clear_error()
        self.dialog = name if name in ("new", "import") else ""

    @rx.event
    async def load_imported(self) -> None:
        """Something was imported: show it behind the report."""
        await self._load()
        if not self.error:
            self._succeed("project.imported")

    @rx.event
    def close_dialog(self) -> None:
        self._clear_error()
        self.dialog = ""

    @rx.event
    async def create_transformation(self, form: dict[str, Any]) -> rx.event.EventSpec | None:
        """``name``, ``kind``, ``destination``; leads to the editor of the new one."""
        async with self._attempt() as (session, actor):
            destination = str(form.get("destination") or "")
            spec = first_spec(
                str(form.get("name") or "").strip(),
                str(form.get("kind") or "model"),
                int(destination) if destination.isdecimal() and len(destination) < 16 else 0,
            )
            row = await TransformationService(session, actor).create(spec)
        if self.error:
            return None
        self.dialog = ""
        self._succeed("transformations.created")
        return rx.redirect(f"/transformations/{row.id}")

    async def _load(self) -> None:
        async with self._attempt() as (session, actor):
            found, names = await self._read(session, actor)
        if self.error:
            return
        rows = [transformation_row(row, names.get(row.destination_id, "")) for row in found.rows]
        self._turned(found.next_cursor)
        self.transformations = rows
        self.is_loaded = True
        self.is_empty = not (rows or self.search or self.kind or self.destination or self.has_newer)
        self.has_destination = bool(self.destinations)

    async def _read(
        self, session: AsyncSession, actor: Actor
    ) -> tuple[RowPage[Transformation], dict[int, str]]:
        connections = (
            await ConnectionService(session, actor).list(PageRequest(MAX_LIMIT, sort="name"))
        ).rows
        self.destinations = [
            {"id": str(one.id), "name": one.name}
            for one in connections
            if connector_kind(one.kind).supports_transform
        ]
        found = await TransformationService(session, actor).list(
            PageRequest(PAGE_SIZE, self._cursors[-1], "name"),
            search=self.search or None,
            kind=self.kind or None,
            destination_id=int(self.destination) if self.destination else None,
        )
        return found, {one.id: one.name for one in connections}
