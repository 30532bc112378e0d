"""MySQL and MariaDB through PyMySQL: what the server writes, read as text and cast by arrow."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.egress.guard import EgressGuard
from datanika.engines.connectors.base import ConnectorConfig, secret
from datanika.engines.connectors.hosts import HOST, NAME, dial
from datanika.engines.connectors.sql import (
    CONNECT_SECONDS,
    CatalogColumn,
    SqlConnector,
    check_reads,
    information_schema_tables,
)
from datanika.errors import TerminalStepError

if TYPE_CHECKING:
    from datanika.contracts.ad_hoc import RowsResult
    from datanika.engines.dlt_engine.sources.sql_rows import Travel

HIDDEN = ("information_schema", "mysql", "performance_schema", "sys")
_INTEGERS = ("tinyint", "smallint", "mediumint", "int", "integer", "bigint", "year")
_TEXTS = ("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set")
_BYTES = ("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob")
_SHAPES = ("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring",
           "multipolygon", "geometrycollection", "geomcollection")  # fmt: skip
# https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html
_CAUSES = {
    1040: "server_busy", 1044: "permission_denied", 1045: "authentication_failed",
    1049: "database_missing", 1054: "column_missing", 1064: "sql_invalid",
    1142: "permission_denied", 1143: "permission_denied", 1146: "table_missing",
    1205: "destination_locked", 1213: "destination_locked", 1227: "permission_denied",
    1317: "query_timeout", 1370: "permission_denied", 1698: "authentication_failed",
    1792: "not_read_only", 1969: "query_timeout", 2003: "host_unreachable",
    2006: "connection_lost", 2013: "connection_lost", 2026: "tls_failed", 3024: "query_timeout",
    3159: "tls_failed",
}  # fmt: skip


class MysqlConfig(ConnectorConfig):
    host: str = Field(title="Host", pattern=HOST, examples=["db.example.com"])
    port: int = Field(default=3306, title="Port", ge=1, le=65535)
    database: str = Field(title="Database", pattern=NAME)
    user: str = Field(title="User", pattern=NAME)
    password: str = secret("Password")
    tls: Literal["disable", "require", "verify-full"] = Field(default="require", title="TLS")
    zero_dates: Literal["error", "null"] = Field(
        default="error",
        title="Dates like 0000-00-00",
        description="They are no dates: the load fails and names the column, or they become NULL.",
    )


class MysqlConnector(SqlConnector[MysqlConfig]):
    kind = "mysql"
    title = "MySQL and MariaDB"
    description = "Tables and views of a MySQL or MariaDB server."
    config = MysqlConfig
    quotes = ("`", "`")
    docs = (
        "A table is `table` of the connection's database, or `database.table`. Integers, decimals "
        "up to 38 digits, doubles, dates, `datetime`, `timestamp` (as UTC), text and binary arrive "
        "as they are; an empty string stays one. `bigint unsigned` and `bit(64)` become "
        "`numeric(20,0)`, smaller `bit` an integer, `time` text (it may exceed 24 hours), `float` "
        "a double with the same decimal digits, geometry WKB bytes, and longer decimals text."
    )

    @contextmanager
    def connect(
        self, connection: ResolvedConnection, seconds: float | None = None
    ) -> Iterator[Any]:
        config = self.parse(connection)
        sock = dial(EgressGuard(connection.egress), config.host, config.port, CONNECT_SECONDS)
        try:
            opened = _connect(config, sock, seconds)
        except BaseException:
            sock.close()
            raise
        try:
            with opened.cursor() as cursor:
                cursor.execute("SET SESSION time_zone = '+00:00'")
                if seconds is not None:
                    _limit_time(cursor, seconds)
                cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            yield opened
        finally:
            # Not quit(): an answer that was not read to its end would have to be.
            opened._force_close()

    def stream(self, connection: Any) -> Any:
        from pymysql.cursors import SSCursor

        return _Abandoned(SSCursor(connection))

    def query(
        self, connection: ResolvedConnection, sql: str, limit: int, folder: Any
    ) -> RowsResult:
        check_reads(sql)
        bare = re.sub(r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"|`[^`]*`", "''", sql)
        if re.search(r"\binto\b", bare, re.IGNORECASE):
            # A file of the server, for a user with FILE; a read-only transaction lets it.
            check_reads("into")
        return self._rows(connection, sql, limit)

    def schemas(self, cursor: Any) -> list[str]:
        cursor.execute("SELECT schema_name FROM information_schema.schemata ORDER BY schema_name")
        return [name for (name,) in cursor.fetchall() if name not in HIDDEN]

    def tables(self, cursor: Any, schema: str | None) -> list[tuple[str, str, str]]:
        return information_schema_tables(cursor, schema, HIDDEN)

    def columns(self, cursor: Any, schema: str, table: str) -> list[CatalogColumn]:
        cursor.execute(
            "SELECT column_name, data_type, column_type, is_nullable, numeric_precision, "
            "numeric_scale, column_key FROM information_schema.columns "
            "WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
            (schema, table),
        )
        return [
            CatalogColumn(
                name=name,
                data_type=kind.lower(),
                declared=declared,
                nullable=nullable == "YES",
                precision=None if precision is None else int(precision),
                scale=None if scale is None else int(scale),
                is_key=key == "PRI",
            )
            for name, kind, declared, nullable, precision, scale, key in cursor.fetchall()
        ]

    def default_schema(self, config: MysqlConfig) -> str:
        return config.database

    def cause_of(self, error: Exception) -> str | None:
        number = error.args[0] if error.args else None
        if not type(error).__module__.startswith("pymysql") or not isinstance(number, int):
            return None
        return _CAUSES.get(number, "sql_invalid" if number >= 1000 else None)

    def type_name(self, code: Any) -> str:
        from pymysql.constants import FIELD_TYPE

        names = (name for name, value in vars(FIELD_TYPE).items() if value == code)
        return next((name.lower() for name in names if name.isupper()), str(code))

    def travel(self, column: CatalogColumn, config: MysqlConfig) -> Travel:
        import pyarrow as pa

        from datanika.engines.dlt_engine.sources.sql_rows import Travel

        kind, unsigned = column.data_type, "unsigned" in column.declared
        precision, scale = column.precision or 0, column.scale or 0
        no_zero = _without_zero_dates if config.zero_dates == "null" else None
        if kind == "bigint" and unsigned:
            return Travel(pa.decimal128(20, 0), note="bigint unsigned is loaded as numeric(20,0).")
        if kind in _INTEGERS:
            return Travel(pa.int64())
        if kind == "decimal" and precision <= 38:
            return Travel(pa.decimal128(precision, scale))
        if kind == "double":
            return Travel(pa.float64())
        if kind == "float":
            # As text it has six digits only; as a double the digits of a binary fraction.
            return Travel(pa.float64(), "{column} + 0e0", shortest)
        if kind == "date":
            return Travel(pa.date32(), convert=no_zero)
        if kind == "datetime":
            return Travel(pa.timestamp("us"), convert=no_zero)
        if kind == "timestamp":
            return Travel(pa.timestamp("us", "UTC"), "CONCAT({column}, 'Z')", no_zero)
        if kind == "bit":
            wide = precision > 63
            return Travel(
                pa.decimal128(20, 0) if wide else pa.int64(), "CAST({column} AS UNSIGNED)"
            )
        if kind == "json":
            return Travel(pa.string(), is_json=True)
        if kind in _TEXTS:
            return Travel(pa.string())
        if kind in _BYTES:
            return Travel(pa.binary())
        if kind in _SHAPES:
            note = f"{kind} is loaded as WKB bytes, without its SRID."
            return Travel(pa.binary(), "ST_AsWKB({column})", note=note)
        return Travel(
            pa.string(), "CAST({column} AS CHAR)", note=f"{column.declared} is loaded as text."
        )


MYSQL = MysqlConnector()


class _Abandoned:
    """A streaming cursor that may be left before its last row: its connection ends with it."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def close(self) -> None:
        # PyMySQL would read all that is left.
        if (result := self._cursor._result) is not None:
            result.unbuffered_active = False
        self._cursor.connection = None


def _connect(config: MysqlConfig, sock: socket.socket, seconds: float | None) -> Any:
    import ssl

    import pymysql
    from pymysql.constants import FIELD_TYPE
    from pymysql.converters import encoders

    tls: dict[str, Any] = {"ssl_disabled": True}
    if config.tls != "disable":
        context = ssl.create_default_context()
        if config.tls == "require":
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        tls = {"ssl": context}
    numbers = ("TINY", "SHORT", "LONG", "INT24", "LONGLONG", "YEAR")
    exact: dict[Any, Any] = {getattr(FIELD_TYPE, name): int for name in numbers}
    opened = pymysql.Connection(
        host=config.host,
        port=config.port,
        user=config.user,
        password=config.password,
        database=config.database,
        charset="utf8mb4",
        conv=encoders | exact | {FIELD_TYPE.DOUBLE: float},
        read_timeout=None if seconds is None else seconds + 5,
        connect_timeout=CONNECT_SECONDS,
        local_infile=False,
        defer_connect=True,
        **tls,
    )
    opened.connect(sock)
    if config.tls != "disable" and not isinstance(opened._sock, ssl.SSLSocket):
        opened._force_close()
        raise TerminalStepError(
            "The server offers no TLS.",
            code="tls_failed",
            hint="Switch it on there, or set the connection's TLS to disable.",
        )
    return opened


def _limit_time(cursor: Any, seconds: float) -> None:
    import pymysql

    # MySQL counts milliseconds, MariaDB seconds, and neither knows the other's name.
    for setting in (
        f"max_execution_time = {int(seconds * 1000)}",
        f"max_statement_time = {seconds}",
    ):
        with contextlib.suppress(pymysql.Error):
            cursor.execute(f"SET SESSION {setting}")


def _without_zero_dates(text: str) -> str | None:
    """MySQL's own dates with a zero year, month or day."""
    return None if text.startswith("0000") or "-00" in text[4:10] else text


def shortest(value: float) -> float:
    """The double with the digits that a 4-byte float needs."""
    import numpy as np

    return float(str(np.float32(value)))
