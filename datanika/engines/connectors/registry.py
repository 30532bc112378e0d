"""Every connector, in the order people should see them."""

from __future__ import annotations

from typing import Any

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import Connector
from datanika.engines.connectors.duckdb import DUCKDB
from datanika.engines.connectors.files import FILES
from datanika.engines.connectors.mysql import MYSQL
from datanika.engines.connectors.postgres import POSTGRES
from datanika.engines.connectors.rest_api import REST_API
from datanika.engines.connectors.sqlite import SQLITE
from datanika.errors import TerminalStepError

CONNECTORS: dict[str, Connector[Any]] = {
    connector.kind: connector
    for connector in (
        POSTGRES,
        MYSQL,
        SQLITE,
        DUCKDB,
        FILES,
        REST_API,
    )
}


def connector_of(connection: ResolvedConnection) -> Connector[Any]:
    """The connector of a connection; raises :class:`TerminalStepError` for an unknown kind."""
    try:
        return CONNECTORS[connection.kind]
    except KeyError:
        raise TerminalStepError(
            f"Connection {connection.name!r} is of kind {connection.kind!r}, which this worker "
            "does not know.",
            code="unknown_connection_kind",
            hint="Update the worker.",
        ) from None
