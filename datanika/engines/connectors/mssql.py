"""Microsoft SQL Server, and Azure Synapse, through pymssql."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.egress.guard import EgressGuard
from datanika.engines.connectors.base import ConnectorConfig, secret
from datanika.engines.connectors.hosts import HOST, NAME, driver
from datanika.engines.connectors.sql import (
    CONNECT_SECONDS,
    CatalogColumn,
    InformationSchemaConnector,
)
from datanika.errors import TerminalStepError

if TYPE_CHECKING:
    from datanika.contracts.ad_hoc import RowsResult
    from datanika.engines.dlt_engine.sources.sql_rows import Travel

_TEXTS = ("char", "varchar", "text", "nchar", "nvarchar", "ntext")
_BYTES = ("binary", "varbinary", "image", "timestamp", "rowversion")
# https://learn.microsoft.com/sql/relational-databases/errors-events/database-engine-events-and-errors
_CAUSES = {
    18456: "authentication_failed", 18452: "authentication_failed", 4060: "database_missing",
    208: "table_missing", 207: "column_missing", 229: "permission_denied", 230: "permission_denied",
    1205: "destination_locked", 1222: "destination_locked", 102: "sql_invalid", 156: "sql_invalid",
    20002: "host_unreachable", 20009: "host_unreachable", 20003: "query_timeout",
    20047: "connection_lost", 40501: "server_busy", 10928: "server_busy",
}  # fmt: skip


class MssqlConfig(ConnectorConfig):
    host: str = Field(title="Host", pattern=HOST, examples=["db.example.com"])
    port: int = Field(default=1433, title="Port", ge=1, le=65535)
    database: str = Field(title="Database", pattern=NAME)
    user: str = Field(
        title="User", description="On Azure user@server.", pattern=r"^[^\x00-\x1f\x7f;]{1,128}$"
    )
    password: str = secret("Password")
    encryption: Literal["off", "request", "require"] = Field(
        default="require", title="Encryption", description="Certificates are not checked."
    )


class MssqlConnector(InformationSchemaConnector[MssqlConfig]):
    kind = "mssql"
    title = "Microsoft SQL Server"
    description = "Tables and views of a SQL Server database."
    config = MssqlConfig
    quotes = ("[", "]")
    supports_transform = True
    verified_live = False
    docs = (
        "A table is `table` of `dbo`, or `schema.table`. Times keep microseconds of their seven "
        "digits; `datetimeoffset` becomes a moment in UTC; `money` `numeric(19,4)`; `xml`, "
        "`uniqueidentifier` and `sql_variant` text. There are no queries: T-SQL has no transaction "
        "that only reads."
    )

    @contextmanager
    def connect(
        self, connection: ResolvedConnection, seconds: float | None = None
    ) -> Iterator[Any]:
        pymssql = driver("pymssql", "mssql")
        config = self.parse(connection)
        # FreeTDS would resolve the name itself.
        address = EgressGuard(connection.egress).check(config.host, config.port)[0]
        opened = pymssql.connect(
            server=address,
            port=str(config.port),
            user=config.user,
            password=config.password,
            database=config.database,
            login_timeout=CONNECT_SECONDS,
            timeout=int(seconds or 0),
            charset="UTF-8",
            tds_version="7.4",
            appname="datanika",
            encryption=config.encryption,
        )
        try:
            yield opened
        finally:
            opened.rollback()
            opened.close()

    def query(
        self, connection: ResolvedConnection, sql: str, limit: int, folder: Any
    ) -> RowsResult:
        raise TerminalStepError(
            "SQL Server has no transaction that only reads, so queries are not run here.",
            code="query_not_supported",
            hint="Load the table, and query the destination.",
        )

    def limited(self, select: str, limit: int) -> str:
        return select.replace("SELECT ", f"SELECT TOP {limit} ", 1)

    def default_schema(self, config: MssqlConfig) -> str:
        return "dbo"

    def cause_of(self, error: Exception) -> str | None:
        number = error.args[0] if error.args else None
        if isinstance(number, tuple) and number:
            number = number[0]
        if not type(error).__module__.startswith("pymssql") or not isinstance(number, int):
            return None
        return _CAUSES.get(number, "sql_invalid")

    def travel(self, column: CatalogColumn, config: MssqlConfig) -> Travel:
        import pyarrow as pa

        from datanika.engines.connectors.mysql import shortest
        from datanika.engines.dlt_engine.sources.sql_rows import Travel

        kind = column.data_type
        if kind in ("tinyint", "smallint", "int", "bigint"):
            return Travel(pa.int64())
        if kind == "bit":
            return Travel(pa.bool_(), convert=bool)
        if kind in ("decimal", "numeric"):
            return Travel(pa.decimal128(column.precision or 18, column.scale or 0))
        if kind in ("money", "smallmoney"):
            return Travel(pa.decimal128(19, 4), "CAST({column} AS decimal(19,4))")
        if kind == "float":
            return Travel(pa.float64())
        if kind == "real":
            return Travel(pa.float64(), convert=shortest)
        if kind == "date":
            return Travel(pa.date32(), "CONVERT(varchar(10), {column}, 23)")
        if kind in ("datetime", "datetime2", "smalldatetime"):
            text = "CONVERT(varchar(27), CAST({column} AS datetime2), 121)"
            return Travel(pa.timestamp("us"), text, lambda value: value[:26])
        if kind == "datetimeoffset":
            text = "CONVERT(varchar(27), CAST(SWITCHOFFSET({column}, '+00:00') AS datetime2), 121)"
            return Travel(pa.timestamp("us", "UTC"), text, lambda value: value[:26] + "Z")
        if kind == "time":
            return Travel(pa.time64("us"), "CAST({column} AS varchar(16))", _time)
        if kind in _TEXTS:
            return Travel(pa.string())
        if kind in _BYTES:
            return Travel(pa.binary())
        note = f"{column.declared} is loaded as text."
        if kind in ("geometry", "geography", "hierarchyid"):
            return Travel(pa.string(), "{column}.ToString()", note=note)
        return Travel(pa.string(), "CAST({column} AS nvarchar(max))", note=note)


def _time(text: str) -> dt.time:
    """Microseconds of seven digits."""
    return dt.time.fromisoformat(text[:15])


class SynapseConnector(MssqlConnector):
    kind = "synapse"
    title = "Azure Synapse"
    description = "Tables and views of a Synapse SQL pool."


MSSQL = MssqlConnector()
SYNAPSE = SynapseConnector()
