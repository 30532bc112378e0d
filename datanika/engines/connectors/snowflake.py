"""Snowflake through its own connector."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import ConnectorConfig, secret
from datanika.engines.connectors.hosts import NAME, driver, judged_names
from datanika.engines.connectors.sql import (
    CONNECT_SECONDS,
    CatalogColumn,
    InformationSchemaConnector,
)
from datanika.engines.connectors.warehouses import common_travel

if TYPE_CHECKING:
    from datanika.engines.dlt_engine.sources.sql_rows import Travel


class SnowflakeConfig(ConnectorConfig):
    account: str = Field(
        title="Account", description="Such as myorg-account1.", pattern=r"^[A-Za-z0-9_.-]{3,100}$"
    )
    user: str = Field(title="User", pattern=NAME)
    password: str = secret("Password", "Or a programmatic access token.")
    database: str = Field(title="Database", pattern=NAME)
    warehouse: str | None = Field(default=None, title="Warehouse", pattern=NAME)
    role: str | None = Field(default=None, title="Role", pattern=NAME)


class SnowflakeConnector(InformationSchemaConnector[SnowflakeConfig]):
    kind = "snowflake"
    title = "Snowflake"
    description = "Tables and views of a Snowflake database."
    config = SnowflakeConfig
    supports_transform = True
    verified_live = False
    runs_scripts = True
    hidden = ("information_schema",)
    docs = (
        "A table is `TABLE` of `PUBLIC`, or `SCHEMA.TABLE`, in upper case unless it was quoted. "
        "`VARIANT`, `OBJECT` and `ARRAY` become JSON; times of day text; times with a zone moments "
        "in UTC."
    )

    @contextmanager
    def connect(
        self, connection: ResolvedConnection, seconds: float | None = None
    ) -> Iterator[Any]:
        snowflake = driver("snowflake.connector", "snowflake")
        config = self.parse(connection)
        with judged_names(connection.egress):
            opened = snowflake.connect(
                account=config.account,
                user=config.user,
                password=config.password,
                database=config.database,
                warehouse=config.warehouse,
                role=config.role,
                login_timeout=CONNECT_SECONDS,
                session_parameters={"TIMEZONE": "UTC", "QUERY_TAG": "datanika"}
                | ({"STATEMENT_TIMEOUT_IN_SECONDS": int(seconds)} if seconds else {}),
                client_session_keep_alive=False,
            )
            try:
                yield opened
            finally:
                opened.close()

    def default_schema(self, config: SnowflakeConfig) -> str:
        return "PUBLIC"

    def travel(self, column: CatalogColumn, config: SnowflakeConfig) -> Travel:
        import pyarrow as pa

        from datanika.engines.dlt_engine.sources.sql_rows import Travel

        if column.data_type in ("variant", "object", "array"):
            return Travel(pa.string(), "TO_JSON({column})", is_json=True)
        if column.data_type in ("timestamp_tz", "timestamp_ltz"):
            utc = "CONVERT_TIMEZONE('UTC', {column})"
            return Travel(pa.timestamp("us", "UTC"), utc)
        return common_travel(column, "TO_VARCHAR({column})")


SNOWFLAKE = SnowflakeConnector()
