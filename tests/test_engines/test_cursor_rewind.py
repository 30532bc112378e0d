"""The incremental cursor is told, and read again from where a person put it: once."""

from __future__ import annotations

from typing import Any

import pytest

from datanika.contracts.enums import WriteDisposition
from datanika.contracts.events import CursorMoved
from datanika.contracts.steps import CursorRewind
from tests.support.postgres import Warehouse
from tests.test_engines import steps
from tests.test_engines.steps import APPEND, MERGE, Outcome, load, run, table

Warehouses = tuple[Warehouse, Warehouse]


def load_orders(
    warehouses: Warehouses, how: WriteDisposition = MERGE, *rewinds: CursorRewind
) -> Outcome:
    source, destination = (steps.postgres(one.config) for one in warehouses)
    spec = table("orders", "orders", how, ("id",) if how is MERGE else (), "at")
    step = load(source, destination, spec, source_schema="public")
    return run(step.model_copy(update={"rewinds": rewinds}))


def moved(out: Outcome) -> CursorMoved:
    [event] = [event for event in out.events if isinstance(event, CursorMoved)]
    return event


def rewind(number: int, last: Any, seen: dict[str, int] | None = None) -> CursorRewind:
    return CursorRewind(
        target="orders", number=number, column="at", state={"last": last, "seen": seen or {}}
    )


@pytest.fixture
def shop(warehouses: Warehouses) -> Warehouses:
    """Two databases; three orders on three days in the first."""
    warehouses[0].query("CREATE TABLE orders (id bigint, at timestamp, note text)")
    warehouses[0].query(
        "INSERT INTO orders SELECT i, '2024-01-01'::timestamp + i * interval '1 day', 'old' "
        "FROM generate_series(1, 3) i"
    )
    return warehouses


def test_a_load_tells_where_its_cursor_is(shop: Warehouses) -> None:
    event = moved(load_orders(shop))
    assert (event.target, event.column, event.value) == ("orders", "at", "2024-01-04 00:00:00")
    shop[0].query("INSERT INTO orders VALUES (4, '2024-01-05', 'new')")
    assert moved(load_orders(shop)).value == "2024-01-05 00:00:00"
    assert moved(load_orders(shop)).value == "2024-01-05 00:00:00"


def test_a_load_that_fails_tells_no_position(shop: Warehouses) -> None:
    shop[0].query("INSERT INTO orders VALUES (5, NULL, 'no time')")
    out = load_orders(shop)
    assert out.code == "cursor_null"
    assert not [event for event in out.events if isinstance(event, CursorMoved)]


def test_a_rewound_merge_reads_changed_rows_again(shop: Warehouses) -> None:
    load_orders(shop)
    shop[0].query("UPDATE orders SET note = 'corrected'")
    assert load_orders(shop).finished.rows == 1
    out = load_orders(shop, MERGE, rewind(2, "2024-01-03"))
    assert out.finished.rows == 2
    assert shop[1].query("SELECT id, note FROM raw.orders ORDER BY id") == [
        (1, "old"),
        (2, "corrected"),
        (3, "corrected"),
    ]
    assert (moved(out).value, moved(out).state["rewind"]) == ("2024-01-04 00:00:00", 2)


def test_a_rewind_is_taken_once_even_when_it_is_sent_again(shop: Warehouses) -> None:
    load_orders(shop, APPEND)
    assert load_orders(shop, APPEND, rewind(2, None)).finished.rows == 3
    assert load_orders(shop, APPEND, rewind(2, None)).finished.rows == 0
    assert shop[1].query("SELECT count(*) FROM raw.orders") == [(6,)]
    assert load_orders(shop, APPEND, rewind(3, "2024-01-04")).finished.rows == 1


def test_rows_at_the_version_gone_back_to_are_not_read_twice(shop: Warehouses) -> None:
    at_first = moved(load_orders(shop, APPEND)).state
    shop[0].query("INSERT INTO orders VALUES (4, '2024-01-05', 'new')")
    load_orders(shop, APPEND)
    out = load_orders(shop, APPEND, rewind(3, at_first["last"], at_first["seen"]))
    assert out.finished.rows == 1
    assert shop[1].query("SELECT id FROM raw.orders ORDER BY id") == [(1,), (2,), (3,), (4,), (4,)]


def test_a_table_that_is_gone_is_loaded_whole_whatever_the_rewind(shop: Warehouses) -> None:
    load_orders(shop)
    shop[1].query("DROP TABLE raw.orders")
    out = load_orders(shop, MERGE, rewind(2, "2024-01-03"))
    assert out.finished.rows == 3
    assert moved(out).state["rewind"] == 2


def test_a_failed_load_leaves_the_rewind_to_the_next(shop: Warehouses) -> None:
    load_orders(shop)
    assert load_orders(shop, MERGE, rewind(2, "no time")).code is not None
    assert load_orders(shop, MERGE, rewind(2, "2024-01-02")).finished.rows == 3
