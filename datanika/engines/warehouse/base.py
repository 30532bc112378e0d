"""The small protocol that destinations share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from datanika.contracts.events import ColumnInfo

Table = tuple[str, str]
"""(schema, table)"""

LOAD_ID = "_dlt_load_id"
LOADS_TABLE = "_dlt_loads"


def quoted(name: str) -> str:
    """``name`` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """``text`` as an SQL string, where a backslash stands for itself."""
    return "'" + text.replace("'", "''") + "'"


def qualified(table: Table) -> str:
    """``schema.table`` as SQL."""
    return f"{quoted(table[0])}.{quoted(table[1])}"


@dataclass(frozen=True)
class WriterId:
    """Who writes: one attempt of one run. A later attempt may end an earlier one."""

    run_id: int
    attempt: int

    @property
    def application_name(self) -> str:
        """How its sessions are called in a server's list of sessions.

        No character that a URI writes otherwise: dlt's copy of the URI turns a space into "+",
        which libpq takes as it is.
        """
        return f"datanika-run-{self.run_id}-attempt-{self.attempt}"


class Warehouse(ABC):
    """A connection of its own beside the engine's. Close it."""

    @abstractmethod
    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement, committed at once; placeholders are ``%s``."""

    def create(self, *statements: str) -> None:
        """Run statements that create what is not there yet.

        Of two sessions that create the same at once, PostgreSQL lets one fail, IF NOT EXISTS or
        not; once more, and it finds it.
        """
        for statement in statements:
            try:
                self.query(statement)
            except Exception:
                self.query(statement)

    @abstractmethod
    def lock(self, tables: Sequence[Table]) -> AbstractContextManager[None]:
        """Nobody else of the platform writes these tables meanwhile.

        Raises :class:`TransientStepError` ``destination_busy`` when another run holds one.
        """

    def name_of_sessions(self, writer: WriterId) -> str:
        """How the engine's own sessions are called that write under this warehouse's locks."""
        return writer.application_name

    @abstractmethod
    def close(self) -> None:
        """End the connection."""

    def columns(self, tables: Sequence[Table]) -> Mapping[Table, tuple[ColumnInfo, ...]]:
        """The columns of each of ``tables`` that exists, in their order, by one query."""
        if not tables:
            return {}
        wanted = ", ".join(["(%s, %s)"] * len(tables))
        rows = self.query(
            "SELECT table_schema, table_name, column_name, data_type, is_nullable "
            f"FROM information_schema.columns WHERE (table_schema, table_name) IN ({wanted}) "
            f"{self.current_database} ORDER BY table_schema, table_name, ordinal_position",
            [part for table in tables for part in table],
        )
        found: dict[Table, list[ColumnInfo]] = {}
        for schema, table, name, data_type, nullable in rows:
            info = ColumnInfo(name=name, data_type=data_type, nullable=nullable == "YES")
            found.setdefault((schema, table), []).append(info)
        return {table: tuple(columns) for table, columns in found.items()}

    session_options: str = ""
    """What engines add to libpq's ``options`` of their own sessions; PostgreSQL only."""

    current_database: str = ""
    """Condition that keeps other databases out of ``information_schema``."""

    row_address: str = "rowid"
    """The pseudo-column that tells a row from every other one of its table."""

    def row_hash(self, alias: str, columns: Sequence[str], table: str) -> str:
        """SQL: a text that is equal for equal rows of ``table`` (SQL) only, known as ``alias``."""
        raise NotImplementedError

    def exists(self, table: Table) -> bool:
        return table in self.columns([table])

    def count(self, table: Table, load_id: str | None = None) -> int:
        """Rows of ``table``; with ``load_id`` only those that this load brought."""
        where, parameters = (f" WHERE {LOAD_ID} = %s", [load_id]) if load_id else ("", [])
        return int(self.query(f"SELECT count(*) FROM {qualified(table)}{where}", parameters)[0][0])

    def sweep(self, table: Table) -> int:
        """Delete rows of loads that never completed; their number.

        A load that is killed between its commit and dlt's own entry in ``_dlt_loads`` leaves such
        rows. The next run loads them again, so they would be there twice.
        """
        schema = table[0]
        present = self.columns([table, (schema, LOADS_TABLE)])
        if table not in present or (schema, LOADS_TABLE) not in present:
            return 0
        if LOAD_ID not in {column.name for column in present[table]}:
            return 0
        orphans = (
            f"FROM {qualified(table)} WHERE {LOAD_ID} NOT IN "
            f"(SELECT load_id FROM {qualified((schema, LOADS_TABLE))} WHERE status = 0)"
        )
        count = int(self.query(f"SELECT count(*) {orphans}")[0][0])
        if count:
            self.query(f"DELETE {orphans}")
        return count
