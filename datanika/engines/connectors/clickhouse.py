"""ClickHouse over HTTP through clickhouse-connect."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import ConnectorConfig, secret
from datanika.engines.connectors.hosts import HOST, NAME, driver, judged_names
from datanika.engines.connectors.sql import CONNECT_SECONDS, CatalogColumn, SqlConnector

if TYPE_CHECKING:
    from datanika.engines.dlt_engine.sources.sql_rows import Travel

_SYSTEM = ("system", "INFORMATION_SCHEMA", "information_schema")
# https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp
_CAUSES = {
    60: "table_missing", 81: "database_missing", 47: "column_missing", 62: "sql_invalid",
    516: "authentication_failed", 192: "authentication_failed", 193: "authentication_failed",
    194: "authentication_failed", 497: "permission_denied", 164: "not_read_only",
    159: "query_timeout", 160: "query_timeout", 241: "out_of_memory", 202: "server_busy",
}  # fmt: skip


class ClickhouseConfig(ConnectorConfig):
    host: str = Field(title="Host", pattern=HOST, examples=["ch.example.com"])
    port: int = Field(default=8443, title="HTTP port", ge=1, le=65535)
    database: str = Field(default="default", title="Database", pattern=NAME)
    user: str = Field(default="default", title="User", pattern=NAME)
    password: str = secret("Password")
    tls: bool = Field(default=True, title="TLS")


class ClickhouseConnector(SqlConnector[ClickhouseConfig]):
    kind = "clickhouse"
    title = "ClickHouse"
    description = "Tables and views of a ClickHouse server."
    config = ClickhouseConfig
    quotes = ("`", "`")
    supports_transform = True
    verified_live = False
    docs = (
        "A table is `table` of the connection's database, or `database.table`. `UInt64` becomes "
        "`numeric(20,0)`; wider integers, decimals over 38 digits and `DateTime64` beyond "
        "microseconds become text; arrays, maps, tuples and JSON become JSON; `DateTime` is a "
        "moment in UTC."
    )

    @contextmanager
    def connect(
        self, connection: ResolvedConnection, seconds: float | None = None
    ) -> Iterator[Any]:
        clickhouse = driver("clickhouse_connect", "clickhouse")
        config = self.parse(connection)
        # 2: reading only, but the driver may set what its answer looks like.
        settings: dict[str, Any] = {"readonly": 2}
        if seconds is not None:
            settings["max_execution_time"] = seconds
        with judged_names(connection.egress):
            client = clickhouse.get_client(
                host=config.host,
                port=config.port,
                username=config.user,
                password=config.password,
                database=config.database,
                secure=config.tls,
                connect_timeout=CONNECT_SECONDS,
                settings=settings,
                autogenerate_session_id=False,
                tz_source="server",
            )
            try:
                yield Session(client)
            finally:
                client.close()

    def schemas(self, cursor: Any) -> list[str]:
        cursor.execute("SELECT name FROM system.databases ORDER BY name")
        return [name for (name,) in cursor.fetchall() if name not in _SYSTEM]

    def tables(self, cursor: Any, schema: str | None) -> list[tuple[str, str, str]]:
        sql = (
            "SELECT database, name, if(endsWith(engine, 'View'), 'view', 'table') "
            "FROM system.tables {} ORDER BY database, name"
        )
        if schema is None:
            cursor.execute(sql.format(""))
        else:
            cursor.execute(sql.format("WHERE database = %s"), (schema,))
        return [row for row in cursor.fetchall() if row[0] not in _SYSTEM]

    def columns(self, cursor: Any, schema: str, table: str) -> list[CatalogColumn]:
        cursor.execute(
            "SELECT name, type, is_in_primary_key FROM system.columns "
            "WHERE database = %s AND table = %s ORDER BY position",
            (schema, table),
        )
        found = []
        for name, declared, key in cursor.fetchall():
            kind = re.sub(r"^(LowCardinality\((.*)\))$", r"\2", declared)
            nullable = kind.startswith("Nullable(")
            kind = kind[9:-1] if nullable else kind
            found.append(
                CatalogColumn(
                    name=name,
                    data_type=kind,
                    declared=declared,
                    nullable=nullable,
                    is_key=bool(key),
                )
            )
        return found

    def default_schema(self, config: ClickhouseConfig) -> str:
        return config.database

    def cause_of(self, error: Exception) -> str | None:
        if not type(error).__module__.startswith("clickhouse_connect"):
            return None
        found = re.search(r"Code: (\d+)", str(error))
        return None if found is None else _CAUSES.get(int(found[1]), "sql_invalid")

    def travel(self, column: CatalogColumn, config: ClickhouseConfig) -> Travel:
        import pyarrow as pa

        from datanika.engines.connectors.mysql import shortest
        from datanika.engines.dlt_engine.sources.sql_rows import Travel

        kind, _, inside = column.data_type.rstrip(")").partition("(")
        note = f"{column.declared} is loaded as text."
        if kind in ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32"):
            return Travel(pa.int64())
        if kind == "UInt64":
            return Travel(pa.decimal128(20, 0), "toString({column})")
        if kind == "Bool":
            return Travel(pa.bool_())
        if kind == "Float64":
            return Travel(pa.float64())
        if kind == "Float32":
            return Travel(pa.float64(), convert=shortest)
        if kind == "Decimal":
            precision, scale = (int(part) for part in inside.split(","))
            if precision <= 38:
                return Travel(pa.decimal128(precision, scale), "toString({column})")
        if kind in ("Date", "Date32"):
            return Travel(pa.date32(), "toString({column})")
        if kind == "DateTime":
            text = "formatDateTime({column}, '%Y-%m-%dT%H:%i:%SZ', 'UTC')"
            return Travel(pa.timestamp("us", "UTC"), text)
        if kind == "DateTime64" and int(inside.partition(",")[0]) <= 6:
            text = "concat(toString(toTimeZone({column}, 'UTC')), 'Z')"
            return Travel(pa.timestamp("us", "UTC"), text)
        if kind == "String":
            return Travel(pa.string())
        if kind in ("Array", "Map", "Tuple", "Nested", "JSON", "Object", "Variant", "Dynamic"):
            return Travel(pa.string(), "toJSONString({column})", is_json=True)
        return Travel(pa.string(), "toString({column})", note=note)


CLICKHOUSE = ClickhouseConnector()


class Session:
    """The part of DB-API that is used here, with rows that stream: the driver's own keeps them."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def cursor(self) -> Cursor:
        return Cursor(self.client)


class Cursor:
    def __init__(self, client: Any) -> None:
        self._client = client
        self._stream: Any = None
        self._rows: Iterator[Sequence[Any]] = iter(())
        self.description: list[tuple[str, str]] = []

    def execute(self, sql: str, parameters: Sequence[Any] | None = None) -> None:
        given = [_bound(value) for value in parameters or ()] or None
        context = self._client.query_row_block_stream(sql, parameters=given)
        self._stream = context
        blocks = context.__enter__()
        source = context.source
        self.description = [
            (name, kind.name)
            for name, kind in zip(source.column_names, source.column_types, strict=True)
        ]
        self._rows = (row for block in blocks for row in block)

    def fetchmany(self, size: int) -> list[Sequence[Any]]:
        from itertools import islice

        return list(islice(self._rows, size))

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.__exit__(None, None, None)
            self._stream = None


def _bound(value: Any) -> Any:
    # The driver would write a moment without its fraction.
    return value.isoformat(" ") if isinstance(value, dt.datetime) else value
