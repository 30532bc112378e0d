"""Marks of rows at a cursor's highest value, made by the source's server.

An append remembers them, to leave out exactly these rows when it reads that value again.
``cursor.py`` makes marks of its own for sources that cannot; these begin with ``s:``.
"""

from __future__ import annotations

from collections.abc import Iterable

from datanika.engines.warehouse.base import quoted

PREFIX = "s:"
MARK = "_datanika_mark"
"""The column of an arrow batch that holds them."""


def mark_of(columns: Iterable[str]) -> str:
    """SQL: the mark of a row, by its columns in the order of their names."""
    row = ", ".join(quoted(name) for name in sorted(columns))
    return f"'{PREFIX}' || pg_catalog.md5(CAST(ROW({row}) AS text))"


def are_of_server(seen: Iterable[str]) -> bool:
    """Whether every mark is one of these."""
    return all(mark.startswith(PREFIX) for mark in seen)
