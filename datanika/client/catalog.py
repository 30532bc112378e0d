"""``client.catalog``"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from datanika.client.resource import Resource
from datanika.contracts.api import CatalogEntryOut

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
        search: str | None = None,
        sort: Sort | None = None,
        page_size: int | None = None,
    ) -> Iterator[CatalogEntryOut]:
        """Every table and view that runs have made; ``search`` is a part of the name."""
        return self._items(
            CatalogEntryOut,
            "catalog",
            connection_id=connection_id,
            schema_name=schema_name,
            search=search,
            sort=sort,
            limit=page_size,
        )

    def get(self, entry_id: int) -> CatalogEntryOut:
        """One of them."""
        return self._get(CatalogEntryOut, f"catalog/{entry_id}")
