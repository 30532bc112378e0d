"""PostgreSQL: source, destination and home of dbt models."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.egress.guard import EgressGuard
from datanika.engines.connectors.base import Connector, ConnectorConfig, Reading, secret
from datanika.engines.connectors.sql import first_rows

if TYPE_CHECKING:
    from datanika.contracts.ad_hoc import (
        IntrospectAction,
        IntrospectionResult,
        PreviewAction,
        RowsResult,
        SlotsAction,
        SlotsResult,
    )
    from datanika.engines.dlt_engine.cdc.load import CdcLoad
    from datanika.engines.dlt_engine.move import MoveFromStaging
    from datanika.engines.dlt_engine.sources.base import SourceTable
    from datanika.engines.dlt_engine.table_load import TableLoad
    from datanika.engines.warehouse.base import Warehouse, WriterId

# libpq reads "host" as a socket folder, a list or a service, and "dbname" as a whole connection
# string. Names that it could read so are refused: a connection is these fields and nothing else.
_HOST = (
    r"^([A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?"
    r"|[0-9A-Fa-f]{0,4}(:[0-9A-Fa-f.]{0,15}){2,8})$"
)
_NAME = r"^[^\x00-\x1f\x7f=/?#&%:@'\"\\{}]{1,63}$"

TRY_SECONDS = 5.0


class PostgresConfig(ConnectorConfig):
    host: str = Field(title="Host", pattern=_HOST, examples=["db.example.com"])
    port: int = Field(default=5432, title="Port", ge=1, le=65535)
    database: str = Field(title="Database", pattern=_NAME)
    user: str = Field(title="User", pattern=_NAME)
    password: str = secret("Password")
    sslmode: Literal["disable", "prefer", "require", "verify-full"] = Field(
        default="prefer", title="TLS"
    )


class PostgresConnector(Connector[PostgresConfig]):
    kind = "postgres"
    title = "PostgreSQL"
    description = "A PostgreSQL database: read tables, load into schemas, build dbt models."
    config = PostgresConfig
    is_source = True
    is_destination = True
    supports_transform = True
    gives_changes = True
    takes_changes = True

    def test(self, connection: ResolvedConnection) -> None:
        from datanika.engines.warehouse.postgres import connect

        opened = connect(locate(connection), "datanika connection test")
        try:
            with opened.cursor() as cursor:
                cursor.execute("SELECT 1")
        finally:
            opened.close()

    def introspect(self, action: IntrospectAction, folder: Path) -> IntrospectionResult:
        from datanika.engines.ad_hoc.introspect_postgres import introspect_postgres

        return introspect_postgres(action)

    def preview(self, action: PreviewAction, folder: Path) -> RowsResult:
        sql = first_rows(action, action.schema_name or "public")
        return self.query(action.connection, sql, action.limit, folder)

    def query(
        self, connection: ResolvedConnection, sql: str, limit: int, folder: Path
    ) -> RowsResult:
        from datanika.engines.ad_hoc.read_only import PostgresReader

        with PostgresReader(connection) as reader:
            return reader.read(sql, limit)

    def slots(self, action: SlotsAction) -> SlotsResult:
        from datanika.engines.ad_hoc.slots import look_at_slots

        return look_at_slots(action)

    def open_table(self, reading: Reading) -> SourceTable:
        from datanika.engines.dlt_engine.sources.postgres import open_postgres

        return open_postgres(
            reading.connection,
            reading.table,
            reading.source_schema,
            reading.writer,
            reading.privacy,
        )

    def loader(self, source: ResolvedConnection) -> type[TableLoad]:
        from datanika.engines.dlt_engine.direct.postgres_load import PostgresLoad

        return PostgresLoad

    def changes_loader(self) -> type[CdcLoad]:
        from datanika.engines.dlt_engine.cdc.postgres_load import CdcPostgresLoad

        return CdcPostgresLoad

    def open_warehouse(self, connection: ResolvedConnection, writer: WriterId) -> Warehouse:
        from datanika.engines.warehouse.postgres import PostgresWarehouse

        return PostgresWarehouse(connection, writer)

    def destination(
        self,
        connection: ResolvedConnection,
        writer: WriterId,
        warehouse: Warehouse,
        move: MoveFromStaging,
    ) -> Any:
        from datanika.engines.dlt_engine.destination import postgres_destination

        return postgres_destination(connection, writer, warehouse, move)


POSTGRES = PostgresConnector()


@dataclass(frozen=True)
class PostgresTarget:
    """A database that may be connected to, at ``address`` and at no other.

    The address goes to libpq as ``hostaddr``; the host stays what certificates are checked for.
    """

    config: PostgresConfig
    address: str
    privileged_roles: bool = False


def locate(connection: ResolvedConnection) -> PostgresTarget:
    """Where ``connection`` leads now, judged by its egress policy.

    Raises :class:`TerminalStepError` for a bad field, :class:`EgressRefused`, and OSError for a
    name without an address.
    """
    config: PostgresConfig = POSTGRES.parse(connection)
    addresses = EgressGuard(connection.egress).check(config.host, config.port, config.database)
    return PostgresTarget(
        config, _answering(addresses, config.port), connection.egress.privileged_roles
    )


def _answering(addresses: tuple[str, ...], port: int) -> str:
    """The first of several addresses that takes a connection, as libpq would try a name's."""
    for address in addresses[:-1]:
        with contextlib.suppress(OSError):
            socket.create_connection((address, port), timeout=TRY_SECONDS).close()
            return address
    return addresses[-1]
