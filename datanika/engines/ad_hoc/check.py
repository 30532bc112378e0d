"""Does a connection work? One small question to its other end."""

from __future__ import annotations

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.registry import connector_of


def check_connection(connection: ResolvedConnection) -> None:
    """Return, or raise what the driver or the connector raises."""
    connector = connector_of(connection)
    connector.parse(connection)
    connector.test(connection)
