"""What an engine asks a destination besides loading and building: locks, counts, columns."""

from __future__ import annotations

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.warehouse.base import Warehouse, WriterId
from datanika.errors import TerminalStepError

__all__ = ["Warehouse", "WriterId", "open_warehouse"]


def open_warehouse(connection: ResolvedConnection, writer: WriterId) -> Warehouse:
    """The destination of a step; raises :class:`TerminalStepError` for a kind without one."""
    if connection.kind == "postgres":
        from datanika.engines.warehouse.postgres import PostgresWarehouse

        return PostgresWarehouse(connection, writer)
    if connection.kind == "duckdb":
        from datanika.engines.warehouse.duckdb import DuckdbWarehouse

        return DuckdbWarehouse(connection)
    raise TerminalStepError(
        f"Connection {connection.name!r} of kind {connection.kind!r} cannot be a destination.",
        code="connection_kind_unfit",
    )
