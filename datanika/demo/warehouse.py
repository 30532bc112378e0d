"""The demo's own look into its warehouse, past the platform: what is really there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Warehouse:
    """A PostgreSQL database with a role of its own."""

    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)

    def connection_config(self) -> dict[str, Any]:
        """As the ``postgres`` connection kind wants it."""
        return {
            "host": self.host,
            "port": self.port,
            "database": self.database,
            "user": self.user,
            "password": self.password,
            "sslmode": "prefer",
        }

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """All rows of ``query``."""
        with self._cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    def counts(self, queries: dict[str, str]) -> dict[str, int]:
        """The one number of each query; 0 for a table that does not exist."""
        import psycopg2.errors

        counts = {}
        for name, query in queries.items():
            try:
                counts[name] = int(self.rows(query)[0][0])
            except psycopg2.errors.UndefinedTable:
                counts[name] = 0
        return counts

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        import psycopg2

        connection = psycopg2.connect(
            host=self.host,
            port=self.port,
            dbname=self.database,
            user=self.user,
            password=self.password,
            connect_timeout=10,
            application_name="datanika demo",
        )
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()
