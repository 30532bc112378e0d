"""DuckDB: one database file in the organisation's warehouse folder."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import Connector, ConnectorConfig
from datanika.engines.connectors.paths import inside

FOLDER = "warehouse"


class DuckdbConfig(ConnectorConfig):
    path: str = Field(
        default="warehouse.duckdb",
        title="File",
        description="File in the organisation's warehouse folder.",
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,100}\.(duckdb|db)$",
    )


DUCKDB = Connector(
    kind="duckdb",
    title="DuckDB",
    description="A DuckDB file on the platform's own disk: small warehouses without a server.",
    config=DuckdbConfig,
    is_destination=True,
    supports_transform=True,
)


def database_path(connection: ResolvedConnection) -> Path:
    """The database file; its folder exists afterwards."""
    folder = inside(connection, FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    path = inside(connection, FOLDER, DUCKDB.parse(connection).path)
    return path
