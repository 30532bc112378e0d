"""Databases that do not run here: types, refusals and drivers by their documented interface."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from datanika.contracts.ad_hoc import ProbeAction, QueryAction
from datanika.contracts.catalog import connector_kind
from datanika.contracts.egress import EgressPolicy
from datanika.contracts.steps import ResolvedConnection
from datanika.engines.ad_hoc.perform import perform
from datanika.engines.connectors.registry import CONNECTORS
from datanika.engines.connectors.sql import CatalogColumn, SqlConnector
from datanika.engines.dlt_engine.sources.sql_rows import to_table
from datanika.engines.failures import failure_of
from tests.test_engines.saas_cases import service_account
from tests.test_engines.steps import LOCAL

LOGIN = {"host": "127.0.0.1", "port": 1, "database": "d", "user": "u", "password": "canary-pw"}
CONFIGS: dict[str, dict[str, Any]] = {
    "mssql": LOGIN,
    "synapse": LOGIN,
    "redshift": LOGIN,
    "clickhouse": LOGIN | {"tls": False},
    "oracle": {"host": "127.0.0.1", "port": 1, "service_name": "s", "user": "u", "password": "pw"},
    "snowflake": {"account": "a-b", "user": "u", "password": "pw", "database": "d"},
    "databricks": {"host": "127.0.0.1", "http_path": "/sql/1", "token": "t"},
    "bigquery": {"project": "my-project", "dataset": "d"},
}
DRIVERS = {
    "mssql": "pymssql", "synapse": "pymssql", "clickhouse": "clickhouse_connect",
    "oracle": "oracledb", "snowflake": "snowflake.connector", "databricks": "databricks.sql",
    "bigquery": "google.cloud.bigquery",
}  # fmt: skip


def connection(kind: str, egress: EgressPolicy = LOCAL) -> ResolvedConnection:
    config = dict(CONFIGS[kind])
    if kind == "bigquery":
        config["service_account"] = service_account()
    return ResolvedConnection(
        id=40, name=kind, kind=kind, config=config,
        secret_fields=connector_kind(kind).secret_fields, egress=egress,
    )  # fmt: skip


def column(kind: str, precision: int | None = None, scale: int | None = None) -> CatalogColumn:
    return CatalogColumn("c", kind, kind, True, precision, scale)


UTC, NAIVE = pa.timestamp("us", "UTC"), pa.timestamp("us")
MATRIX: list[tuple[str, CatalogColumn, Any, Any, Any]] = [
    # (kind, column, arrow type, what the driver gives, what is loaded)
    ("mssql", column("bigint"), pa.int64(), -(2**63), -(2**63)),
    ("mssql", column("decimal", 38, 4), pa.decimal128(38, 4), "0.1000", "0.1000"),
    ("mssql", column("money"), pa.decimal128(19, 4), "922337203685477.5807",
     "922337203685477.5807"),
    ("mssql", column("real"), pa.float64(), 0.10000000149011612, 0.1),
    ("mssql", column("datetime2"), NAIVE, "2024-02-29 23:59:59.1234567",
     dt.datetime(2024, 2, 29, 23, 59, 59, 123456)),
    ("mssql", column("datetimeoffset"), UTC, "2024-02-29 23:59:59.1234567",
     dt.datetime(2024, 2, 29, 23, 59, 59, 123456, dt.UTC)),
    ("mssql", column("time"), pa.time64("us"), "23:59:59.9999999", dt.time(23, 59, 59, 999999)),
    ("mssql", column("date"), pa.date32(), "0001-01-01", dt.date(1, 1, 1)),
    ("mssql", column("nvarchar"), pa.string(), "", ""),
    ("mssql", column("varbinary"), pa.binary(), b"", b""),
    ("mssql", column("uniqueidentifier"), pa.string(), "A-B", "A-B"),
    ("oracle", column("number", 10, 0), pa.int64(), 5, 5),
    ("oracle", column("number", 38, 10), pa.decimal128(38, 10), "0.1", "0.1000000000"),
    ("oracle", column("number"), pa.string(), "1E-130", "1E-130"),
    ("oracle", column("date"), NAIVE, dt.datetime(2024, 1, 1, 5), dt.datetime(2024, 1, 1, 5)),
    ("oracle", column("timestamp(6) with time zone"), UTC, dt.datetime(2024, 1, 1),
     dt.datetime(2024, 1, 1, tzinfo=dt.UTC)),
    ("clickhouse", column("UInt64"), pa.decimal128(20, 0), "18446744073709551615",
     "18446744073709551615"),
    ("clickhouse", column("Int256"), pa.string(), "1" * 70, "1" * 70),
    ("clickhouse", column("Decimal(38, 10)"), pa.decimal128(38, 10), "0.1", "0.1000000000"),
    ("clickhouse", column("Decimal(76, 10)"), pa.string(), "0.1", "0.1"),
    ("clickhouse", column("Float32"), pa.float64(), 0.10000000149011612, 0.1),
    ("clickhouse", column("DateTime('Europe/Berlin')"), UTC, "2024-01-01T00:00:00Z",
     dt.datetime(2024, 1, 1, tzinfo=dt.UTC)),
    ("clickhouse", column("DateTime64(3)"), UTC, "2024-01-01 00:00:00.123Z",
     dt.datetime(2024, 1, 1, 0, 0, 0, 123000, dt.UTC)),
    ("clickhouse", column("DateTime64(9)"), pa.string(), "x", "x"),
    ("clickhouse", column("Array(Int8)"), pa.string(), "[1]", "[1]"),
    ("redshift", column("numeric", 38, 37), pa.decimal128(38, 37), "0.1", "0.1" + "0" * 36),
    ("redshift", column("super"), pa.string(), "{}", "{}"),
    ("redshift", column("real"), pa.string(), "0.1", "0.1"),
    ("snowflake", column("number", 38, 0), pa.decimal128(38, 0), "9" * 38, "9" * 38),
    ("snowflake", column("timestamp_tz"), UTC, dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
     dt.datetime(2024, 1, 1, tzinfo=dt.UTC)),
    ("snowflake", column("variant"), pa.string(), "{}", "{}"),
    ("databricks", column("struct<a:int>"), pa.string(), "{}", "{}"),
    ("databricks", column("bigint"), pa.int64(), 2**62, 2**62),
    ("bigquery", column("numeric"), pa.decimal128(38, 9), "0.1", "0.100000000"),
    ("bigquery", column("array<string>"), pa.string(), "[]", "[]"),
    ("bigquery", column("bignumeric"), pa.string(), "0." + "1" * 38, "0." + "1" * 38),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "given", "arrow", "value", "loaded"), MATRIX)
def test_a_type_arrives_exactly_or_as_documented(
    kind: str, given: CatalogColumn, arrow: Any, value: Any, loaded: Any
) -> None:
    connector: Any = CONNECTORS[kind]
    travel = connector.travel(given, connector.parse(connection(kind)))
    assert travel.type == arrow
    assert "{column}" in travel.expression
    (got,) = to_table([(value,)], {"c": travel}).column("c").to_pylist()
    assert (str(got) if pa.types.is_decimal(arrow) else got) == loaded
    if arrow == pa.string() and given.data_type not in ("nvarchar",):
        assert travel.note or travel.is_json
    assert to_table([(None,)], {"c": travel}).column("c").to_pylist() == [None]


@pytest.mark.parametrize("kind", DRIVERS)
def test_a_missing_driver_is_said_with_its_extra(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, DRIVERS[kind], None)
    with pytest.raises(Exception) as caught:
        perform(ProbeAction(connection=connection(kind)), tmp_path)
    failure = failure_of(caught.value)
    assert failure.code == "connector_extra_missing"
    assert "datanika[" in str(failure.hint)


@pytest.mark.parametrize("kind", ["mssql", "redshift", "clickhouse", "oracle"])
def test_a_server_that_does_not_answer_is_said_and_egress_is_asked_first(
    kind: str, tmp_path: Path
) -> None:
    with pytest.raises(Exception) as caught:
        perform(ProbeAction(connection=connection(kind)), tmp_path)
    assert failure_of(caught.value).code == "host_unreachable"
    with pytest.raises(Exception) as caught:
        perform(ProbeAction(connection=connection(kind, EgressPolicy())), tmp_path)
    assert failure_of(caught.value).code == "egress_refused"


def test_every_kind_is_tried_here_or_on_a_real_server() -> None:
    kinds = {name for name, one in CONNECTORS.items() if isinstance(one, SqlConnector)}
    assert kinds - CONFIGS.keys() == {"mysql", "sqlite"}


@pytest.mark.parametrize(
    "kind", [name for name in CONFIGS if isinstance(CONNECTORS[name], SqlConnector)]
)
def test_a_statement_that_writes_never_reaches_a_server(kind: str, tmp_path: Path) -> None:
    for sql in ("DELETE FROM t", "BEGIN NULL; END;", "-- c\nDROP TABLE t", "/*! DROP TABLE t */"):
        with pytest.raises(Exception) as caught:
            perform(QueryAction(connection=connection(kind), sql=sql, limit=1), tmp_path)
        code = failure_of(caught.value).code
        assert code in ("query_not_read_only", "query_not_supported")
    connector: Any = CONNECTORS[kind]
    if connector.runs_scripts:
        script = QueryAction(connection=connection(kind), sql="SELECT 1; DROP TABLE t", limit=1)
        with pytest.raises(Exception) as caught:
            perform(script, tmp_path)
        assert failure_of(caught.value).code == "query_not_read_only"
