"""DuckDB as a warehouse. The file's own lock keeps other processes out."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.duckdb import database_path
from datanika.engines.warehouse.base import Table, Warehouse, literal, quoted
from datanika.errors import TransientStepError

LOCK_SECONDS = 60.0
_ZONED = "TIMESTAMP WITH TIME ZONE"


class DuckdbWarehouse(Warehouse):
    """One open database for the whole step: the file is locked from first to last."""

    current_database = "AND table_catalog = current_database()"

    def __init__(self, connection: ResolvedConnection) -> None:
        import duckdb

        self.path = database_path(connection)
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                self.connection = duckdb.connect(str(self.path))
                break
            except duckdb.IOException as error:
                if "lock" not in str(error):
                    raise
                if time.monotonic() >= deadline:
                    raise TransientStepError(
                        f"Another run has been using {self.path.name} for over "
                        f"{LOCK_SECONDS:.0f} seconds.",
                        code="destination_busy",
                        hint="A DuckDB file has one writer at a time; wait for the other run.",
                    ) from None
                time.sleep(0.2)

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        cursor = self.connection.cursor()
        try:
            if all(map(_is_plain, parameters)):
                return list(cursor.execute(filled(sql, parameters)).fetchall())
            return list(cursor.execute(sql.replace("%s", "?"), list(parameters)).fetchall())
        finally:
            cursor.close()

    @contextlib.contextmanager
    def lock(self, tables: Sequence[Table]) -> Iterator[None]:
        yield

    def row_hash(self, alias: str, columns: Sequence[str], table: str) -> str:
        """Each value's text after its length, so that no two rows are written the same."""
        rows = self.query(f"DESCRIBE {table}")
        kinds = {str(row[0]): str(row[1]) for row in rows}
        parts = []
        for name in columns:
            value = f"{alias}.{quoted(name)}"
            # The text of a time with a zone depends on the session's.
            moment = f"{value} AT TIME ZONE 'UTC'"
            text = f"CAST({moment if kinds.get(name) == _ZONED else value} AS VARCHAR)"
            parts.append(f"coalesce(strlen({text}) || ':' || {text}, '-')")
        return f"md5(concat_ws(',', {', '.join(parts)}))"

    def close(self) -> None:
        self.connection.close()


def filled(sql: str, parameters: Sequence[Any]) -> str:
    """``sql`` with literals for its ``%s``. Of a statement with parameters DuckDB's client imports
    pandas, which takes longer than a small load. Raises TypeError, ValueError."""
    if not parameters:
        return sql
    texts = sql.split("%s")
    pairs = zip(texts, map(_literal, parameters), strict=False)
    if len(texts) != len(parameters) + 1:
        raise ValueError("As many parameters as there are places are needed.")
    return "".join(text + literal for text, literal in pairs) + texts[-1]


def _is_plain(value: Any) -> bool:
    """Whether it has a literal that says the same everywhere."""
    if isinstance(value, str):
        return "\0" not in value
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        return literal(value)
    raise TypeError(f"No literal of {type(value).__name__}.")
