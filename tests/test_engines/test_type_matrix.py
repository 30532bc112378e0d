"""Every type that a loader is known to spoil, on every path: equal, or widened as documented, or
refused with the column's name. Never silently different."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.postgres import Warehouse
from tests.test_engines import steps
from tests.test_engines.steps import Outcome, load, run, table
from tests.test_engines.targets import ask_duckdb

REFUSED = "refused"
NOTHING = "no character"
"""DuckDB's text of an empty blob."""
# name -> (SQL of the value, what arrow and DuckDB make of it, if it is not the source's text)
VALUES: dict[str, tuple[str, str, str]] = {
    "unbounded numeric": ("0.12345678901234567890::numeric", "", ""),
    "60 digits": ("repeat('9', 60)::numeric(60,0)", "", ""),
    "numeric with a scale": ("12345.6700::numeric(12,4)", "", ""),
    "NaN numeric": ("'NaN'::numeric(10,2)", REFUSED, REFUSED),
    "NaN unbounded numeric": ("'NaN'::numeric", "", ""),
    "infinite numeric": ("'Infinity'::numeric", "", ""),
    "NaN double": ("'NaN'::float8", "", "nan"),
    "infinite double": ("'-Infinity'::float8", "", ""),
    "real": ("0.1::float4", "", ""),
    "2**62": ("4611686018427387904::int8", "", ""),
    "2**70": ("1180591620717411303424::numeric", "", ""),
    "smallint": ("(-32768)::int2", "", ""),
    "infinite timestamp": ("'infinity'::timestamp", REFUSED, ""),
    "infinite timestamptz": ("'-infinity'::timestamptz", REFUSED, ""),
    "infinite date": ("'infinity'::date", REFUSED, ""),
    "BC date": ("'0044-03-15 BC'::date", REFUSED, "0044-03-15 (BC)"),
    "far date": ("'20000-01-01'::date", REFUSED, ""),
    "first date": ("'0001-01-01'::date", "", ""),
    "timestamptz": ("'2024-02-29 10:00:00.123456+02'::timestamptz", "", ""),
    "timestamp": ("'2024-02-29 10:00:00.123456'::timestamp", "", ""),
    "time": ("'13:30:00.5'::time", "", ""),
    "time 24:00": ("'24:00'::time", REFUSED, "24:00:00"),
    "timetz": ("'13:30+02'::timetz", "", ""),
    "interval": ("'1 mon 2 days 03:00'::interval", "", ""),
    "json null": ("'null'::json", "", ""),
    "json with an order": ('\'{"b": 1, "a": 2, "b": 3}\'::json', "", ""),
    "jsonb": ("'{\"n\": 123456789012345678901234567890}'::jsonb", "", ""),
    "array": ("ARRAY[1, NULL, 3]", "[1,null,3]", "[1,null,3]"),
    "array of texts": ("ARRAY['a,b', '\"', '']", '["a,b","\\"",""]', '["a,b","\\"",""]'),
    "empty bytea": ("''::bytea", "", NOTHING),
    "bytea": ("'\\x00ff5c27'::bytea", "", "\\x00\\xFF\\x5C\\x27"),
    "uuid": ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", "", ""),
    "char": ("'ab'::char(5)", "", ""),
    "oid": ("4294967295::oid", "", ""),
    "bits": ("B'00000101'::bit(8)", "", ""),
    "range": ("int4range(1, 5)", "", ""),
    "inet": ("'::1'::inet", "", ""),
    "money": ("'12.50'::numeric::money", "", ""),
    "enum": ("'ok'::mood", "", ""),
    "domain": ("5.25::positive", "", ""),
    "empty text": ("''::text", "", ""),
    "spaces": ("'  '::text", "", ""),
    "newlines": ("E'a\\r\\n\\nb\\t\\\\.'::text", "", ""),
    "end of data": ("E'\\n\\\\.\\n'::text", "", ""),
    "quotes": ("'\"\"''\\N,;'::text", "", ""),
    "unicode": ("U&'\\+01F600\\FFFF'::text", "", ""),
    "boolean": ("false", "", ""),
}


@pytest.fixture
def source(warehouses: tuple[Warehouse, Warehouse]) -> Warehouse:
    one = warehouses[0]
    one.query("CREATE TYPE mood AS ENUM ('sad', 'ok')")
    one.query("CREATE DOMAIN positive AS numeric(10,2) CHECK (value > 0)")
    return one


def make(source: Warehouse, kind: str) -> str:
    """A table of the value, NULL and the value; the value's text."""
    sql = VALUES[kind][0]
    source.query(f"CREATE TABLE t AS SELECT 1 AS id, {sql} AS value")
    source.query("INSERT INTO t SELECT 2, NULL")
    source.query("INSERT INTO t SELECT 3, value FROM t WHERE id = 1")
    return str(source.query("SELECT value::text FROM t WHERE id = 1")[0][0])


def check(out: Outcome, found: Any, text: str, expected: str) -> None:
    if expected == REFUSED:
        assert out.finished.failure is not None
        assert out.code in ("value_out_of_range", "type_changed", "value_invalid")
        return
    assert out.finished.failure is None
    value = "" if expected == NOTHING else expected or text
    assert found() == [(1, value), (2, None), (3, value)]


@pytest.mark.parametrize("kind", VALUES)
def test_by_copy_a_value_stays_what_it_is(
    warehouses: tuple[Warehouse, Warehouse], source: Warehouse, kind: str
) -> None:
    text = make(source, kind)
    out = run(
        load(steps.postgres(source.config), steps.postgres(warehouses[1].config), table("t", "t"))
    )
    assert out.nodes["t"].details["path"] == "binary COPY"
    check(
        out, lambda: warehouses[1].query("SELECT id, value::text FROM raw.t ORDER BY id"), text, ""
    )


@pytest.mark.parametrize("kind", VALUES)
def test_through_arrow_a_value_stays_or_is_refused(
    warehouses: tuple[Warehouse, Warehouse],
    source: Warehouse,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = make(source, kind)
    through_arrow(monkeypatch)
    out = run(
        load(steps.postgres(source.config), steps.postgres(warehouses[1].config), table("t", "t"))
    )
    rows = "SELECT id, value::text FROM raw.t ORDER BY id"
    check(out, lambda: plain(warehouses[1].query(rows), text), text, VALUES[kind][1])


@pytest.mark.parametrize("kind", VALUES)
def test_with_a_setting_of_the_table_a_value_stays_or_is_refused(
    source: Warehouse, warehouses: tuple[Warehouse, Warehouse], kind: str
) -> None:
    """By dlt's own load, which does what settings ask of single rows."""
    text = make(source, kind)
    spec = table("t", "t").model_copy(update={"batch_rows": 100})
    out = run(load(steps.postgres(source.config), steps.postgres(warehouses[1].config), spec))
    rows = "SELECT id, value::text FROM raw.t ORDER BY id"
    # Its file of rows has a time after 23:59:59, which CSV has not.
    expected = "" if kind == "time 24:00" else VALUES[kind][1]
    check(out, lambda: plain(warehouses[1].query(rows), text), text, expected)


@pytest.mark.parametrize("kind", VALUES)
def test_into_duckdb_a_value_stays_or_is_refused(
    source: Warehouse, kind: str, tmp_path: Path
) -> None:
    text = make(source, kind)
    out = run(load(steps.postgres(source.config), steps.duckdb(tmp_path), table("t", "t")))
    rows = "SELECT id, value::VARCHAR FROM raw.t ORDER BY id"
    check(out, lambda: plain(ask_duckdb(tmp_path)(rows), text), text, VALUES[kind][2])


def through_arrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """As from a source that has no COPY."""
    from datanika.engines.dlt_engine.direct.choice import NotDirect
    from datanika.engines.dlt_engine.direct.postgres_load import PostgresLoad

    def refused(*_: object) -> None:
        raise NotDirect("a test wants it so")

    monkeypatch.setattr(PostgresLoad, "_copy_feed", refused)


def plain(rows: list[tuple[Any, ...]], text: str) -> list[tuple[Any, ...]]:
    """Numbers and times as the source writes them: 1.50 is 1.5, and a UTC time has its zone."""
    return [(number, same(value, text)) for number, value in rows]


def same(value: Any, text: str) -> Any:
    if value is None or value == text:
        return value
    with contextlib.suppress(ArithmeticError):
        if Decimal(value) == Decimal(text):
            return text
    if value.removesuffix("+00") == text.removesuffix("+00") or value.rstrip("0") == text:
        return text
    if value.removesuffix(":00") == text.removesuffix(":00"):
        return text
    return value
