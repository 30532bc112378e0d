"""Google BigQuery through its own client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import ConnectorConfig, secret
from datanika.engines.connectors.hosts import driver, judged_names
from datanika.engines.connectors.oauth import GOOGLE
from datanika.engines.connectors.sql import CatalogColumn, SqlConnector
from datanika.engines.connectors.warehouses import common_travel
from datanika.errors import TerminalStepError

if TYPE_CHECKING:
    from datanika.engines.dlt_engine.sources.sql_rows import Travel

_MAX_BYTES = 10 * 2**30
"""What a preview or a query may scan: BigQuery bills by it."""


class BigqueryConfig(ConnectorConfig):
    project: str = Field(title="Project", pattern=r"^[a-z][a-z0-9:.-]{4,60}[a-z0-9]$")
    dataset: str = Field(title="Dataset", pattern=r"^[A-Za-z0-9_]{1,1024}$")
    location: str = Field(default="EU", title="Location", pattern=r"^[A-Za-z0-9-]{2,40}$")
    service_account: str = secret("Service account key", "The JSON file that Google made.")


class BigqueryConnector(SqlConnector[BigqueryConfig]):
    kind = "bigquery"
    title = "BigQuery"
    description = "Tables and views of a BigQuery dataset."
    config = BigqueryConfig
    quotes = ("`", "`")
    supports_transform = True
    verified_live = False
    runs_scripts = True
    docs = (
        "A table is `table` of the connection's dataset, or `dataset.table`. Structs, arrays and "
        "JSON become JSON; `NUMERIC` is `numeric(38,9)`, `BIGNUMERIC` text; a `TIMESTAMP` is a "
        "moment in UTC. A query may scan 10 GiB."
    )

    @contextmanager
    def connect(
        self, connection: ResolvedConnection, seconds: float | None = None
    ) -> Iterator[Any]:
        bigquery = driver("google.cloud.bigquery", "bigquery")
        dbapi = driver("google.cloud.bigquery.dbapi", "bigquery")
        from google.oauth2 import service_account

        config = self.parse(connection)
        try:
            info = json.loads(config.service_account) | {"token_uri": GOOGLE}
            credentials = service_account.Credentials.from_service_account_info(info)
        except (ValueError, TypeError, KeyError):
            raise TerminalStepError(
                "The service account key is not one: it must be the JSON file that Google made.",
                code="connection_config_invalid",
                field="config.service_account",
            ) from None
        job = bigquery.QueryJobConfig()
        if seconds is not None:
            job.maximum_bytes_billed = _MAX_BYTES
            job.job_timeout_ms = int(seconds * 1000)
        with judged_names(connection.egress):
            client = bigquery.Client(
                project=config.project,
                credentials=credentials,
                location=config.location,
                default_query_job_config=job,
            )
            try:
                yield dbapi.connect(client=client, prefer_bqstorage_client=False)
            finally:
                client.close()

    def schemas(self, cursor: Any) -> list[str]:
        cursor.execute("SELECT schema_name FROM INFORMATION_SCHEMA.SCHEMATA ORDER BY 1")
        return [str(row[0]) for row in cursor.fetchall()]

    def tables(self, cursor: Any, schema: str | None) -> list[tuple[str, str, str]]:
        found = []
        for one in [schema] if schema is not None else self.schemas(cursor):
            cursor.execute(
                f"SELECT table_name, table_type FROM {self.quoted(one)}.INFORMATION_SCHEMA.TABLES "
                "ORDER BY 1"
            )
            found += [
                (one, str(name), "view" if "VIEW" in str(kind) else "table")
                for name, kind in cursor.fetchall()
            ]
        return found

    def columns(self, cursor: Any, schema: str, table: str) -> list[CatalogColumn]:
        cursor.execute(
            "SELECT column_name, data_type, is_nullable FROM "
            f"{self.quoted(schema)}.INFORMATION_SCHEMA.COLUMNS WHERE table_name = %s "
            "ORDER BY ordinal_position",
            (table,),
        )
        return [
            CatalogColumn(
                name=str(name), data_type=str(kind).lower(), declared=str(kind),
                nullable=nullable == "YES",
            )
            for name, kind, nullable in cursor.fetchall()
        ]  # fmt: skip

    def default_schema(self, config: BigqueryConfig) -> str:
        return config.dataset

    def cause_of(self, error: Exception) -> str | None:
        code = getattr(error, "code", None)
        if not type(error).__module__.startswith("google."):
            return None
        return {
            400: "sql_invalid", 401: "authentication_failed", 403: "permission_denied",
            404: "table_missing", 429: "server_busy",
        }.get(code if isinstance(code, int) else 0)  # fmt: skip

    def travel(self, column: CatalogColumn, config: BigqueryConfig) -> Travel:
        import pyarrow as pa

        from datanika.engines.dlt_engine.sources.sql_rows import Travel

        kind = column.data_type.partition("<")[0]
        if kind in ("struct", "array", "json"):
            return Travel(pa.string(), "TO_JSON_STRING({column})", is_json=True)
        if kind.partition("(")[0] == "numeric":
            return Travel(pa.decimal128(38, 9))
        if kind == "timestamp":
            return Travel(pa.timestamp("us", "UTC"))
        if kind == "time":
            return Travel(pa.time64("us"))
        return common_travel(column, "CAST({column} AS STRING)")


BIGQUERY = BigqueryConnector()
