"""Amazon Redshift through psycopg2: it speaks PostgreSQL's protocol, with a catalog of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.egress.guard import EgressGuard
from datanika.engines.connectors.base import ConnectorConfig, secret
from datanika.engines.connectors.hosts import HOST, NAME
from datanika.engines.connectors.sql import (
    CONNECT_SECONDS,
    CatalogColumn,
    InformationSchemaConnector,
)
from datanika.engines.connectors.warehouses import common_travel

if TYPE_CHECKING:
    from datanika.engines.dlt_engine.sources.sql_rows import Travel


class RedshiftConfig(ConnectorConfig):
    host: str = Field(
        title="Host", pattern=HOST, examples=["my.abc.eu-west-1.redshift.amazonaws.com"]
    )
    port: int = Field(default=5439, title="Port", ge=1, le=65535)
    database: str = Field(title="Database", pattern=NAME)
    user: str = Field(title="User", pattern=NAME)
    password: str = secret("Password")


class RedshiftConnector(InformationSchemaConnector[RedshiftConfig]):
    kind = "redshift"
    title = "Amazon Redshift"
    description = "Tables and views of a Redshift cluster or workgroup."
    config = RedshiftConfig
    supports_transform = True
    verified_live = False
    runs_scripts = True
    hidden = ("information_schema", "pg_catalog", "pg_internal", "pg_automv")
    docs = (
        "A table is `table` of `public`, or `schema.table`. `real` becomes text; `super` JSON. "
        "Connections always use TLS."
    )

    @contextmanager
    def connect(
        self, connection: ResolvedConnection, seconds: float | None = None
    ) -> Iterator[Any]:
        import psycopg2

        config = self.parse(connection)
        address = EgressGuard(connection.egress).check(config.host, config.port)[0]
        opened = psycopg2.connect(
            host=config.host,
            hostaddr=address,
            port=config.port,
            dbname=config.database,
            user=config.user,
            password=config.password,
            sslmode="require",
            connect_timeout=CONNECT_SECONDS,
            application_name="datanika",
            passfile="/dev/null",
        )
        try:
            opened.set_session(readonly=True)
            if seconds is not None:
                with opened.cursor() as cursor:
                    cursor.execute(f"SET statement_timeout = {int(seconds * 1000)}")
            yield opened
        finally:
            opened.close()

    def stream(self, connection: Any) -> Any:
        return connection.cursor("datanika_rows")

    def default_schema(self, config: RedshiftConfig) -> str:
        return "public"

    def travel(self, column: CatalogColumn, config: RedshiftConfig) -> Travel:
        import pyarrow as pa

        from datanika.engines.dlt_engine.sources.sql_rows import Travel

        if column.data_type == "super":
            return Travel(pa.string(), "JSON_SERIALIZE({column})", is_json=True)
        return common_travel(column, "CAST({column} AS varchar)")


REDSHIFT = RedshiftConnector()
