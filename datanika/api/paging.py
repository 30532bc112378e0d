"""The query parameters of every list, with the sort orders that the list has.

No ``from __future__ import annotations`` here: FastAPI reads the annotations of a function made
inside another one, which could not be looked up by name.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from fastapi import Depends, Query

from datanika.services.paging import DEFAULT_LIMIT, MAX_LIMIT, PageRequest

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Items on a page.")]
Cursor = Annotated[
    str | None, Query(max_length=2000, description="`next_cursor` of the page before.")
]


def paging(sorts: Iterable[str], default: str = "id") -> Any:
    """The dependency that reads ``limit``, ``cursor`` and ``sort`` into a :class:`PageRequest`."""
    names = tuple(name for sort in sorts for name in (sort, f"-{sort}"))
    order = Annotated[Literal[names], Query(description="Order; `-` before it: descending.")]  # type: ignore[valid-type]

    async def read(
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
        sort: order = default,
    ) -> PageRequest:
        return PageRequest(limit=limit, cursor=cursor, sort=sort)

    return Depends(read)
