"""Oracle Database through python-oracledb in its thin mode, without Oracle's client."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import ConnectorConfig, secret
from datanika.engines.connectors.hosts import HOST, NAME, driver, judged_names
from datanika.engines.connectors.sql import CONNECT_SECONDS, CatalogColumn, SqlConnector

if TYPE_CHECKING:
    from datanika.engines.dlt_engine.sources.sql_rows import Travel

_CAUSES = {
    942: "table_missing", 904: "column_missing", 1017: "authentication_failed",
    28000: "authentication_failed", 1031: "permission_denied", 1045: "permission_denied",
    1456: "not_read_only", 1013: "query_timeout", 3156: "query_timeout", 12514: "database_missing",
    60: "destination_locked", 54: "destination_locked", 900: "sql_invalid", 923: "sql_invalid",
    933: "sql_invalid", 936: "sql_invalid", 3113: "connection_lost", 3114: "connection_lost",
}  # fmt: skip
_DPY = {
    "DPY-6005": "host_unreachable", "DPY-6000": "host_unreachable", "DPY-4011": "connection_lost",
    "DPY-4024": "query_timeout", "DPY-6001": "database_missing", "DPY-6003": "database_missing",
}  # fmt: skip


class OracleConfig(ConnectorConfig):
    host: str = Field(title="Host", pattern=HOST, examples=["db.example.com"])
    port: int = Field(default=1521, title="Port", ge=1, le=65535)
    service_name: str = Field(title="Service", pattern=NAME, examples=["FREEPDB1"])
    user: str = Field(title="User", pattern=NAME)
    password: str = secret("Password")
    tls: bool = Field(default=False, title="TLS")


class OracleConnector(SqlConnector[OracleConfig]):
    kind = "oracle"
    title = "Oracle"
    description = "Tables and views of an Oracle database."
    config = OracleConfig
    placeholder = ":1"
    probe = "SELECT 1 FROM dual"
    verified_live = False
    docs = (
        "A table is `TABLE` of the user's schema, or `SCHEMA.TABLE`, in upper case unless it was "
        "quoted. `NUMBER(p,s)` keeps its size; `NUMBER` without one and `FLOAT` become text, "
        "which is exact; `DATE` is a timestamp; times with a zone become moments in UTC. An empty "
        "string is NULL in Oracle itself."
    )

    @contextmanager
    def connect(
        self, connection: ResolvedConnection, seconds: float | None = None
    ) -> Iterator[Any]:
        oracledb = driver("oracledb", "oracle")
        config = self.parse(connection)
        oracledb.defaults.fetch_lobs = False
        oracledb.defaults.fetch_decimals = True
        with judged_names(connection.egress):
            opened = oracledb.connect(
                user=config.user,
                password=config.password,
                host=config.host,
                port=config.port,
                service_name=config.service_name,
                protocol="tcps" if config.tls else "tcp",
                tcp_connect_timeout=CONNECT_SECONDS,
                # No tnsnames.ora and no wallet of the machine.
                config_dir="/nonexistent",
            )
            try:
                if seconds is not None:
                    opened.call_timeout = int(seconds * 1000)
                with opened.cursor() as cursor:
                    cursor.execute("ALTER SESSION SET TIME_ZONE = '+00:00'")
                    cursor.execute("SET TRANSACTION READ ONLY")
                yield opened
            finally:
                opened.close()

    def run(self, cursor: Any, select: str, where: str, parameters: list[Any]) -> None:
        for number in range(2, len(parameters) + 1):
            before, mark, after = where.rpartition(":1")
            where = f"{before}:{number}{after}" if mark else where
        cursor.execute(select + where, parameters)

    def limited(self, select: str, limit: int) -> str:
        return f"{select} FETCH FIRST {limit} ROWS ONLY"

    def schemas(self, cursor: Any) -> list[str]:
        return sorted({schema for schema, _, _ in self.tables(cursor, None)})

    def tables(self, cursor: Any, schema: str | None) -> list[tuple[str, str, str]]:
        cursor.execute(
            "SELECT o.owner, o.object_name, LOWER(o.object_type) FROM all_objects o "
            "JOIN all_users u ON u.username = o.owner WHERE u.oracle_maintained = 'N' "
            "AND o.object_type IN ('TABLE', 'VIEW') AND (:1 IS NULL OR o.owner = :1) "
            "ORDER BY 1, 2".replace(":1", ":owner"),
            owner=schema,
        )
        return list(cursor.fetchall())

    def columns(self, cursor: Any, schema: str, table: str) -> list[CatalogColumn]:
        cursor.execute(
            "SELECT column_name, data_type, nullable, data_precision, data_scale "
            "FROM all_tab_columns WHERE owner = :1 AND table_name = :2 ORDER BY column_id",
            [schema, table],
        )
        return [
            CatalogColumn(
                name=name,
                data_type=kind.lower(),
                declared=kind.lower(),
                nullable=nullable == "Y",
                precision=precision and int(precision),
                scale=None if scale is None else int(scale),
            )
            for name, kind, nullable, precision, scale in cursor.fetchall()
        ]

    def default_schema(self, config: OracleConfig) -> str:
        return config.user.upper()

    def cause_of(self, error: Exception) -> str | None:
        if not type(error).__module__.startswith("oracledb") or not error.args:
            return None
        detail = error.args[0]
        full = str(getattr(detail, "full_code", ""))
        if full in _DPY:
            return _DPY[full]
        return _CAUSES.get(int(getattr(detail, "code", 0) or 0), "sql_invalid")

    def type_name(self, code: Any) -> str:
        return str(getattr(code, "name", code)).removeprefix("DB_TYPE_").lower()

    def travel(self, column: CatalogColumn, config: OracleConfig) -> Travel:
        import pyarrow as pa

        from datanika.engines.connectors.mysql import shortest
        from datanika.engines.dlt_engine.sources.sql_rows import Travel

        kind, precision, scale = column.data_type, column.precision, column.scale
        note = f"{column.declared} is loaded as text."
        if kind == "number" and precision is not None and 0 <= (scale or 0) <= precision:
            if scale or precision > 18:
                return Travel(pa.decimal128(precision, scale or 0))
            return Travel(pa.int64(), convert=int)
        if kind in ("number", "float"):
            return Travel(pa.string(), "TO_CHAR({column}, 'TM9')", note=note)
        if kind == "binary_double":
            return Travel(pa.float64(), convert=float)
        if kind == "binary_float":
            return Travel(pa.float64(), convert=shortest)
        if kind == "date":
            return Travel(pa.timestamp("us"))
        if kind.startswith("timestamp"):
            if "time zone" in kind:
                utc = "SYS_EXTRACT_UTC({column})"
                return Travel(pa.timestamp("us", "UTC"), utc, lambda v: v.replace(tzinfo=dt.UTC))
            return Travel(pa.timestamp("us"))
        if kind in ("varchar2", "nvarchar2", "char", "nchar", "clob", "nclob", "long"):
            return Travel(pa.string())
        if kind in ("raw", "blob", "long raw"):
            return Travel(pa.binary())
        if kind == "json":
            text = "JSON_SERIALIZE({column} RETURNING CLOB)"
            return Travel(pa.string(), text, is_json=True)
        if kind == "xmltype":
            text = "XMLSERIALIZE(CONTENT {column} AS CLOB)"
            return Travel(pa.string(), text, note=note)
        return Travel(pa.string(), "TO_CHAR({column})", note=note)


ORACLE = OracleConnector()
