"""Merge by key: replaced, updated, or kept with the time until which a row was valid."""

from __future__ import annotations

import pytest

from tests.support.postgres import Warehouse
from tests.test_engines import steps
from tests.test_engines.steps import MERGE, Outcome, load, run, table

Warehouses = tuple[Warehouse, Warehouse]


@pytest.fixture
def shop(warehouses: Warehouses) -> Warehouses:
    warehouses[0].query("CREATE TABLE orders (id bigint, note text, at timestamp)")
    warehouses[0].query(
        "INSERT INTO orders SELECT i, 'old', '2024-01-01'::timestamp + i * interval '1 day' "
        "FROM generate_series(1, 3) i"
    )
    return warehouses


def load_orders(
    shop: Warehouses, strategy: str, *, full_refresh: bool = False, cursor: str | None = None
) -> Outcome:
    source, destination = (steps.postgres(one.config) for one in shop)
    spec = table("orders", "orders", MERGE, ("id",), cursor)
    spec = spec.model_copy(update={"merge_strategy": strategy})
    step = load(source, destination, spec, source_schema="public")
    return run(step.model_copy(update={"full_refresh": full_refresh}))


@pytest.mark.parametrize("strategy", ["delete-insert", "upsert"])
def test_a_key_has_one_row_with_the_values_that_came_last(shop: Warehouses, strategy: str) -> None:
    assert load_orders(shop, strategy).finished.failure is None
    shop[0].query("UPDATE orders SET note = 'new' WHERE id > 1")
    shop[0].query("INSERT INTO orders VALUES (4, 'new', '2024-02-01'), (NULL, 'nobody', NULL)")
    for _ in range(2):
        out = load_orders(shop, strategy)
        assert (out.finished.failure, out.finished.rows) == (None, 5)
        assert shop[1].query("SELECT id, note FROM raw.orders ORDER BY id") == [
            (1, "old"), (2, "new"), (3, "new"), (4, "new"), (None, "nobody"),
        ]  # fmt: skip


@pytest.mark.parametrize(("strategy", "kept"), [("delete-insert", None), ("upsert", "by hand")])
def test_an_upsert_keeps_the_columns_that_do_not_come(
    shop: Warehouses, strategy: str, kept: str | None
) -> None:
    load_orders(shop, strategy)
    shop[1].query("ALTER TABLE raw.orders ADD COLUMN extra text DEFAULT 'by hand'")
    shop[1].query("ALTER TABLE raw.orders ALTER COLUMN extra DROP DEFAULT")
    load_orders(shop, strategy)
    assert shop[1].query("SELECT DISTINCT extra FROM raw.orders") == [(kept,)]


@pytest.mark.parametrize("strategy", ["delete-insert", "upsert", "scd2"])
def test_of_rows_with_one_key_the_latest_by_the_cursor_stays(
    shop: Warehouses, strategy: str
) -> None:
    shop[0].query("INSERT INTO orders VALUES (3, 'latest', '2025-01-01')")
    for _ in range(2):
        out = load_orders(shop, strategy, cursor="at")
        assert out.finished.failure is None
    assert shop[1].query("SELECT note FROM raw.orders WHERE id = 3") == [("latest",)]


class TestScd2:
    def history(self, shop: Warehouses) -> list[tuple[object, ...]]:
        return shop[1].query(
            "SELECT id, note, _dlt_valid_to IS NULL FROM raw.orders ORDER BY id, _dlt_valid_from"
        )

    def test_a_changed_row_keeps_what_it_was(self, shop: Warehouses) -> None:
        load_orders(shop, "scd2")
        shop[0].query("UPDATE orders SET note = 'new' WHERE id = 2")
        out = load_orders(shop, "scd2")
        assert out.finished.failure is None
        assert out.nodes["orders"].details["loaded_rows"] == 1
        assert self.history(shop) == [
            (1, "old", True), (2, "old", False), (2, "new", True), (3, "old", True),
        ]  # fmt: skip
        [(begin, end)] = shop[1].query(
            "SELECT max(_dlt_valid_from), max(_dlt_valid_to) FROM raw.orders WHERE id = 2"
        )
        assert begin == end

    def test_nothing_changes_when_nothing_changed(self, shop: Warehouses) -> None:
        load_orders(shop, "scd2")
        before = shop[1].query("SELECT * FROM raw.orders ORDER BY id")
        out = load_orders(shop, "scd2")
        assert out.finished.failure is None
        assert shop[1].query("SELECT * FROM raw.orders ORDER BY id") == before

    def test_a_row_that_is_gone_and_comes_back(self, shop: Warehouses) -> None:
        load_orders(shop, "scd2")
        shop[0].query("DELETE FROM orders WHERE id = 1")
        load_orders(shop, "scd2")
        assert self.history(shop)[0] == (1, "old", False)
        shop[0].query("INSERT INTO orders VALUES (1, 'old', '2024-01-02')")
        load_orders(shop, "scd2")
        assert self.history(shop)[:2] == [(1, "old", False), (1, "old", True)]

    def test_by_a_cursor_rows_that_do_not_come_stay_valid(self, shop: Warehouses) -> None:
        load_orders(shop, "scd2", cursor="at")
        shop[0].query("UPDATE orders SET note = 'new', at = '2024-03-01' WHERE id = 2")
        load_orders(shop, "scd2", cursor="at")
        assert [row for row in self.history(shop) if row[2]] == [
            (1, "old", True), (2, "new", True), (3, "old", True),
        ]  # fmt: skip

    def test_a_full_refresh_begins_a_new_history(self, shop: Warehouses) -> None:
        load_orders(shop, "scd2")
        shop[0].query("UPDATE orders SET note = 'new'")
        load_orders(shop, "scd2", full_refresh=True)
        assert self.history(shop) == [(1, "new", True), (2, "new", True), (3, "new", True)]


def test_a_strategy_that_a_destination_lacks_is_named(shop: Warehouses, tmp_path: object) -> None:
    spec = table("orders", "orders", MERGE, ("id",)).model_copy(update={"merge_strategy": "scd2"})
    source = steps.postgres(shop[0].config)
    step = load(source, steps.duckdb(tmp_path), spec, source_schema="public")  # type: ignore[arg-type]
    assert run(step).code == "merge_strategy_unsupported"
