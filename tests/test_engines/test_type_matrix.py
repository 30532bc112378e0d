"""Every type that a loader is known to spoil, on every path: equal, or widened as documented, or
refused with the column's name. Never silently different."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.postgres import Warehouse
from tests.support.values import NOTHING, REFUSED, VALUES, make_types
from tests.test_engines import steps
from tests.test_engines.steps import Outcome, load, run, table
from tests.test_engines.targets import ask_duckdb


@pytest.fixture
def source(warehouses: tuple[Warehouse, Warehouse]) -> Warehouse:
    make_types(warehouses[0])
    return warehouses[0]


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
