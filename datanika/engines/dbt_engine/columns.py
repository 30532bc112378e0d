"""The columns of what dbt has just built, from the warehouse itself."""

from __future__ import annotations

import contextlib
import threading
from types import TracebackType
from typing import Any, Self

from datanika.contracts.events import ColumnInfo
from datanika.contracts.steps import ResolvedTransform
from datanika.engines.dbt_engine.adapters import ADAPTERS
from datanika.engines.warehouse import Warehouse, WriterId, open_warehouse

_QUERY = (
    "SELECT column_name, data_type, is_nullable FROM information_schema.columns "
    "WHERE table_catalog = current_database() AND table_schema = ? AND table_name = ? "
    "ORDER BY ordinal_position"
)


class ColumnReader:
    """Asks beside dbt, one node at a time; dbt's threads share it.

    PostgreSQL gets a session of its own, which also ends the sessions of earlier attempts. A
    DuckDB file can be open only once in a process, so dbt's own connection is asked. Other kinds
    are asked as they are when somebody looks into the connection.
    """

    def __init__(self, step: ResolvedTransform) -> None:
        self._lock = threading.Lock()
        self._is_duckdb = step.destination.kind == "duckdb"
        self._step = step
        self._asks_catalog = step.destination.kind in ADAPTERS
        self._warehouse: Warehouse | None = None
        if not self._asks_catalog:
            self._warehouse = open_warehouse(step.destination, WriterId(step.run_id, step.attempt))
        self.session_options = self._warehouse.session_options if self._warehouse else ""
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        if self._warehouse is not None:
            if self._is_duckdb:
                # It was opened to wait for other runs to let go of the file.
                self._warehouse.close()
                self._warehouse = None
            else:
                self._stack.callback(self._warehouse.close)
                self._stack.enter_context(self._warehouse.lock([]))
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def read(self, schema: str, table: str) -> tuple[ColumnInfo, ...]:
        """The columns of a relation; none when it does not exist."""
        with self._lock:
            if self._warehouse is not None:
                return self._warehouse.columns([(schema, table)]).get((schema, table), ())
            if self._asks_catalog:
                return self._from_catalog(schema, table)
            return self._from_dbt(schema, table)

    def _from_catalog(self, schema: str, table: str) -> tuple[ColumnInfo, ...]:
        from datanika.engines.connectors.registry import connector_of
        from datanika.engines.connectors.sql import SqlConnector

        connector = connector_of(self._step.destination)
        assert isinstance(connector, SqlConnector)
        return tuple(
            ColumnInfo(name=one.name, data_type=one.declared, nullable=one.nullable)
            for one in connector.columns_of(self._step.destination, schema, table)
        )

    def _from_dbt(self, schema: str, table: str) -> tuple[ColumnInfo, ...]:
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager

        environment: Any = DuckDBConnectionManager._ENV
        if environment is None or environment.conn is None:
            return ()
        cursor = environment.conn.cursor()
        try:
            rows = cursor.execute(_QUERY, [schema, table]).fetchall()
        finally:
            cursor.close()
        return tuple(
            ColumnInfo(name=name, data_type=kind, nullable=nullable == "YES")
            for name, kind, nullable in rows
        )
