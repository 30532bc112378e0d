"""Databricks SQL warehouses through databricks-sql-connector."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import ConnectorConfig, secret
from datanika.engines.connectors.hosts import HOST, NAME, driver, judged_names
from datanika.engines.connectors.sql import CatalogColumn, InformationSchemaConnector
from datanika.engines.connectors.warehouses import common_travel

if TYPE_CHECKING:
    from datanika.engines.dlt_engine.sources.sql_rows import Travel


class DatabricksConfig(ConnectorConfig):
    host: str = Field(title="Host", pattern=HOST, examples=["adb-1.2.azuredatabricks.net"])
    http_path: str = Field(
        title="HTTP path", pattern=r"^/[A-Za-z0-9./_-]{1,200}$", examples=["/sql/1.0/warehouses/a1"]
    )
    catalog: str = Field(default="main", title="Catalog", pattern=NAME)
    token: str = secret("Access token")


class DatabricksConnector(InformationSchemaConnector[DatabricksConfig]):
    kind = "databricks"
    title = "Databricks"
    description = "Tables and views of a Unity Catalog."
    config = DatabricksConfig
    quotes = ("`", "`")
    placeholder = "?"
    supports_transform = True
    verified_live = False
    runs_scripts = True
    docs = (
        "A table is `table` of `default`, or `schema.table`. Arrays, maps, structs and variants "
        "become JSON; a `timestamp` is a moment in UTC; `float` text."
    )

    @contextmanager
    def connect(
        self, connection: ResolvedConnection, seconds: float | None = None
    ) -> Iterator[Any]:
        sql = driver("databricks.sql", "databricks")
        config = self.parse(connection)
        session = {"timezone": "UTC"}
        if seconds is not None:
            session["statement_timeout"] = str(int(seconds))
        with judged_names(connection.egress):
            opened = sql.connect(
                server_hostname=config.host,
                http_path=config.http_path,
                access_token=config.token,
                catalog=config.catalog,
                session_configuration=session,
                user_agent_entry="datanika",
            )
            try:
                yield opened
            finally:
                opened.close()

    def default_schema(self, config: DatabricksConfig) -> str:
        return "default"

    def travel(self, column: CatalogColumn, config: DatabricksConfig) -> Travel:
        import pyarrow as pa

        from datanika.engines.dlt_engine.sources.sql_rows import Travel

        kind = column.data_type.partition("<")[0]
        if kind in ("array", "map", "struct", "variant"):
            return Travel(pa.string(), "to_json({column})", is_json=True)
        if kind == "timestamp":
            return Travel(pa.timestamp("us", "UTC"))
        if kind == "float":
            return Travel(pa.string(), "CAST({column} AS STRING)", note="float is loaded as text.")
        return common_travel(column, "CAST({column} AS STRING)")


DATABRICKS = DatabricksConnector()
