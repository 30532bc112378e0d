"""One statement that reads, and cannot do anything else.

PostgreSQL: the statement is opened as a cursor by the server, from a string. A cursor takes one
statement that returns rows, so nothing can end the READ ONLY transaction it runs in:
https://www.postgresql.org/docs/current/plpgsql-cursors.html. DuckDB: the file is opened for
reading, without access to other files, and its settings are locked.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datanika.contracts.ad_hoc import RowsResult
from datanika.contracts.steps import ResolvedConnection
from datanika.engines.ad_hoc.cells import RowCollector
from datanika.engines.connectors.duckdb import database_path
from datanika.engines.connectors.postgres import locate
from datanika.engines.failures import failure_of
from datanika.engines.warehouse.postgres import connect
from datanika.errors import StepError, TerminalStepError, TransientStepError

STATEMENT_SECONDS = 30
LOCK_SECONDS = 5.0
_BATCH_CHARACTERS = 1_000_000
_OPEN = (
    "DO $$ DECLARE read_rows refcursor := 'datanika_rows'; "
    "BEGIN OPEN read_rows FOR EXECUTE current_setting('datanika.statement'); END $$"
)
_ONE_READING = "Only one statement that reads rows can run here."
_CODES = {"42P11": "query_not_read_only", "25006": "query_not_read_only", "57014": "query_timeout"}


def read_rows(connection: ResolvedConnection, sql: str, limit: int, folder: Path) -> RowsResult:
    """The first ``limit`` rows of ``sql``. ``folder`` is where DuckDB may spill.

    Raises :class:`StepError`: ``query_not_read_only``, ``query_timeout``, ``sql_invalid`` and
    what :func:`failure_of` knows, and ``query_not_supported`` for a kind without SQL.
    """
    from datanika.engines.connectors.registry import connector_of

    return connector_of(connection).query(connection, sql, limit, folder)


class PostgresReader:
    """A READ ONLY transaction."""

    def __init__(self, connection: ResolvedConnection) -> None:
        self._connection = connect(locate(connection), "datanika query")
        self._connection.set_session(readonly=True, autocommit=False)

    def __enter__(self) -> PostgresReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(
        self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """Every row of a statement of ours."""
        with self._connection.cursor() as cursor:
            self._limit_time(cursor)
            cursor.execute(sql, parameters)
            return list(cursor.fetchall())

    def read(self, sql: str, limit: int) -> RowsResult:
        """The first ``limit`` rows of a tenant's statement."""
        import psycopg2

        try:
            return self._read(sql, limit)
        except psycopg2.Error as error:
            raise _explained(error) from None

    def _read(self, sql: str, limit: int) -> RowsResult:
        rows = RowCollector(limit)
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT set_config('datanika.statement', %s, true)", [sql])
            self._limit_time(cursor)
            cursor.execute(_OPEN)
            cursor.execute("FETCH 0 FROM datanika_rows")
            description = cursor.description or ()
            _read_as_text(cursor, description)
            # One row first: it may be as large as the server allows.
            size = 1
            while rows.wanted:
                # The statement itself may have changed the limit.
                self._limit_time(cursor)
                cursor.execute(f"FETCH {min(size, rows.wanted)} FROM datanika_rows")
                batch = cursor.fetchall()
                if not batch:
                    break
                if rows.add(_values(row, description) for row in batch) < _BATCH_CHARACTERS:
                    size *= 4
        types = self._type_names({column.type_code for column in description})
        return rows.result((column.name, types[column.type_code]) for column in description)

    def _limit_time(self, cursor: Any) -> None:
        cursor.execute(f"SET LOCAL statement_timeout = {int(STATEMENT_SECONDS * 1000)}")
        if self._connection.server_version >= 140_000:
            # A statement whose reader was killed ends, too.
            cursor.execute("SET LOCAL client_connection_check_interval = 1000")

    def _type_names(self, oids: set[int]) -> dict[int, str]:
        rows = self.ask(
            "SELECT oid::bigint, pg_catalog.format_type(oid, NULL) FROM pg_catalog.pg_type "
            "WHERE oid = ANY(%s::oid[])",
            [list(oids)],
        )
        return {oid: name for oid, name in rows}


def _read_as_text(cursor: Any, description: Sequence[Any]) -> None:
    """Values stay what the server wrote: Python has no year 44 BC and no infinite time."""
    from psycopg2.extensions import new_type, register_type

    oids = tuple({column.type_code for column in description})
    register_type(new_type(oids, "TEXT", lambda value, _: value), cursor)


_BOOL, _INTEGERS, _FLOATS = 16, (20, 21, 23, 26), (700, 701)
"""OIDs of types that JSON has, too; PostgreSQL's pg_type.dat."""


def _values(row: Sequence[str | None], description: Sequence[Any]) -> list[Any]:
    return [
        value if value is None else _value(value, column.type_code)
        for value, column in zip(row, description, strict=True)
    ]


def _value(text: str, oid: int) -> Any:
    if oid == _BOOL:
        return text == "t"
    if oid in _INTEGERS:
        return int(text)
    if oid in _FLOATS:
        return float(text)
    return text


def _explained(error: Any) -> StepError:
    known = failure_of(error)
    code = _CODES.get(error.pgcode or "", known.code)
    message = error.diag.message_primary or known.message
    if code == "query_not_read_only":
        return TerminalStepError(f"{_ONE_READING} The server says: {message}.", code=code)
    if code == "query_timeout":
        return TerminalStepError(
            f"It took longer than {STATEMENT_SECONDS} seconds.",
            code=code,
            hint="Ask for less: a filter, fewer joined tables, an aggregate.",
        )
    kind = TransientStepError if known.transient else TerminalStepError
    return kind(message, code=code, hint=error.diag.message_hint or known.hint)


class DuckdbReader:
    """A database file opened for reading."""

    def __init__(self, connection: ResolvedConnection, folder: Path) -> None:
        import duckdb

        path = database_path(connection)
        if not path.exists():
            raise TerminalStepError(
                f"There is no database {path.name!r} yet.",
                code="database_missing",
                hint="The first load into it makes it.",
            )
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                self._database = duckdb.connect(str(path), read_only=True, config=_locked(folder))
                break
            except duckdb.IOException as error:
                if "lock" not in str(error):
                    raise
                if time.monotonic() >= deadline:
                    raise TransientStepError(
                        f"A run is writing {path.name}.",
                        code="destination_busy",
                        hint="Ask again when it is over.",
                    ) from None
                time.sleep(0.2)

    def __enter__(self) -> DuckdbReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def ask(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Every row of a statement of ours."""
        return list(self._database.execute(sql, list(parameters)).fetchall())

    def read(self, sql: str, limit: int) -> RowsResult:
        """The first ``limit`` rows of a tenant's statement."""
        import duckdb

        rows = RowCollector(limit)
        try:
            statements = self._database.extract_statements(sql)
            if len(statements) != 1:
                raise TerminalStepError(_ONE_READING, code="query_not_read_only")
            cursor = self._database.execute(statements[0])
            columns = [(str(name), str(kind)) for name, kind, *_ in cursor.description or ()]
            size = 1
            while rows.wanted and (batch := cursor.fetchmany(min(size, rows.wanted))):
                if rows.add(batch) < _BATCH_CHARACTERS:
                    size *= 4
        except (duckdb.PermissionException, duckdb.InvalidInputException) as error:
            if "read-only" in str(error):
                raise TerminalStepError(_ONE_READING, code="query_not_read_only") from None
            raise _duckdb_error(error) from None
        except duckdb.Error as error:
            raise _duckdb_error(error) from None
        return rows.result(columns)


def _duckdb_error(error: Exception) -> StepError:
    known = failure_of(error)
    code = "sql_invalid" if known.code.startswith("engine.") else known.code
    return TerminalStepError(str(error), code=code, hint=known.hint)


def _locked(folder: Path) -> dict[str, str]:
    return {
        "enable_external_access": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "temp_directory": str(folder / "duckdb"),
        "memory_limit": "1GB",
        "threads": "2",
        "lock_configuration": "true",
    }
