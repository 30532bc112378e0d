"""SQL is a tenant's: reading it ends, in time and without an error, whatever it says."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator

import duckdb
import psycopg2
import pytest

from datanika.contracts.lineage import LineageKind
from datanika.engines.lineage import functions, trace
from tests.support.lineage_tables import known_columns
from tests.support.postgres import PostgresServer

KNOWN = known_columns("postgres")
HOSTILE = {
    "deep parentheses": "select " + "(" * 5000 + "1" + ")" * 5000 + " as x",
    "just allowed parentheses": "select " + "(" * 59 + "id" + ")" * 59 + " as x from raw.orders",
    "deep subqueries": "select * from (" * 55 + "select 1 as x" + ") s" * 55,
    "deep cases": "select " + "case when id > 1 then " * 59 + "1" + " end" * 59 + " as x from o",
    "open cases": "select " + "case when (" * 25 + "1",
    "open parentheses": "select " + "(" * 50,
    "casts in parentheses": "select " + "cast((" * 29 + "1" + ") as int)" * 29 + " as x",
    "rows in rows": "select " + "((1, " * 25 + "1" + "))" * 25 + " as x",
    "lambdas in lambdas": "select " + "f(x -> " * 50 + "1" + ")" * 50 + " as x",
    "many terms": "select " + " + ".join(["id"] * 9000) + " as x from raw.orders",
    "many conditions": "select id as x from raw.orders where " + " or ".join(["id = 1"] * 6000),
    "many unions": " union all ".join(["select id as x from raw.orders"] * 3000),
    "many columns": "select " + ", ".join(f"id as c{n}" for n in range(9000)) + " from raw.orders",
    "many joins": "select a0.id as x from raw.orders a0 "
    + " ".join(f"join raw.orders a{n} on a{n}.id = a0.id" for n in range(1, 1500)),
    "doubling queries": "with c0 as (select id as x from raw.orders) "
    + " ".join(
        f", c{n} as (select a.x from c{n - 1} a join c{n - 1} b on a.x = b.x)"
        for n in range(1, 900)
    )
    + " select x from c899",
    "long": "select '" + "x" * 300_000 + "' as x",
    "no SQL": "\x00\ud800 {{ }} ;;; $$ $a$ /* -- ' \"",
    "empty": "",
    "only a comment": "-- nothing",
    "open text": "select 'abc",
    "open quotes": 'select "abc',
    "nested comments": "/*" * 20_000 + "*/" * 20_000 + " select 1 as x",
    "a command": "copy (select 1) to program 'id'",
    "do": "do $$ begin perform 1; end $$",
    "windows in a circle": "select sum(id) over a as x from raw.orders window a as (b), b as (a)",
    "endless recursion": "with recursive c as (select 1 as x union all select x from c) "
    "select x from c",
    "mutual recursion": "with recursive a as (select x from b), b as (select x from a) "
    "select x from a",
}  # fmt: skip


@pytest.fixture
def listened_to() -> Iterator[None]:
    """Somebody is told of every garbage collection, and what is raised there is lost."""

    def told(phase: str, info: dict[str, int]) -> None:
        sum(range(2_000))

    gc.callbacks.append(told)
    yield
    gc.callbacks.remove(told)


@pytest.mark.usefixtures("listened_to")
@pytest.mark.parametrize("name", HOSTILE)
def test_every_text_is_answered_in_time(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[trace.__module__], "MAX_SECONDS", 0.5)
    start = time.monotonic()
    lineage = trace(HOSTILE[name], "postgres", KNOWN, columns=["x"])
    assert time.monotonic() - start < 5
    assert len(lineage.columns) in (0, 1)
    for column in lineage.columns:
        assert column.kind is not LineageKind.UNKNOWN or column.reason


def test_a_kind_without_a_dialect_is_unknown() -> None:
    lineage = trace("select 1 as x", "files", {}, columns=["x"])
    assert lineage.columns[0].kind is LineageKind.UNKNOWN


@pytest.mark.parametrize(
    "kind", ["redshift", "snowflake", "bigquery", "databricks", "clickhouse", "mssql"]
)
def test_the_other_databases_have_their_ways_with_names(kind: str) -> None:
    """Not verified live: only what they share is asked."""
    spelled = str.upper if kind == "snowflake" else str
    known = {spelled("raw.orders"): [spelled("id"), spelled("amount")]}
    sql = "with c as (select id, amount * 2 as twice from raw.orders) select * from c where id > 1"
    lineage = trace(sql, kind, known, columns=[spelled("id"), spelled("twice")])
    told = [(c.kind.value, [f"{i.relation}.{i.column}" for i in c.inputs]) for c in lineage.columns]
    assert told == [
        ("copy", [spelled("raw.orders.id")]),
        ("transformed", [spelled("raw.orders.amount")]),
    ]
    assert [one.column for one in lineage.rows or ()] == [spelled("id")]


def test_the_functions_are_built_into_their_engines(postgres_server: PostgresServer) -> None:
    with duckdb.connect() as connection:
        rows = connection.execute(
            "select distinct function_name from duckdb_functions() "
            "where function_type in ('scalar', 'aggregate', 'macro')"
        ).fetchall()
    assert {name for (name,) in rows} >= functions.DUCKDB
    connection = psycopg2.connect(postgres_server.admin_url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "select distinct proname from pg_proc "
                "where pronamespace = 'pg_catalog'::regnamespace"
            )
            known = {name for (name,) in cursor.fetchall()}
    finally:
        connection.close()
    assert known >= functions.POSTGRES
    runs_sql = {name for name in known if "query_to" in name or "ts_stat" in name}
    assert runs_sql and not runs_sql & functions.POSTGRES
