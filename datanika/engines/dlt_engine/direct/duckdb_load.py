"""A PostgreSQL table into DuckDB by DuckDB's own scan, in one transaction with dlt's entries.

What DuckDB's scan reads wrong is cast at the source, as for arrow (``sources/postgres.py``). Two
things it gets wrong in silence are looked for in the same snapshot: NaN in a numeric, which it
reads as 0, and digits beyond a numeric's measured scale.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from datanika.contracts.enums import WriteDisposition
from datanika.engines.connectors.postgres import locate
from datanika.engines.dlt_engine.destination import postgres_uri
from datanika.engines.dlt_engine.direct.books import Books
from datanika.engines.dlt_engine.direct.choice import NotDirect, naming
from datanika.engines.dlt_engine.direct.dlt_import import dlt_beside
from datanika.engines.dlt_engine.loaded import Loaded, lost, verify
from datanika.engines.dlt_engine.names import check_columns, check_table
from datanika.engines.dlt_engine.sources.postgres import (
    PostgresColumn,
    find_columns,
    split_name,
)
from datanika.engines.dlt_engine.table_load import TableLoad
from datanika.engines.emit import log
from datanika.engines.warehouse.base import LOAD_ID, Table, literal, qualified, quoted
from datanika.engines.warehouse.duckdb import DuckdbWarehouse, filled
from datanika.engines.warehouse.postgres import connect, watch_options
from datanika.errors import TerminalStepError

_SOURCE = "datanika_source"
MEMORY_MB = 192
"""Of DuckDB's buffers while it writes: what is beyond goes to the file."""
# Pages are those of one table: not of a view, nor of tables that inherit from it.
_IS_PLAIN = (
    "SELECT relkind = 'r' AND NOT relhassubclass AND NOT relrowsecurity "
    "FROM pg_catalog.pg_class WHERE oid = to_regclass(%s)"
)


class DuckdbLoad(TableLoad):
    """A replace by DuckDB's scan where it is exact; everything else as :class:`TableLoad` does."""

    def run(self) -> Loaded:
        try:
            self._check_fit()
            return self._run_direct()
        except NotDirect as why:
            self.result.reason = str(why)
            message = f"Goes through arrow and dlt: {why}."
            log(self.emit, self.step.step.key, message, node=self.node)
        return super().run()

    def _check_fit(self) -> None:
        if self.table.write_disposition is not WriteDisposition.REPLACE:
            raise NotDirect(f"the table is loaded by {self.table.write_disposition}")
        if self.table.cursor is not None:
            raise NotDirect("the table has a cursor")
        extension()

    def _run_direct(self) -> Loaded:
        assert isinstance(self.warehouse, DuckdbWarehouse)
        normalize = naming()
        check_table(self.target[1], normalize)
        target = locate(self.step.source)
        name = split_name(self.table.name, self.step.step.source_schema)
        catalog = connect(target, self.writer.application_name)
        try:
            with catalog.cursor() as cursor:
                columns, _ = find_columns(cursor, name, self.table, self.shape.privacy)
                cursor.execute(_IS_PLAIN, [qualified(name)])
                is_plain = bool(cursor.fetchone()[0])
            options = watch_options(catalog)
        finally:
            catalog.close()
        self.shape.saw({column.name: column.native for column in columns.values()})
        names = check_columns(list(columns), normalize, self.table.name)
        uri = postgres_uri(target, self.writer.application_name, options)
        session = DuckSession(self.warehouse)
        books = Books(session, self.target[0], self.name, self.target[1])
        books.prepare()
        existing = session.types(self.target)
        self._is_new = not existing
        result = self.result
        result.before = self.warehouse.count(self.target) if existing else 0
        with attached(session, uri):
            session.run("BEGIN")
            try:
                scan = _scan(name, columns, is_plain)
                with dlt_beside(self._is_new):
                    found = self._fill(session, name, scan, columns, names, existing, books.load_id)
                hints = {column: hint_of(kind) for column, kind in found.items()}
                books.enter(hints, {} if self._is_new else books.resource_state(), "replace")
                session.run("COMMIT")
            except BaseException:
                with suppress(Exception):
                    session.run("ROLLBACK")
                raise
        self.counter.rows = result.rows
        self._tell_commit(None, {})
        result.path, result.placed = "DuckDB scan", "into a new table that took the old one's name"
        log(self.emit, self.step.step.key, "Went by DuckDB's own scan.", node=self.node)
        verify(result, self.table, self.target, self.warehouse, [books.load_id], False)
        return result

    def _fill(
        self,
        session: DuckSession,
        name: Table,
        scan: str,
        columns: Mapping[str, PostgresColumn],
        names: Mapping[str, str],
        existing: Mapping[str, str],
        load_id: str,
    ) -> dict[str, str]:
        """Make the table; its columns and their types, those of before included."""
        chosen = [_chosen(column, names[column.name]) for column in columns.values()]
        found = {
            str(row[0]): str(row[1])
            for row in session.run(f"DESCRIBE SELECT {', '.join(chosen)} FROM {scan}")
        }
        for column, kind in existing.items():
            if column == LOAD_ID:
                continue
            if column not in found:
                found[column] = kind
                chosen.append(f"CAST(NULL AS {kind}) AS {quoted(column)}")
            elif found[column] != kind:
                raise NotDirect(f"{column} is of the type {found[column]}, not {kind}")
        if existing and session.has_indexes(self.target):
            raise NotDirect("the table has indexes")
        new = qualified(self.target)
        session.run(
            f"CREATE OR REPLACE TABLE {new} AS SELECT {', '.join(chosen)}, "
            f"'{load_id}' AS {quoted(LOAD_ID)} FROM {scan}"
        )
        [(taken,)] = session.run(f"SELECT count(*) FROM {new}")
        checks = [check for column in columns.values() if (check := _wrong(column)) is not None]
        wrong_rows = f"count(*) FILTER (WHERE {' OR '.join(checks) or 'false'})"
        sql = f"SELECT count(*) AS rows, {wrong_rows} AS wrong FROM {qualified(name)}"
        [(rows, wrong)] = session.run(f"SELECT * FROM {_query(sql)}")
        self.result.rows = int(rows)
        if wrong:
            raise TerminalStepError(
                "A numeric column holds NaN, infinity or more digits than DuckDB has.",
                code="value_out_of_range",
                hint="Replace these values in the source, or leave the column out.",
            )
        if taken != rows:
            self.result.loaded = int(taken)
            raise lost(self.result, self.target)
        return found


def _scan(name: Table, columns: Mapping[str, PostgresColumn], is_plain: bool) -> str:
    """What DuckDB selects from: a plain table, in parallel by its pages, where every column may be
    read as it is, else one query."""
    pushed = [_pushed(column) for column in columns.values()]
    if is_plain and all(
        column.plain
        and one in (quoted(column.name), f"{quoted(column.name)} AS {quoted(column.name)}")
        for one, column in zip(pushed, columns.values(), strict=True)
    ):
        return f"{_SOURCE}.{qualified(name)}"
    return _query(f"SELECT {', '.join(pushed)} FROM {qualified(name)}")


def _pushed(column: PostgresColumn) -> str:
    """Where arrow needs a numeric's text, DuckDB reads the numeric itself; it takes the padding off
    a char as a cast to text does."""
    if column.plain and (column.declared or column.type == "bpchar"):
        return quoted(column.name)
    if column.decimal is None:
        return column.expression
    precision, scale = column.decimal
    name = quoted(column.name)
    return f"CAST({name} AS numeric({precision},{scale})) AS {name}"


def _chosen(column: PostgresColumn, name: str) -> str:
    source, target = quoted(column.name), quoted(name)
    if column.is_json:
        return f"CAST({source} AS JSON) AS {target}"
    return f"{source} AS {target}"


def _wrong(column: PostgresColumn) -> str | None:
    """SQL at the source: whether a value did not arrive as it is."""
    if column.decimal is None:
        return None
    name = quoted(column.name)
    wrong = f"{name} = 'NaN'"
    return (
        wrong if column.declared else f"{wrong} OR pg_catalog.scale({name}) > {column.decimal[1]}"
    )


def _query(sql: str) -> str:
    return f"postgres_query('{_SOURCE}', {literal(sql)})"


@cache
def extension() -> Path:
    """DuckDB's PostgreSQL extension, from its wheel. Raises :class:`NotDirect`."""
    spec = importlib.util.find_spec("duckdb_extension_postgres_scanner")
    if spec is None or spec.origin is None:
        raise NotDirect("DuckDB's PostgreSQL extension is not installed")
    found = sorted(Path(spec.origin).parent.rglob("*.duckdb_extension"))
    if not found:
        raise NotDirect("DuckDB's PostgreSQL extension is not installed")
    return found[0]


@contextmanager
def bounded(session: DuckSession) -> Iterator[None]:
    """Inside, DuckDB holds little in memory.

    Rows of a table have no order; keeping the one they come in holds them back, and takes twice as
    long.
    """
    session.run(f"SET memory_limit = '{MEMORY_MB}MB'")
    session.run("SET preserve_insertion_order = false")
    try:
        yield
    finally:
        for setting in ("memory_limit", "preserve_insertion_order"):
            with suppress(Exception):
                session.run(f"RESET {setting}")


@contextmanager
def attached(session: DuckSession, uri: str) -> Iterator[None]:
    """The source as ``datanika_source``; DuckDB reads it at the address that ``uri`` names."""
    session.run(f"LOAD '{extension()}'")
    session.run(f"ATTACH {literal(uri)} AS {_SOURCE} (TYPE postgres, READ_ONLY)")
    try:
        with bounded(session):
            yield
    finally:
        with suppress(Exception):
            session.run(f"DETACH {_SOURCE}")


class DuckSession:
    """One connection to a DuckDB file."""

    def __init__(self, warehouse: DuckdbWarehouse) -> None:
        self._cursor = warehouse.connection.cursor()

    def run(self, sql: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of one statement."""
        return list(self._cursor.execute(filled(sql, parameters or ())).fetchall())

    def lock(self, key: int) -> None:
        """The file's own lock keeps others out."""

    def unlock(self, key: int) -> None:
        """See :meth:`lock`."""

    def types(self, table: Table) -> dict[str, str]:
        """column -> type of ``table``; empty when there is none."""
        return {
            str(name): str(kind)
            for name, kind in self.run(
                "SELECT column_name, data_type FROM information_schema.columns "
                "WHERE table_schema = %s AND table_name = %s "
                "AND table_catalog = current_database() ORDER BY ordinal_position",
                table,
            )
        }

    def has_indexes(self, table: Table) -> bool:
        """Whether a replaced table would lose something."""
        return bool(
            self.run(
                "SELECT 1 FROM duckdb_indexes() WHERE schema_name = %s AND table_name = %s "
                "AND database_name = current_database() UNION ALL "
                "SELECT 1 FROM duckdb_constraints() WHERE schema_name = %s AND table_name = %s "
                "AND database_name = current_database() AND constraint_type <> 'NOT NULL'",
                [*table, *table],
            )
        )


def hint_of(kind: str) -> dict[str, Any]:
    """dlt's words for a column of DuckDB's type ``kind``."""
    if kind.startswith("DECIMAL("):
        precision, scale = kind[8:-1].split(",")
        return {"data_type": "decimal", "precision": int(precision), "scale": int(scale)}
    plain: dict[str, dict[str, Any]] = {
        "SMALLINT": {"data_type": "bigint", "precision": 16},
        "INTEGER": {"data_type": "bigint", "precision": 32},
        "BIGINT": {"data_type": "bigint"},
        "DOUBLE": {"data_type": "double"},
        "BOOLEAN": {"data_type": "bool"},
        "DATE": {"data_type": "date"},
        "TIME": {"data_type": "time"},
        "BLOB": {"data_type": "binary"},
        "JSON": {"data_type": "json"},
        "TIMESTAMP": {"data_type": "timestamp", "timezone": False},
        "TIMESTAMP WITH TIME ZONE": {"data_type": "timestamp"},
    }
    return plain.get(kind, {"data_type": "text"})
