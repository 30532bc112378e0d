"""A list of the services from its first page to its last."""

from __future__ import annotations

from typing import Any

from datanika.services.paging import PageRequest


async def pages(listing: Any, limit: int, sort: str = "id", **filters: Any) -> list[Any]:
    """Every row that ``listing`` gives, asked for ``limit`` at a time."""
    rows: list[Any] = []
    cursor = None
    while True:
        page = await listing(PageRequest(limit=limit, cursor=cursor, sort=sort), **filters)
        assert len(page.rows) <= limit
        rows += page.rows
        cursor = page.next_cursor
        if cursor is None:
            return rows
