"""An interval is loaded by the cursor: again without doubles, and the cursor stays where it is."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from datanika.contracts.enums import WriteDisposition
from datanika.contracts.events import CursorMoved
from datanika.contracts.overrides import Interval
from tests.support.postgres import Warehouse
from tests.test_engines import steps
from tests.test_engines.steps import APPEND, MERGE, Outcome, load, run, table
from tests.test_engines.targets import Target

Warehouses = tuple[Warehouse, Warehouse]
JANUARY = "'2024-01-01'::timestamp"


def days(first: int, last: int) -> Interval:
    zone = dt.UTC
    return Interval(
        start=dt.datetime(2024, 1, first, tzinfo=zone), end=dt.datetime(2024, 1, last, tzinfo=zone)
    )


def load_orders(
    shop: Warehouses, how: WriteDisposition, interval: Interval | None = None, **more: Any
) -> Outcome:
    source, destination = (steps.postgres(one.config) for one in shop)
    spec = table("orders", "orders", how, ("id",) if how is MERGE else (), "at")
    if more:
        spec = spec.model_copy(update={"cursor": spec.cursor.model_copy(update=more)})  # type: ignore[union-attr]
    step = load(source, destination, spec, source_schema="public")
    return run(step.model_copy(update={"interval": interval}))


@pytest.fixture(params=["timestamp", "timestamptz", "date", "text"])
def shop(warehouses: Warehouses, request: pytest.FixtureRequest) -> Warehouses:
    """Ten orders on ten days; the destination begins with the sixth."""
    moment = f"({JANUARY} + (i - 1) * interval '1 day')::{request.param}"
    warehouses[0].query(f"CREATE TABLE orders (id bigint, at {request.param}, note text)")
    warehouses[0].query(
        f"INSERT INTO orders SELECT i, {moment}, 'old' FROM generate_series(1, 10) i"
    )
    return warehouses


def rows(shop: Warehouses) -> list[Any]:
    return shop[1].query("SELECT id, note FROM raw.orders ORDER BY id, note")


@pytest.mark.parametrize("how", [APPEND, MERGE])
def test_repeated_chunks_double_nothing_and_the_cursor_stays(
    shop: Warehouses, how: WriteDisposition
) -> None:
    first = load_orders(shop, how, initial_value="2024-01-06")
    assert first.finished.failure is None
    assert [row[0] for row in rows(shop)] == [6, 7, 8, 9, 10]
    for interval in (days(1, 4), days(4, 6), days(1, 4)):
        out = load_orders(shop, how, interval)
        assert out.finished.failure is None
        assert not [event for event in out.events if isinstance(event, CursorMoved)]
    assert out.finished.rows == 3
    assert [row[0] for row in rows(shop)] == list(range(1, 11))
    shop[0].query("UPDATE orders SET note = 'new' WHERE id IN (2, 7)")
    load_orders(shop, how, days(2, 3))
    assert [row[0] for row in rows(shop) if row[1] == "new"] == [2]
    shop[0].query("INSERT INTO orders SELECT 11, max(at), 'late' FROM orders")
    after = load_orders(shop, how)
    assert after.finished.rows == (1 if how is APPEND else 2), "from where it stopped"
    assert [row[0] for row in rows(shop)] == list(range(1, 12))


class TestAppend:
    @pytest.fixture(params=["timestamp"])
    def shop(self, shop: Warehouses) -> Warehouses:
        return shop

    def test_rows_that_left_the_source_leave_the_interval(self, shop: Warehouses) -> None:
        load_orders(shop, APPEND)
        shop[0].query("DELETE FROM orders WHERE id IN (2, 3, 8)")
        load_orders(shop, APPEND, days(2, 4))
        assert [row[0] for row in rows(shop)] == [1, 4, 5, 6, 7, 8, 9, 10]

    def test_a_chunk_and_its_entry_come_in_one_transaction(self, shop: Warehouses) -> None:
        load_orders(shop, APPEND)
        load_orders(shop, APPEND, days(2, 4))
        assert shop[1].query(
            "SELECT count(DISTINCT writer) FROM (SELECT xmin::text AS writer FROM raw.orders "
            "WHERE id IN (2, 3) UNION ALL SELECT l.xmin::text FROM raw._dlt_loads l "
            "JOIN raw.orders ON _dlt_load_id = load_id WHERE id = 2) both_of_them"
        ) == [(1,)]

    def test_what_was_never_loaded_is_not_backfilled(self, shop: Warehouses) -> None:
        out = load_orders(shop, APPEND, days(1, 4))
        assert out.code == "backfill_before_load"
        assert load_orders(shop, APPEND).finished.rows == 10


def test_a_cursor_that_holds_no_times_is_named(warehouses: Warehouses) -> None:
    warehouses[0].query("CREATE TABLE orders AS SELECT 1 AS id, 1 AS at")
    load_orders(warehouses, MERGE)
    out = load_orders(warehouses, MERGE, days(1, 2))
    assert (out.code, out.finished.failure and out.finished.failure.transient) == (
        "interval_not_time",
        False,
    )


def test_files_are_backfilled_into_either_destination(target: Target, tmp_path: Any) -> None:
    source = steps.files(tmp_path, "csv")
    lines = [f"{day},2024-01-{day:02}T12:00:00" for day in range(1, 6)]
    (tmp_path / "files" / "orders.csv").write_text("id,at\n" + "\n".join(lines) + "\n")
    step = load(source, target.connection, table("orders.csv", "orders", APPEND, (), "at"))
    assert run(step).finished.failure is None
    again = step.model_copy(update={"interval": days(2, 4)})
    for _ in range(2):
        out = run(again)
        assert (out.finished.failure, out.finished.rows) == (None, 2)
    assert target.count("raw.orders") == 5
