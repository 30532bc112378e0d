"""DuckDB: one database file in the organisation's warehouse folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import Connector, ConnectorConfig
from datanika.engines.connectors.paths import inside
from datanika.engines.connectors.sql import first_rows

if TYPE_CHECKING:
    from datanika.contracts.ad_hoc import (
        IntrospectAction,
        IntrospectionResult,
        PreviewAction,
        RowsResult,
    )
    from datanika.engines.dlt_engine.cdc.load import CdcLoad
    from datanika.engines.dlt_engine.move import MoveFromStaging
    from datanika.engines.dlt_engine.table_load import TableLoad
    from datanika.engines.warehouse.base import Warehouse, WriterId

FOLDER = "warehouse"


class DuckdbConfig(ConnectorConfig):
    path: str = Field(
        default="warehouse.duckdb",
        title="File",
        description="File in the organisation's warehouse folder.",
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,100}\.(duckdb|db)$",
    )


class DuckdbConnector(Connector[DuckdbConfig]):
    kind = "duckdb"
    title = "DuckDB"
    description = "A DuckDB file on the platform's own disk: small warehouses without a server."
    config = DuckdbConfig
    is_destination = True
    supports_transform = True
    takes_changes = True

    def test(self, connection: ResolvedConnection) -> None:
        from datanika.engines.warehouse.duckdb import DuckdbWarehouse

        DuckdbWarehouse(connection).close()

    def introspect(self, action: IntrospectAction, folder: Path) -> IntrospectionResult:
        from datanika.engines.ad_hoc.introspect_duckdb import introspect_duckdb

        return introspect_duckdb(action, folder)

    def preview(self, action: PreviewAction, folder: Path) -> RowsResult:
        sql = first_rows(action, action.schema_name or "main")
        return self.query(action.connection, sql, action.limit, folder)

    def query(
        self, connection: ResolvedConnection, sql: str, limit: int, folder: Path
    ) -> RowsResult:
        from datanika.engines.ad_hoc.read_only import DuckdbReader

        with DuckdbReader(connection, folder) as reader:
            return reader.read(sql, limit)

    def loader(self, source: ResolvedConnection) -> type[TableLoad]:
        if source.kind != "postgres":
            return super().loader(source)
        from datanika.engines.dlt_engine.direct.duckdb_load import DuckdbLoad

        return DuckdbLoad

    def changes_loader(self) -> type[CdcLoad]:
        from datanika.engines.dlt_engine.cdc.duckdb_load import CdcDuckdbLoad

        return CdcDuckdbLoad

    def open_warehouse(self, connection: ResolvedConnection, writer: WriterId) -> Warehouse:
        from datanika.engines.warehouse.duckdb import DuckdbWarehouse

        return DuckdbWarehouse(connection)

    def destination(
        self,
        connection: ResolvedConnection,
        writer: WriterId,
        warehouse: Warehouse,
        move: MoveFromStaging,
    ) -> Any:
        from datanika.engines.dlt_engine.destination import duckdb_destination

        return duckdb_destination(warehouse, move)


DUCKDB = DuckdbConnector()


def database_path(connection: ResolvedConnection) -> Path:
    """The database file; its folder exists afterwards."""
    folder = inside(connection, FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    path = inside(connection, FOLDER, DUCKDB.parse(connection).path)
    return path
