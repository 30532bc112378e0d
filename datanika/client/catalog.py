"""``client.catalog``"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from datanika.client.resource import Resource
from datanika.contracts.api import CatalogEntryOut
from datanika.contracts.api.lineage import (
    ImpactOut,
    LineageDirection,
    LineageGraphOut,
    LineageLevel,
    LineageMapOut,
)

Sort = Literal[
    "id", "-id", "schema_name", "-schema_name", "name", "-name", "updated_at", "-updated_at"
]


class Catalog(Resource):
    """What exists in the destinations, and what it was made from."""

    def list(
        self,
        *,
        connection_id: int | None = None,
        schema_name: str | None = None,
        kind: str | None = None,
        search: str | None = None,
        sort: Sort | None = None,
        page_size: int | None = None,
    ) -> Iterator[CatalogEntryOut]:
        """Every table and view that runs have made; ``search`` is a part of its name, of a
        column's, of a description or of a tag."""
        return self._items(
            CatalogEntryOut,
            "catalog",
            connection_id=connection_id,
            schema_name=schema_name,
            kind=kind,
            search=search,
            sort=sort,
            limit=page_size,
        )

    def get(self, entry_id: int) -> CatalogEntryOut:
        """One of them."""
        return self._get(CatalogEntryOut, f"catalog/{entry_id}")

    def lineage(
        self,
        entry_id: int,
        *,
        column: str | None = None,
        level: LineageLevel | None = None,
        direction: LineageDirection | None = None,
        depth: int | None = None,
        indirect: bool | None = None,
    ) -> LineageGraphOut:
        """What an entry, or a column of it, is made of, and what is made of it."""
        return self._get(
            LineageGraphOut,
            f"catalog/{entry_id}/lineage",
            column=column,
            level=level,
            direction=direction,
            depth=depth,
            indirect=indirect,
        )

    def lineage_map(self, *, after: int | None = None, limit: int | None = None) -> LineageMapOut:
        """A page of all tables with what each is made of; ``after``: ``next_after`` before."""
        return self._get(LineageMapOut, "catalog/lineage", after=after, limit=limit)

    def impact(self, entry_id: int, column: str, *, depth: int | None = None) -> ImpactOut:
        """What depends on a column."""
        return self._get(ImpactOut, f"catalog/{entry_id}/impact", column=column, depth=depth)
