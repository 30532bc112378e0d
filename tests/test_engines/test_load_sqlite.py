"""An uploaded SQLite file: values as they are, and no way out of the file."""

from __future__ import annotations

import datetime as dt
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from datanika.contracts.ad_hoc import IntrospectAction, PreviewAction, QueryAction
from datanika.contracts.steps import ResolvedConnection
from datanika.engines.ad_hoc.perform import perform
from datanika.errors import StepError
from tests.test_engines.steps import APPEND, MERGE, load, run, table
from tests.test_engines.targets import Target


def shop(root: Path, *statements: str) -> ResolvedConnection:
    (root / "files").mkdir(exist_ok=True)
    with sqlite3.connect(root / "files" / "shop.sqlite") as database:
        for statement in statements:
            database.execute(statement)
    database.close()
    return ResolvedConnection(
        id=6, name="shop", kind="sqlite", config={"path": "shop.sqlite"}, root=str(root)
    )


MATRIX: list[tuple[str, list[str], list[Any]]] = [
    # (declared type, literals, what arrives)
    ("INTEGER", ["9223372036854775807", "NULL"], [9223372036854775807, None]),
    ("TEXT", ["''", "NULL"], ["", None]),
    ("TEXT", ["'007'", "'x\n\"y'"], ["007", 'x\n"y']),
    ("REAL", ["0.1", "3"], [0.1, 3.0]),
    ("NUMERIC", ["1", "2.5"], [1.0, 2.5]),
    ("NUMERIC", ["9007199254740993", "2.5"], ["9007199254740993", "2.5"]),
    ("BLOB", ["x'00ff'", "x''"], [b"\x00\xff", b""]),
    ("", ["1", "'one'"], ["1", "one"]),
    ("DATE", ["'2024-02-29'", "NULL"], [dt.date(2024, 2, 29), None]),
    ("DATE", ["'2024-02-30'", "'2024-01-01'"], ["2024-02-30", "2024-01-01"]),
    ("DATETIME", ["'2024-02-29 10:00:00'", "'2024-02-29T10:00:00.123456'"],
     [dt.datetime(2024, 2, 29, 10), dt.datetime(2024, 2, 29, 10, 0, 0, 123456)]),
    ("TIMESTAMP", ["'2024-02-29 10:00:00+02:00'", "NULL"], ["2024-02-29 10:00:00+02:00", None]),
    ("BOOLEAN", ["1", "0"], [True, False]),
    ("BOOLEAN", ["1", "2"], [1, 2]),
    ("VARCHAR(3)", ["'longer than three'", "'😀'"], ["longer than three", "😀"]),
    ("REAL", ["9e999", "1"], [float("inf"), 1.0]),
]  # fmt: skip


def test_every_value_arrives_exactly_or_as_documented(target: Target, tmp_path: Path) -> None:
    columns = ", ".join(f"c{i} {kind}" for i, (kind, _, _) in enumerate(MATRIX))
    rows = (
        f"({n}, {', '.join(literals[n] for _, literals, _ in MATRIX)})" for n in range(2)
    )  # fmt: skip
    source = shop(
        tmp_path,
        f"CREATE TABLE kinds (n int, {columns})",
        f"INSERT INTO kinds VALUES {', '.join(rows)}",
    )
    out = run(load(source, target.connection, table("kinds", "kinds")))
    assert out.finished.failure is None
    for index, (kind, _, expected) in enumerate(MATRIX):
        got = [row[0] for row in target.query(f"SELECT c{index} FROM raw.kinds ORDER BY n")]
        plain = [bytes(value) if isinstance(value, memoryview) else value for value in got]
        assert (kind, plain) == (kind, expected)


def test_binary_among_text_is_refused_by_column(target: Target, tmp_path: Path) -> None:
    source = shop(tmp_path, "CREATE TABLE t (id int, v)", "INSERT INTO t VALUES (1,'a'),(2,x'00')")
    out = run(load(source, target.connection, table("t", "t")))
    assert out.code == "values_mixed"
    assert out.finished.failure is not None
    assert "'v'" in out.finished.failure.message


def test_an_empty_table_a_view_and_odd_names_arrive(target: Target, tmp_path: Path) -> None:
    source = shop(
        tmp_path,
        "CREATE TABLE empty (id INTEGER PRIMARY KEY, at DATETIME, price DECIMAL(10,2))",
        'CREATE TABLE "a.b ""c" ("x%y" TEXT, "order" INT, g INT AS ("order" * 2))',
        """INSERT INTO "a.b ""c" VALUES ('%s', 21)""",
        'CREATE VIEW v AS SELECT "order" AS n FROM "a.b ""c"',
    )
    tables = (table("empty", "empty"), table('a.b "c', "odd"), table("v", "v"))
    assert run(load(source, target.connection, *tables)).code is None
    assert target.count("raw.empty") == 0
    assert target.query("SELECT x_y, g FROM raw.odd") == [("%s", 42)]
    assert target.query("SELECT n FROM raw.v") == [(21,)]


def test_a_cursor_and_a_key_work_over_later_uploads(target: Target, tmp_path: Path) -> None:
    source = shop(
        tmp_path, "CREATE TABLE log (id int, at DATETIME)",
        "INSERT INTO log VALUES (1, '2024-01-01 10:00:00')",
    )  # fmt: skip
    step = load(source, target.connection, table("log", "log", APPEND, cursor="at"))
    merged = load(source, target.connection, table("log", "log2", MERGE, ("id",)), run_id=2)
    assert (run(step).code, run(merged).code) == (None, None)
    shop(
        tmp_path, "INSERT INTO log VALUES (2, '2024-01-01 10:00:00'), (3, '2024-01-02 00:00:00.5')"
    )
    second = run(step)
    assert (second.code, second.finished.rows, run(step).finished.rows) == (None, 2, 0)
    assert run(merged).code is None
    assert (target.count("raw.log"), target.count("raw.log2")) == (3, 3)


def test_text_that_is_not_utf_8_is_a_clear_error(target: Target, tmp_path: Path) -> None:
    source = shop(tmp_path, "CREATE TABLE t (v TEXT)", "INSERT INTO t VALUES (CAST(x'ff' AS TEXT))")
    assert run(load(source, target.connection, table("t", "t"))).code == "value_invalid"


def test_what_there_is_can_be_seen_and_asked(tmp_path: Path) -> None:
    source = shop(
        tmp_path,
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT NOT NULL)",
        "INSERT INTO orders VALUES (1, 'a'), (2, 'b')",
    )
    found: Any = perform(IntrospectAction(connection=source), tmp_path)
    (orders,) = found.tables
    assert (orders.name, orders.kind, orders.primary_key) == ("orders", "table", ("id",))
    assert [(c.name, c.data_type, c.nullable) for c in orders.columns] == [
        ("id", "INTEGER", True), ("note", "TEXT", False),
    ]  # fmt: skip
    shown: Any = perform(
        PreviewAction(connection=source, table="orders", columns=("note",), limit=1), tmp_path
    )
    assert (shown.rows, shown.is_truncated) == ((("a",),), True)
    asked: Any = perform(
        QueryAction(connection=source, sql="SELECT sum(id) FROM orders", limit=5), tmp_path
    )
    assert asked.rows == ((3,),)


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("DELETE FROM orders", "query_not_read_only"),
        ("WITH x AS (SELECT 1) DELETE FROM orders", "query_not_read_only"),
        ("ATTACH '/etc/passwd' AS x", "query_not_read_only"),
        ("PRAGMA writable_schema = 1", "query_not_read_only"),
        ("SELECT load_extension('/tmp/x.so')", "query_not_read_only"),
        ("SELECT 1; SELECT 2", "sql_invalid"),
        ("SELECT nope FROM orders", "column_missing"),
        ("SELECT * FROM gone", "table_missing"),
    ],
)
def test_a_query_reads_this_file_and_nothing_else(tmp_path: Path, sql: str, code: str) -> None:
    source = shop(tmp_path, "CREATE TABLE orders (id int)", "INSERT INTO orders VALUES (1)")
    with pytest.raises(StepError) as caught:
        perform(QueryAction(connection=source, sql=sql, limit=1), tmp_path)
    assert caught.value.code == code


def test_a_query_without_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datanika.engines.connectors import sql

    monkeypatch.setattr(sql, "STATEMENT_SECONDS", 0.3)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n"
    with pytest.raises(StepError) as caught:
        perform(QueryAction(connection=shop(tmp_path), sql=endless, limit=1), tmp_path)
    assert caught.value.code == "query_timeout"


@pytest.mark.parametrize(
    ("path", "code"),
    [("../warehouse/x.duckdb", "path_outside"), ("nothing.db", "file_missing"),
     ("link.db", "path_outside"), ("text.db", "file_damaged")],
)  # fmt: skip
def test_only_databases_of_the_upload_folder_are_opened(
    target: Target, tmp_path: Path, path: str, code: str
) -> None:
    source = shop(tmp_path)
    (tmp_path / "files" / "link.db").symlink_to("/etc/passwd")
    (tmp_path / "files" / "text.db").write_text("no database" * 100)
    source = source.model_copy(update={"config": {"path": path}})
    assert run(load(source, target.connection, table("t", "t"))).code == code
