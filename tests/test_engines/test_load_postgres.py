"""A PostgreSQL source: every type that the paths of loading.md get wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from datanika.engines.warehouse.postgres import lock_key
from tests.support.postgres import PostgresServer, Warehouse
from tests.test_engines.steps import APPEND, Outcome, load, postgres, run, table

Source = Warehouse


@pytest.fixture
def source(warehouse: Warehouse) -> Warehouse:
    """Source and destination are two schemas of one database."""
    warehouse.query("CREATE SCHEMA shop")
    return warehouse


def load_shop(warehouse: Warehouse, **arguments: Any) -> Outcome:
    connection = postgres(warehouse.config)
    spec = table("t", "t", **arguments)
    return run(load(connection, connection, spec, source_schema="shop"))


def test_values_arrive_exactly(source: Source) -> None:
    source.query("CREATE TYPE shop.mood AS ENUM ('sad', 'ok')")
    source.query("CREATE DOMAIN shop.positive AS numeric(10,2) CHECK (value > 0)")
    source.query(
        """
        CREATE TABLE shop.t AS SELECT
            1::int2 AS small, 2147483648::int8 AS big, 0.1::float4 AS single,
            'NaN'::float8 AS nan, 'infinity'::float8 AS inf,
            12345.6700::numeric(12,4) AS price, 0.12345678901234::numeric AS unbounded,
            repeat('9', 60)::numeric(60,0) AS enormous, 5.25::shop.positive AS domain,
            '' AS empty, NULL::text AS missing, 'ab'::char(5) AS padded, 'ok'::shop.mood AS mood,
            ''::bytea AS no_bytes, '{"b": 1, "a": null}'::json AS document, 'null'::jsonb AS nul,
            ARRAY[1, 2] AS numbers, '13:30:00'::time AS clock, '13:30+02'::timetz AS zoned,
            '1 mon 2 days'::interval AS span, B'101'::bit(3) AS bits, 4294967295::oid AS oid_value,
            '12.50'::numeric::money AS money, int4range(1, 5) AS span4, '::1'::inet AS address,
            'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS id,
            '2024-02-29'::date AS day, '2024-02-29 10:00:00.123456'::timestamp AS local,
            '2024-02-29 10:00:00+02'::timestamptz AS moment, true AS flag, '100%'::text AS "rate %"
        """
    )
    out = load_shop(source)
    assert out.finished.failure is None
    assert out.nodes["t"].details["path"] == "binary COPY"
    names = [
        "small", "big", "single", "nan", "inf", "price", "unbounded", "enormous", "domain",
        "empty", "missing", "padded", "mood::text", "no_bytes", "document", "nul", "numbers",
        "clock", "zoned", "span", "bits", "oid_value", "money::text", "span4", "address", "id",
        "day", "local", "moment", "flag",
    ]  # fmt: skip
    texts = f"SELECT t::text FROM (SELECT {', '.join(names)} FROM {{}}.t) t"
    assert source.query(texts.format("shop")) == source.query(texts.format("raw"))
    kinds = "SELECT {} FROM {}.t"
    typed = ", ".join(f"pg_typeof({name})::text" for name in ("small", "single", "unbounded",
        "numbers", "span", "zoned", "span4", "address", "id", "document", "bits"))  # fmt: skip
    assert source.query(kinds.format(typed, "shop")) == source.query(kinds.format(typed, "raw"))
    assert source.query("SELECT mood, money, ratex FROM raw.t") == [("ok", "$12.50", "100%")]


@pytest.mark.parametrize(
    "value",
    [
        "'infinity'::timestamptz",
        "'-infinity'::date",
        "'0044-03-15 BC'::date",
        "'NaN'::numeric(10,2)",
        "'NaN'::numeric",
        "'24:00'::time",
    ],
)
def test_values_that_arrow_has_not_arrive_too(source: Source, value: str) -> None:
    source.query(f"CREATE TABLE shop.t AS SELECT {value} AS value")
    assert load_shop(source).finished.failure is None
    assert source.query("SELECT value::text FROM raw.t") == source.query(
        "SELECT value::text FROM shop.t"
    )


def test_incremental_append_from_a_table(source: Source) -> None:
    source.query("CREATE TABLE shop.t (id bigint, at timestamptz)")
    source.query(
        "INSERT INTO shop.t SELECT i, '2024-01-01'::timestamptz FROM generate_series(1,3) i"
    )
    assert load_shop(source, how=APPEND, cursor="at").finished.rows == 3
    source.query("INSERT INTO shop.t VALUES (4, '2024-01-01'), (5, '2024-01-02')")
    assert load_shop(source, how=APPEND, cursor="at").finished.rows == 2
    assert load_shop(source, how=APPEND, cursor="at").finished.rows == 0
    assert source.query("SELECT count(*), count(DISTINCT id) FROM raw.t") == [(5, 5)]


def test_a_missing_table_is_named(source: Source) -> None:
    out = load_shop(source)
    assert out.code == "table_missing"
    assert "shop.t" in str(out.finished.failure)


def test_a_table_without_permission_is_refused(
    source: Warehouse, postgres_server: PostgresServer
) -> None:
    source.query("CREATE TABLE shop.t AS SELECT 1 AS id")
    source.query("REVOKE ALL ON shop.t FROM CURRENT_USER")
    assert load_shop(source).code == "permission_denied"


def test_a_dbt_view_does_not_block_a_replace(source: Source) -> None:
    source.query("CREATE TABLE shop.t AS SELECT 1 AS id")
    load_shop(source)
    source.query("CREATE VIEW shop.on_raw AS SELECT id FROM raw.t")
    assert load_shop(source).finished.failure is None
    assert source.query("SELECT id FROM shop.on_raw") == [(1,)]


def test_rows_of_a_load_that_never_completed_are_swept(source: Source) -> None:
    source.query("CREATE TABLE shop.t AS SELECT 1 AS id")
    load_shop(source, how=APPEND, cursor="id")
    # As a SIGKILL between the rows' commit and dlt's own entry leaves it.
    source.query("INSERT INTO raw.t (id, _dlt_load_id) VALUES (2, 'killed')")
    source.query("INSERT INTO shop.t VALUES (2)")
    out = load_shop(source, how=APPEND, cursor="id")
    assert out.nodes["t"].details["swept_rows"] == 1
    assert source.query("SELECT id FROM raw.t ORDER BY id") == [(1,), (2,)]


def test_another_writer_of_the_table_is_waited_for_and_reported(
    source: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datanika.engines.warehouse import postgres as module

    monkeypatch.setattr(module, "LOCK_SECONDS", 0.3)
    source.query("CREATE TABLE shop.t AS SELECT 1 AS id")
    holder = source.connect()
    try:
        with holder.cursor() as cursor:
            key = module.lock_key(source.database, "raw", "t")
            cursor.execute("SELECT pg_advisory_lock(%s)", [key])
        out = load_shop(source)
    finally:
        holder.close()
    assert out.code == "destination_busy"
    assert out.finished.failure is not None
    assert out.finished.failure.transient


def test_a_later_attempt_ends_the_sessions_of_an_earlier_one(source: Source) -> None:
    from datanika.engines.warehouse import WriterId, open_warehouse

    connection = postgres(source.config)
    zombie = open_warehouse(connection, WriterId(run_id=5, attempt=1))
    other = open_warehouse(connection, WriterId(run_id=6, attempt=1))
    later = open_warehouse(connection, WriterId(run_id=5, attempt=2))
    with later.lock([("raw", "t")]):
        with pytest.raises(Exception, match="terminat|closed"):
            zombie.query("SELECT 1")
        assert other.query("SELECT 1") == [(1,)]
    for warehouse in (zombie, other, later):
        warehouse.close()


@pytest.fixture
def half_made(source: Source) -> Iterator[Any]:
    """The schema ``raw`` in a transaction that is still open, as another first load makes it."""
    source.query("CREATE TABLE shop.t AS SELECT 1 AS id")
    other = source.connect()
    other.cursor().execute("CREATE SCHEMA raw")
    yield other
    other.close()


def test_of_two_first_loads_at_once_the_second_waits(source: Source, half_made: Any) -> None:
    half_made.cursor().execute("SELECT pg_advisory_lock(%s)", [lock_key("schema", "raw")])
    with ThreadPoolExecutor() as pool:
        loading = pool.submit(load_shop, source)
        time.sleep(3)
        half_made.commit()
        half_made.cursor().execute("SELECT pg_advisory_unlock_all()")
        half_made.commit()
        assert loading.result().finished.failure is None
    assert source.query("SELECT id FROM raw.t") == [(1,)]


def test_a_schema_that_somebody_else_makes_meanwhile_is_no_lasting_failure(
    source: Warehouse, half_made: Any
) -> None:
    with ThreadPoolExecutor() as pool:
        loading = pool.submit(load_shop, source)
        time.sleep(3)
        half_made.commit()
        failure = loading.result().finished.failure
    assert failure is not None
    assert (failure.code, failure.transient) == ("destination_busy", True)
