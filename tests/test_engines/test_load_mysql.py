"""MySQL's values arrive as they are, on a real MariaDB server."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from datanika.contracts.ad_hoc import IntrospectAction, PreviewAction, QueryAction
from datanika.contracts.steps import ResolvedConnection
from datanika.engines.ad_hoc.perform import perform
from datanika.errors import StepError
from tests.support.mariadb import MariaDb, installed, mariadb_server
from tests.test_engines.steps import APPEND, LOCAL, MERGE, REPLACE, duckdb, load, run, table
from tests.test_engines.targets import Target, ask_duckdb

pytestmark = pytest.mark.skipif(
    not installed(), reason="needs Debian's mariadb-server-core and mariadb-client"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDb]:
    with mariadb_server(tmp_path_factory.mktemp("mariadb")) as started:
        yield started


@pytest.fixture
def maria(server: MariaDb) -> MariaDb:
    server.run("DROP DATABASE shop", database=None)
    server.run("CREATE DATABASE shop CHARACTER SET utf8mb4", database=None)
    return server


def connection(server: MariaDb, **changes: Any) -> ResolvedConnection:
    return ResolvedConnection(
        id=5, name="maria", kind="mysql", config=server.config | changes,
        secret_fields=("password",), egress=LOCAL,
    )  # fmt: skip


def do(action: Any, folder: Path) -> Any:
    return perform(action, folder)


MATRIX: list[tuple[str, str, Any]] = [
    # (column type, literal, what PostgreSQL and DuckDB have then)
    ("tinyint", "-128", -128),
    ("tinyint(1)", "2", 2),
    ("smallint unsigned", "65535", 65535),
    ("mediumint", "-8388608", -8388608),
    ("int unsigned", "4294967295", 4294967295),
    ("bigint", "-9223372036854775808", -9223372036854775808),
    ("bigint unsigned", "18446744073709551615", Decimal(18446744073709551615)),
    ("decimal(38,10)", "1234567890123456789012345678.0123456789",
     Decimal("1234567890123456789012345678.0123456789")),
    ("decimal(65,30)", "12345678901234567890123456789012345.012345678901234567890123456789",
     "12345678901234567890123456789012345.012345678901234567890123456789"),
    ("decimal(10,2)", "-0.05", Decimal("-0.05")),
    ("float", "0.1", 0.1),
    ("float", "16777216", 16777216.0),
    ("double", "0.1", 0.1),
    ("double", "1.7976931348623157e308", 1.7976931348623157e308),
    ("date", "'1000-01-01'", dt.date(1000, 1, 1)),
    ("date", "'9999-12-31'", dt.date(9999, 12, 31)),
    ("datetime(6)", "'2024-02-29 23:59:59.123456'", dt.datetime(2024, 2, 29, 23, 59, 59, 123456)),
    ("datetime", "'1000-01-01 00:00:00'", dt.datetime(1000, 1, 1)),
    ("time", "'838:59:59'", "838:59:59"),
    ("time(6)", "'-00:00:00.000001'", "-00:00:00.000001"),
    ("year", "2155", 2155),
    ("bit(1)", "b'1'", 1),
    ("bit(64)", "b'" + "1" * 64 + "'", Decimal(2**64 - 1)),
    ("varchar(50)", "''", ""),
    ("varchar(50)", "NULL", None),
    ("varchar(50)", "'\\'q\\' \"d\" \\n\\t\\\\ ,;'", "'q' \"d\" \n\t\\ ,;"),
    ("varchar(50)", "'zażółć 😀 العربية'", "zażółć 😀 العربية"),
    ("char(5)", "'ab '", "ab"),
    ("longtext", "REPEAT('x', 300000)", "x" * 300_000),
    ("enum('a','b')", "'b'", "b"),
    ("set('a','b')", "'a,b'", "a,b"),
    ("blob", "x'0001fe27'", b"\x00\x01\xfe'"),
    ("blob", "''", b""),
    ("binary(4)", "x'00'", b"\x00\x00\x00\x00"),
    ("inet6", "'2001:db8::1'", "2001:db8::1"),
    ("uuid", "'123e4567-e89b-12d3-a456-426614174000'", "123e4567-e89b-12d3-a456-426614174000"),
]  # fmt: skip


def test_every_type_arrives_exactly_or_as_documented(target: Target, maria: MariaDb) -> None:
    columns = ", ".join(f"c{i} {kind}" for i, (kind, _, _) in enumerate(MATRIX))
    values = ", ".join(literal for _, literal, _ in MATRIX)
    maria.run(f"CREATE TABLE kinds ({columns})", f"INSERT INTO kinds VALUES ({values})")
    out = run(load(connection(maria), target.connection, table("kinds", "kinds")))
    assert out.finished.failure is None
    names = ", ".join(f"c{i}" for i in range(len(MATRIX)))
    (row,) = target.query(f"SELECT {names} FROM raw.kinds")
    got = [bytes(value) if isinstance(value, memoryview) else value for value in row]
    wrong = {
        kind: (value, expected)
        for (kind, _, expected), value in zip(MATRIX, got, strict=True)
        if value != expected or (value == "") != (expected == "")
    }
    assert wrong == {}


def test_timestamps_are_moments_whatever_the_servers_zone(target: Target, maria: MariaDb) -> None:
    maria.run(
        "CREATE TABLE moments (id int, moment timestamp(6))",
        "SET time_zone = '+05:00'",
        "INSERT INTO moments VALUES (1, '2024-01-01 05:00:00.5')",
    )
    assert run(load(connection(maria), target.connection, table("moments", "moments"))).code is None
    sql = "SELECT count(*) FROM raw.moments WHERE moment = TIMESTAMPTZ '2024-01-01 00:00:00.5+00'"
    assert target.query(sql) == [(1,)]


def test_zero_dates_are_refused_by_column_or_become_null(tmp_path: Path, maria: MariaDb) -> None:
    maria.run(
        "CREATE TABLE orders (id int, shipped date, packed datetime, sent timestamp NULL)",
        "INSERT INTO orders VALUES (1, '0000-00-00', '2024-00-10', '0000-00-00'), "
        "(2, '2024-01-01', '2024-01-01', '2024-01-01')",
    )
    spec = table("orders", "orders")
    out = run(load(connection(maria), duckdb(tmp_path), spec))
    assert out.code == "value_out_of_range"
    assert out.finished.failure is not None
    assert "'shipped'" in out.finished.failure.message
    lenient = connection(maria, zero_dates="null")
    assert run(load(lenient, duckdb(tmp_path), spec)).code is None
    sql = "SELECT id, shipped IS NULL, packed IS NULL, sent IS NULL FROM raw.orders ORDER BY 1"
    assert ask_duckdb(tmp_path)(sql) == [(1, True, True, True), (2, False, False, False)]


def test_an_empty_table_and_odd_names_arrive(tmp_path: Path, maria: MariaDb) -> None:
    wide = "x" * 64
    maria.run(f"CREATE TABLE `odd ``t` (`order` int, `a%b` text, `{wide}` int)")
    out = run(load(connection(maria), duckdb(tmp_path), table("odd `t", "odd")))
    assert out.code is None
    assert ask_duckdb(tmp_path)("SELECT count(*) FROM raw.odd") == [(0,)]
    maria.run("INSERT INTO `odd ``t` VALUES (1, '%s 50%', 3)")
    assert run(load(connection(maria), duckdb(tmp_path), table("odd `t", "odd"))).code is None
    assert ask_duckdb(tmp_path)("SELECT a_b FROM raw.odd") == [("%s 50%",)]


@pytest.mark.parametrize(
    ("kind", "first", "late", "new"),
    [
        ("bigint unsigned", "18446744073709551614", "18446744073709551614", "18446744073709551615"),
        ("datetime(6)", "'2024-01-01 10:00:00.000001'", "'2024-01-01 10:00:00.000001'",
         "'2024-01-02'"),
        ("timestamp", "'2024-01-01 10:00:00'", "'2024-01-01 10:00:00'", "'2024-01-02'"),
        ("decimal(20,5)", "1.00001", "1.00001", "1.00002"),
    ],
)  # fmt: skip
def test_a_cursor_reads_late_and_new_rows_once(
    tmp_path: Path, maria: MariaDb, kind: str, first: str, late: str, new: str
) -> None:
    maria.run(
        f"CREATE TABLE log (id int, at {kind} NOT NULL)", f"INSERT INTO log VALUES (1, {first})"
    )
    spec = table("log", "log", APPEND, cursor="at")
    step = load(connection(maria), duckdb(tmp_path), spec)
    assert run(step).code is None
    maria.run(f"INSERT INTO log VALUES (2, {late}), (3, {new})")
    second = run(step)
    assert (second.code, second.finished.rows) == (None, 2)
    assert run(step).finished.rows == 0
    assert ask_duckdb(tmp_path)("SELECT id FROM raw.log ORDER BY 1") == [(1,), (2,), (3,)]


def test_merge_replaces_changed_rows(target: Target, maria: MariaDb) -> None:
    maria.run("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t VALUES (1,'a'),(2,'b')")
    step = load(connection(maria), target.connection, table("t", "t", MERGE, ("id",)))
    assert run(step).code is None
    maria.run("UPDATE t SET v = 'c' WHERE id = 2")
    assert run(step).code is None
    assert target.query("SELECT id, v FROM raw.t ORDER BY id") == [(1, "a"), (2, "c")]


def test_many_rows_are_streamed(tmp_path: Path, maria: MariaDb) -> None:
    maria.run("CREATE TABLE many AS SELECT seq AS id, MD5(seq) AS text FROM seq_1_to_50000")
    out = run(load(connection(maria), duckdb(tmp_path), table("many", "many", REPLACE)))
    assert (out.code, out.finished.rows) == (None, 50_000)
    sql = "SELECT count(*), count(DISTINCT id), bool_and(text = md5(id::text)) FROM raw.many"
    assert ask_duckdb(tmp_path)(sql) == [(50_000, 50_000, True)]


def test_what_there_is_can_be_seen_and_asked(tmp_path: Path, maria: MariaDb) -> None:
    maria.run(
        "CREATE TABLE orders (id int, part int, note text, PRIMARY KEY (id, part))",
        "INSERT INTO orders VALUES (1, 1, 'a'), (2, 1, NULL)",
        "CREATE VIEW open_orders AS SELECT id FROM orders",
    )
    source = connection(maria)
    found = do(IntrospectAction(connection=source), tmp_path)
    assert found.schemas == ("shop",)
    assert [(t.name, t.kind, t.primary_key) for t in found.tables] == [
        ("open_orders", "view", ()), ("orders", "table", ("id", "part")),
    ]  # fmt: skip
    shown = do(
        PreviewAction(connection=source, table="orders", columns=("note", "id"), limit=1), tmp_path
    )
    assert (shown.rows, shown.is_truncated) == ((("a", 1),), True)
    asked = do(
        QueryAction(connection=source, sql="SELECT id, '50%' FROM orders", limit=9), tmp_path
    )
    assert asked.rows == ((1, "50%"), (2, "50%"))


@pytest.mark.parametrize(
    "sql",
    ["DROP TABLE orders", "/*! DROP TABLE orders */", "/*M! DROP TABLE orders */",
     "SELECT 1; DROP TABLE orders", "COMMIT", "SET SESSION TRANSACTION READ WRITE",
     "SELECT 1 INTO OUTFILE '/tmp/datanika-out'", "WITH x AS (SELECT 1) DELETE FROM orders",
     "(DELETE FROM orders)", "-- x\nDELETE FROM orders", "DO SLEEP(0)", "CALL p()"],
)  # fmt: skip
def test_a_query_changes_nothing(tmp_path: Path, maria: MariaDb, sql: str) -> None:
    maria.run("CREATE TABLE orders (id int)", "GRANT ALL ON shop.* TO loader@'127.0.0.1'",
              "INSERT INTO orders VALUES (1)")  # fmt: skip
    with pytest.raises(StepError) as caught:
        do(QueryAction(connection=connection(maria), sql=sql, limit=1), tmp_path)
    assert caught.value.code in ("query_not_read_only", "sql_invalid")
    maria.run("DELETE FROM orders WHERE id = 1 LIMIT 1")


def test_a_statement_that_takes_too_long_is_ended(
    tmp_path: Path, maria: MariaDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datanika.engines.connectors import sql as shared

    monkeypatch.setattr(shared, "STATEMENT_SECONDS", 0.3)
    slow = QueryAction(connection=connection(maria), sql="SELECT SLEEP(20)", limit=1)
    with pytest.raises(StepError) as caught:
        do(slow, tmp_path)
    assert caught.value.code in ("query_timeout", "connection_lost")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"password": "wr0ng"}, "authentication_failed"),
        ({"port": 1}, "host_unreachable"),
        ({"database": "nowhere"}, "permission_denied"),
        ({"tls": "require"}, "tls_failed"),
    ],
)
def test_a_connection_that_does_not_work_says_why(
    tmp_path: Path, maria: MariaDb, changes: dict[str, Any], code: str
) -> None:
    out = run(load(connection(maria, **changes), duckdb(tmp_path), table("t", "t")))
    assert out.code == code
    missing = run(load(connection(maria), duckdb(tmp_path), table("nothing", "t")))
    assert missing.code == "table_missing"


def test_egress_is_asked_first(tmp_path: Path, maria: MariaDb) -> None:
    closed = connection(maria).model_copy(update={"egress": type(LOCAL)()})
    assert run(load(closed, duckdb(tmp_path), table("t", "t"))).code == "egress_refused"
