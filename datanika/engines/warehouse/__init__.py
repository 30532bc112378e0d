"""What an engine asks a destination besides loading and building: locks, counts, columns."""

from __future__ import annotations

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.warehouse.base import Warehouse, WriterId

__all__ = ["Warehouse", "WriterId", "open_warehouse"]


def open_warehouse(connection: ResolvedConnection, writer: WriterId) -> Warehouse:
    """The destination of a step; raises :class:`TerminalStepError` for a kind without one."""
    from datanika.engines.connectors.registry import connector_of

    return connector_of(connection).open_warehouse(connection, writer)
