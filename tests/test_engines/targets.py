"""Destinations of engine tests, and a way to look into them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from datanika.contracts.steps import ResolvedConnection

Query = Callable[[str], list[tuple[Any, ...]]]


class Target:
    """A destination and a way to look into it."""

    def __init__(self, connection: ResolvedConnection, query: Query) -> None:
        self.connection = connection
        self.query = query

    def count(self, table: str) -> int:
        return int(self.query(f"SELECT count(*) FROM {table}")[0][0])


def ask_duckdb(root: Path) -> Query:
    import duckdb

    def query(sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(root / "warehouse" / "warehouse.duckdb")) as connection:
            return list(connection.execute(sql).fetchall())

    return query
