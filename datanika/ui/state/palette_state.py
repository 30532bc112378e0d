"""What the command palette finds beside pages: things of the organisation, by a part of a name."""

from __future__ import annotations

import reflex as rx

from datanika.services.catalog_service import CatalogService
from datanika.services.connection_service import ConnectionService
from datanika.services.paging import PageRequest
from datanika.services.pipeline_service import PipelineService
from datanika.services.transformation_service import TransformationService
from datanika.ui.state.tenant import TenantState

_EACH = PageRequest(limit=5)
LONGEST = 100


class PaletteState(TenantState):
    found: list[dict[str, str]] = []

    @rx.event
    async def search(self, text: str) -> None:
        """A few of each kind whose name has ``text`` in it."""
        wanted = text.strip()[:LONGEST]
        if len(wanted) < 2:
            self.found = []
            return
        rows: list[dict[str, str]] = []
        async with self._attempt() as (session, actor):
            pipelines = await PipelineService(session, actor).list(_EACH, search=wanted)
            connections = await ConnectionService(session, actor).list(_EACH, search=wanted)
            models = await TransformationService(session, actor).list(_EACH, search=wanted)
            tables = await CatalogService(session, actor).list(_EACH, search=wanted)
            rows = [
                *(_row("pipeline", one.name, f"/pipelines/{one.id}") for one in pipelines.rows),
                *(
                    _row("connection", one.name, f"/connections/{one.id}", one.kind)
                    for one in connections.rows
                ),
                *(
                    _row("transformation", one.name, f"/transformations/{one.id}")
                    for one in models.rows
                ),
                *(
                    _row("table", f"{one.schema_name}.{one.name}", f"/catalog/{one.id}", one.kind)
                    for one in tables.rows
                ),
            ]  # fmt: skip
        self.found = rows


def _row(kind: str, label: str, href: str, detail: str = "") -> dict[str, str]:
    return {"kind": kind, "label": label, "href": href, "detail": detail}
