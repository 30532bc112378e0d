"""A full refresh loads everything again and moves the cursor with it, in one transaction."""

from __future__ import annotations

import pytest

from datanika.contracts.enums import WriteDisposition
from tests.support.postgres import Warehouse
from tests.test_engines import steps
from tests.test_engines.steps import APPEND, MERGE, REPLACE, Outcome, load, run, table

Warehouses = tuple[Warehouse, Warehouse]


def load_orders(shop: Warehouses, how: WriteDisposition, full_refresh: bool = False) -> Outcome:
    source, destination = (steps.postgres(one.config) for one in shop)
    cursor = None if how is REPLACE else "at"
    spec = table("orders", "orders", how, ("id",) if how is MERGE else (), cursor)
    step = load(source, destination, spec, source_schema="public")
    return run(step.model_copy(update={"full_refresh": full_refresh}))


@pytest.fixture
def shop(warehouses: Warehouses) -> Warehouses:
    warehouses[0].query("CREATE TABLE orders (id bigint, at timestamp)")
    warehouses[0].query(
        "INSERT INTO orders SELECT i, '2024-01-01'::timestamp + i * interval '1 day' "
        "FROM generate_series(1, 3) i"
    )
    return warehouses


def ids(shop: Warehouses) -> list[int]:
    return [row[0] for row in shop[1].query("SELECT id FROM raw.orders ORDER BY id")]


@pytest.mark.parametrize("how", [APPEND, MERGE, REPLACE])
def test_rows_that_left_the_source_go_and_the_cursor_goes_on_from_the_new_ones(
    shop: Warehouses, how: WriteDisposition
) -> None:
    load_orders(shop, how)
    shop[0].query("DELETE FROM orders WHERE id > 1")
    out = load_orders(shop, how, full_refresh=True)
    assert (out.finished.failure, out.finished.rows) == (None, 1)
    assert ids(shop) == [1]
    shop[0].query("INSERT INTO orders VALUES (2, '2024-01-03'), (9, '2024-01-09')")
    assert load_orders(shop, how).finished.failure is None
    assert ids(shop) == [1, 2, 9]


@pytest.mark.parametrize("how", [APPEND, MERGE])
def test_an_emptied_source_empties_the_table(shop: Warehouses, how: WriteDisposition) -> None:
    load_orders(shop, how)
    shop[0].query("DELETE FROM orders")
    assert load_orders(shop, how, full_refresh=True).finished.failure is None
    assert ids(shop) == []
    shop[0].query("INSERT INTO orders VALUES (1, '2024-01-01')")
    load_orders(shop, how)
    assert ids(shop) == [1]


@pytest.mark.parametrize("how", [APPEND, MERGE])
def test_a_kill_between_the_commit_and_dlts_entry_loses_nothing(
    shop: Warehouses, how: WriteDisposition
) -> None:
    load_orders(shop, how)
    load_orders(shop, how, full_refresh=True)
    # What such a kill leaves: the rows, the deletion of the old cursor, and no completed load.
    newest = "(SELECT max(load_id) FROM raw._dlt_loads)"
    shop[1].query(f"DELETE FROM raw._dlt_loads WHERE load_id = {newest}")
    load_orders(shop, how)
    assert ids(shop) == [1, 2, 3]
