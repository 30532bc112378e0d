"""SQLite: an uploaded database file, read with Python's own sqlite3, for reading only.

SQLite has types per value, not per column, so a column's type is decided by looking at all of its
values, as for CSV files.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import ConnectorConfig, Reading
from datanika.engines.connectors.files import FOLDER
from datanika.engines.connectors.paths import inside
from datanika.engines.connectors.sql import CatalogColumn, SqlConnector
from datanika.errors import TerminalStepError

if TYPE_CHECKING:
    from datanika.engines.dlt_engine.sources.base import SourceTable
    from datanika.engines.dlt_engine.sources.sql_rows import Travel

_STEPS = 10_000
"""Instructions of SQLite's machine between two looks at the clock."""


class SqliteConfig(ConnectorConfig):
    path: str = Field(
        title="File",
        description="Of the organisation's uploaded files.",
        pattern=r"^[^\x00-\x1f/\\][^\x00-\x1f\\]{0,200}$",
        examples=["shop.sqlite"],
    )


class SqliteConnector(SqlConnector[SqliteConfig]):
    kind = "sqlite"
    title = "SQLite"
    description = "Tables and views of a SQLite file that was uploaded to the platform."
    config = SqliteConfig
    placeholder = "?"
    docs = (
        "A table is a table or view of the file. A column's type comes from its values: integers, "
        "doubles, text or binary; `date`, `datetime` and `boolean` where it is declared so and "
        "every value is one; integers among doubles become doubles if they stay exact; everything "
        "mixed otherwise becomes text. Binary mixed with something else is refused."
    )

    @contextmanager
    def connect(
        self, connection: ResolvedConnection, seconds: float | None = None
    ) -> Iterator[Any]:
        import sqlite3

        path = inside(connection, FOLDER, self.parse(connection).path)
        if not path.is_file():
            raise TerminalStepError(
                f"There is no file {path.name!r}.",
                code="file_missing",
                hint="Upload it, or correct the connection's file.",
            )
        # Immutable: an upload does not change, and no journal is written beside it.
        opened = sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)
        try:
            opened.execute("PRAGMA trusted_schema = OFF")
            opened.set_authorizer(_authorize)
            if seconds is not None:
                deadline = time.monotonic() + seconds
                opened.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
            yield opened
        finally:
            opened.close()

    def schemas(self, cursor: Any) -> list[str]:
        return ["main"]

    def tables(self, cursor: Any, schema: str | None) -> list[tuple[str, str, str]]:
        if schema not in (None, "main"):
            return []
        cursor.execute(
            "SELECT 'main', name, type FROM sqlite_master WHERE type IN ('table', 'view') "
            "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
        )
        return list(cursor.fetchall())

    def columns(self, cursor: Any, schema: str, table: str) -> list[CatalogColumn]:
        if schema != "main":
            return []
        cursor.execute(f"PRAGMA table_xinfo({self.quoted(table)})")
        return [
            CatalogColumn(
                name=name, data_type=kind.lower(), declared=kind, nullable=not required,
                is_key=bool(key),
            )
            for _, name, kind, required, _, key, hidden in cursor.fetchall()
            if hidden != 1
        ]  # fmt: skip

    def default_schema(self, config: SqliteConfig) -> str:
        return "main"

    def place(self, reading: Reading) -> tuple[str, str]:
        # A dot is a part of the name: there is one schema.
        return "main", reading.table.name

    def run(self, cursor: Any, select: str, where: str, parameters: list[Any]) -> None:
        texts = [_as_text(value, is_end=bool(index)) for index, value in enumerate(parameters)]
        super().run(cursor, select, where, texts)

    def type_name(self, code: Any) -> str:
        return "any"

    def cause_of(self, error: Exception) -> str | None:
        import sqlite3

        if not isinstance(error, sqlite3.Error):
            return None
        text = str(error)
        if "interrupted" in text:
            return "query_timeout"
        if "no such table" in text:
            return "table_missing"
        if "no such column" in text:
            return "column_missing"
        if "readonly" in text or "not authorized" in text or "prohibited" in text:
            return "not_read_only"
        if "decode to UTF-8" in text:
            return "value_invalid"
        if "not a database" in text or "malformed" in text:
            return "file_damaged"
        return "sql_invalid"

    def travel(self, column: CatalogColumn, config: SqliteConfig) -> Travel:
        raise NotImplementedError("decided by open_sqlite from the values")

    def open_table(self, reading: Reading) -> SourceTable:
        from datanika.engines.dlt_engine.sources.sql_rows import open_sql_table
        from datanika.engines.dlt_engine.sources.sqlite_types import travels_of

        return open_sql_table(self, reading, travels_of)


SQLITE = SqliteConnector()


def _as_text(value: Any, *, is_end: bool) -> Any:
    """A bound of a comparison of texts, wide enough for every way to write the moment: the reader
    drops what is outside."""
    if isinstance(value, dt.datetime):
        if is_end:
            return value.isoformat("T") + "~"
        text = value.isoformat(" ")
        return text.rstrip("0") if "." in text else text
    return value.isoformat() if isinstance(value, dt.date) else value


def _authorize(action: int, first: str | None, second: str | None, *_: Any) -> int:
    """Reading, and nothing else: no other file (ATTACH), no setting (PRAGMA), no extension."""
    import sqlite3

    reading = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}
    if action in reading:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION and second != "load_extension":
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA and first in ("table_xinfo", "table_info"):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY
