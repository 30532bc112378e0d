"""Databases behind a DB-API driver: one kind says how to connect, what its catalog is called and
what each of its types becomes; looking, asking and reading are the same for all."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import Connector, ConnectorConfig, Reading
from datanika.errors import StepError, TerminalStepError

if TYPE_CHECKING:
    from datanika.contracts.ad_hoc import (
        IntrospectAction,
        IntrospectionResult,
        PreviewAction,
        RowsResult,
    )
    from datanika.engines.dlt_engine.sources.base import SourceTable
    from datanika.engines.dlt_engine.sources.sql_rows import Travel

STATEMENT_SECONDS = 30
CONNECT_SECONDS = 15
_BATCH = 50
READING = frozenset({"select", "with", "show", "describe", "desc", "explain", "values", "table"})


def first_rows(action: PreviewAction, schema: str) -> str:
    """A SELECT of a preview's columns; whoever runs it stops reading at the limit."""
    from datanika.engines.warehouse.base import quoted

    names = ", ".join(quoted(name) for name in action.columns) or "*"
    return f"SELECT {names} FROM {quoted(schema)}.{quoted(action.table)}"


def check_reads(sql: str, words: frozenset[str] = READING) -> None:
    """Refuse a statement that does not begin like one that only reads.

    The transaction and the rights of the user decide what a statement may do; this keeps out what
    would end the transaction. Raises :class:`TerminalStepError` ``query_not_read_only``.
    """
    bare = re.sub(r"\A(\s|--[^\n]*(\n|\Z)|/\*(?![!M]).*?\*/|\()+", "", sql, flags=re.DOTALL)
    word = re.match(r"[A-Za-z]*", bare)
    if word is None or word[0].lower() not in words:
        raise TerminalStepError(
            "Only one statement that reads rows can run here.", code="query_not_read_only"
        )


@dataclass(frozen=True)
class CatalogColumn:
    """A column as the database's catalog tells it."""

    name: str
    data_type: str
    """In lower case, without its size."""
    declared: str
    """As it was declared, for people."""
    nullable: bool
    precision: int | None = None
    scale: int | None = None
    is_key: bool = False


class SqlConnector[C: ConnectorConfig](Connector[C]):
    """A database with tables in schemas."""

    is_source = True
    quotes: ClassVar[tuple[str, str]] = ('"', '"')
    placeholder: ClassVar[str] = "%s"

    @abstractmethod
    def connect(
        self, connection: ResolvedConnection, seconds: float | None = None
    ) -> AbstractContextManager[Any]:
        """A DB-API connection in a transaction that only reads, to an address that egress allows.

        ``seconds``: how long one statement may take.
        """

    @abstractmethod
    def schemas(self, cursor: Any) -> list[str]:
        """Schemas that are not the system's."""

    @abstractmethod
    def tables(self, cursor: Any, schema: str | None) -> list[tuple[str, str, str]]:
        """(schema, name, kind) of tables and views, sorted; of every schema without ``schema``."""

    @abstractmethod
    def columns(self, cursor: Any, schema: str, table: str) -> list[CatalogColumn]:
        """In their order; empty: there is no such table."""

    @abstractmethod
    def travel(self, column: CatalogColumn, config: C) -> Travel:
        """How a column is read, and as what."""

    @abstractmethod
    def default_schema(self, config: C) -> str:
        """Where a table is that is named without one."""

    def cause_of(self, error: Exception) -> str | None:
        """A key of ``failures.py``'s causes for a driver's error, where its class does not say."""
        return None

    def quoted(self, name: str) -> str:
        before, after = self.quotes
        return before + name.replace(after, after * 2) + after

    def limited(self, select: str, limit: int) -> str:
        """``select`` with at most ``limit`` rows."""
        return f"{select} LIMIT {limit}"

    def stream(self, connection: Any) -> Any:
        """A cursor that does not hold all rows in memory."""
        return connection.cursor()

    def run(self, cursor: Any, select: str, where: str, parameters: list[Any]) -> None:
        """Execute ``select``, which has no placeholders, with ``where``, which has one for each of
        ``parameters``."""
        if not parameters:
            cursor.execute(select)
            return
        if self.placeholder == "%s":
            select = select.replace("%", "%%")
            where = where.replace("%", "%%").replace("%%s", "%s")
        cursor.execute(select + where, tuple(parameters))

    def ready(self, value: Any) -> Any:
        """A driver's value of a tenant's query, for a cell."""
        return value

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Driver errors as step errors with a stable code."""
        from datanika.engines.failures import step_error

        try:
            yield
        except StepError:
            raise
        except Exception as error:
            cause = self.cause_of(error)
            if cause is None:
                raise
            raise step_error(cause, error) from error

    @contextmanager
    def _cursor(self, connection: ResolvedConnection) -> Iterator[Any]:
        with (
            self.explained(),
            self.connect(connection, STATEMENT_SECONDS) as opened,
            closing(opened.cursor()) as cursor,
        ):
            yield cursor

    def columns_of(
        self, connection: ResolvedConnection, schema: str, table: str
    ) -> list[CatalogColumn]:
        """The columns of one relation, in their order; none where there is no such relation."""
        with self._cursor(connection) as cursor:
            return self.columns(cursor, schema, table)

    def test(self, connection: ResolvedConnection) -> None:
        with self._cursor(connection) as cursor:
            cursor.execute(self.probe)
            cursor.fetchall()

    probe: ClassVar[str] = "SELECT 1"
    runs_scripts: ClassVar[bool] = False
    """Whether one call may hold several statements, so that a semicolon has to be refused."""

    def introspect(self, action: IntrospectAction, folder: Path) -> IntrospectionResult:
        from datanika.contracts.ad_hoc import TableInfo
        from datanika.contracts.events import ColumnInfo
        from datanika.engines.ad_hoc.pages import is_wanted, page_of

        with self._cursor(action.connection) as cursor:
            schemas = self.schemas(cursor)
            wanted = [
                entry
                for entry in self.tables(cursor, action.schema_name)
                if is_wanted(action, entry[1])
            ]
            found = wanted[action.offset : action.offset + action.limit + 1]
            tables = []
            for schema, name, kind in found[: action.limit]:
                columns = self.columns(cursor, schema, name)
                tables.append(
                    TableInfo(
                        schema_name=schema,
                        name=name,
                        kind=kind,
                        columns=tuple(
                            ColumnInfo(name=c.name, data_type=c.declared, nullable=c.nullable)
                            for c in columns
                        ),
                        primary_key=tuple(c.name for c in columns if c.is_key),
                    )
                )
        return page_of(action, schemas, tuple(tables), len(found))

    def preview(self, action: PreviewAction, folder: Path) -> RowsResult:
        schema = action.schema_name or self.default_schema(self.parse(action.connection))
        names = ", ".join(self.quoted(name) for name in action.columns) or "*"
        select = f"SELECT {names} FROM {self.qualified(schema, action.table)}"
        return self._rows(action.connection, self.limited(select, action.limit + 1), action.limit)

    def qualified(self, schema: str, table: str) -> str:
        """``schema.table`` as SQL."""
        return f"{self.quoted(schema)}.{self.quoted(table)}"

    def query(
        self, connection: ResolvedConnection, sql: str, limit: int, folder: Path
    ) -> RowsResult:
        check_reads(sql)
        if self.runs_scripts and ";" in sql.rstrip().removesuffix(";"):
            raise TerminalStepError(
                "Only one statement can run here, without a semicolon in it.",
                code="query_not_read_only",
            )
        return self._rows(connection, sql, limit)

    def _rows(self, connection: ResolvedConnection, sql: str, limit: int) -> RowsResult:
        from datanika.engines.ad_hoc.cells import RowCollector

        rows = RowCollector(limit)
        with (
            self.explained(),
            self.connect(connection, STATEMENT_SECONDS) as opened,
            closing(self.stream(opened)) as cursor,
        ):
            cursor.execute(sql)
            columns = [
                (str(name), self.type_name(code)) for name, code, *_ in cursor.description or ()
            ]
            size = 1
            while rows.wanted and (batch := cursor.fetchmany(min(size, rows.wanted))):
                rows.add([self.ready(value) for value in row] for row in batch)
                size = _BATCH
        return rows.result(columns)

    def type_name(self, code: Any) -> str:
        """A column's type in a query's answer, for people."""
        return str(getattr(code, "__name__", code))

    def open_table(self, reading: Reading) -> SourceTable:
        from datanika.engines.dlt_engine.sources.sql_rows import open_sql_table

        return open_sql_table(self, reading)

    def place(self, reading: Reading) -> tuple[str, str]:
        """(schema, table) that a table's name means."""
        name, schema = reading.table.name, reading.source_schema
        if schema is not None:
            return schema, name
        before, dot, after = name.partition(".")
        return (
            (before, after) if dot else (self.default_schema(self.parse(reading.connection)), name)
        )


def information_schema_tables(
    cursor: Any, schema: str | None, hidden: Sequence[str], placeholder: str = "%s"
) -> list[tuple[str, str, str]]:
    """Tables and views by the standard's own catalog."""
    where, parameters = "", []
    if schema is not None:
        where, parameters = f"WHERE table_schema = {placeholder}", [schema]
    cursor.execute(
        f"SELECT table_schema, table_name, table_type FROM information_schema.tables {where} "
        "ORDER BY table_schema, table_name",
        tuple(parameters),
    )
    return [
        (str(one), str(name), "view" if "VIEW" in str(kind).upper() else "table")
        for one, name, kind in cursor.fetchall()
        if str(one).lower() not in hidden
    ]


class InformationSchemaConnector[C: ConnectorConfig](SqlConnector[C]):
    """A database that has the standard's ``information_schema``."""

    hidden: ClassVar[tuple[str, ...]] = ("information_schema", "sys", "pg_catalog")
    catalog: ClassVar[str] = "information_schema"

    def schemas(self, cursor: Any) -> list[str]:
        return sorted({schema for schema, _, _ in self.tables(cursor, None)})

    def tables(self, cursor: Any, schema: str | None) -> list[tuple[str, str, str]]:
        return information_schema_tables(cursor, schema, self.hidden, self.placeholder)

    def columns(self, cursor: Any, schema: str, table: str) -> list[CatalogColumn]:
        cursor.execute(
            "SELECT column_name, data_type, is_nullable, numeric_precision, numeric_scale "
            f"FROM {self.catalog}.columns WHERE table_schema = {self.placeholder} "
            f"AND table_name = {self.placeholder} ORDER BY ordinal_position",
            (schema, table),
        )
        return [
            CatalogColumn(
                name=str(name),
                data_type=str(kind).lower(),
                declared=str(kind).lower(),
                nullable=str(nullable).upper() == "YES",
                precision=None if precision is None else int(precision),
                scale=None if scale is None else int(scale),
            )
            for name, kind, nullable, precision, scale in cursor.fetchall()
        ]
