"""Merge by key: replaced, updated, or kept with the time until which a row was valid; on every way
into every destination."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.postgres import Warehouse
from tests.support.values import NOTHING, REFUSED, VALUES, make_types
from tests.test_engines import steps
from tests.test_engines.steps import MERGE, Outcome, load, run, table
from tests.test_engines.targets import Target, ask_duckdb

WAYS = ("by COPY", "with a setting", "into DuckDB")


@dataclass
class Shop:
    """A source, where its rows go, and settings that lead them there."""

    source: Warehouse
    target: Target
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def takes_empty_keys(self) -> bool:
        """dlt does not."""
        return not self.settings and self.target.connection.kind == "postgres"

    def change(self, sql: str) -> None:
        self.source.query(sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.target.query(sql)

    def load(
        self, strategy: str, *, full_refresh: bool = False, cursor: str | None = None, **more: Any
    ) -> Outcome:
        source = steps.postgres(self.source.config)
        spec = table("orders", "orders", MERGE, ("id",), cursor)
        spec = spec.model_copy(update={"merge_strategy": strategy, **self.settings, **more})
        step = load(source, self.target.connection, spec, source_schema="public")
        return run(step.model_copy(update={"full_refresh": full_refresh}))

    def loaded(self, strategy: str, **more: Any) -> Outcome:
        """A load that has to succeed."""
        out = self.load(strategy, **more)
        assert out.finished.failure is None, out.finished.failure
        assert out.nodes["orders"].details["verdict"] in ("exact", "repeated keys")
        return out


@pytest.fixture(params=WAYS)
def shop(
    request: pytest.FixtureRequest, warehouses: tuple[Warehouse, Warehouse], tmp_path: Path
) -> Shop:
    source, warehouse = warehouses
    source.query("CREATE TABLE orders (id bigint, note text, at timestamp)")
    source.query(
        "INSERT INTO orders SELECT i, 'old', '2024-01-01'::timestamp + i * interval '1 day' "
        "FROM generate_series(1, 3) i"
    )
    if request.param == "into DuckDB":
        return Shop(source, Target(steps.duckdb(tmp_path), ask_duckdb(tmp_path)))
    into = Target(steps.postgres(warehouse.config), warehouse.query)
    return Shop(source, into, {"batch_rows": 100} if request.param == "with a setting" else {})


@pytest.mark.parametrize("strategy", ["delete-insert", "upsert"])
def test_a_key_has_one_row_with_the_values_that_came_last(shop: Shop, strategy: str) -> None:
    shop.loaded(strategy)
    shop.change("UPDATE orders SET note = 'new' WHERE id > 1")
    shop.change("INSERT INTO orders VALUES (4, 'new', '2024-02-01')")
    if shop.takes_empty_keys:
        shop.change("INSERT INTO orders VALUES (NULL, 'nobody', NULL)")
    for _ in range(2):
        out = shop.loaded(strategy)
        found = shop.rows("SELECT id, note FROM raw.orders ORDER BY id NULLS LAST")
        assert found[:4] == [(1, "old"), (2, "new"), (3, "new"), (4, "new")]
        assert found[4:] == ([(None, "nobody")] if shop.takes_empty_keys else [])
        assert out.finished.rows == len(found)


@pytest.mark.parametrize(("strategy", "kept"), [("delete-insert", None), ("upsert", "by hand")])
def test_an_upsert_keeps_the_columns_that_do_not_come(
    shop: Shop, strategy: str, kept: str | None
) -> None:
    shop.loaded(strategy)
    shop.rows("ALTER TABLE raw.orders ADD COLUMN extra text")
    shop.rows("UPDATE raw.orders SET extra = 'by hand'")
    shop.loaded(strategy)
    assert shop.rows("SELECT DISTINCT extra FROM raw.orders") == [(kept,)]


@pytest.mark.parametrize("strategy", ["delete-insert", "upsert", "scd2"])
def test_of_rows_with_one_key_the_latest_by_the_cursor_stays(shop: Shop, strategy: str) -> None:
    shop.change("INSERT INTO orders VALUES (3, 'latest', '2025-01-01')")
    for _ in range(2):
        shop.loaded(strategy, cursor="at")
    assert shop.rows("SELECT note FROM raw.orders WHERE id = 3") == [("latest",)]


class TestScd2:
    def history(self, shop: Shop) -> list[tuple[object, ...]]:
        return shop.rows(
            "SELECT id, note, _dlt_valid_to IS NULL FROM raw.orders ORDER BY id, _dlt_valid_from"
        )

    def test_a_changed_row_keeps_what_it_was(self, shop: Shop) -> None:
        shop.loaded("scd2")
        shop.change("UPDATE orders SET note = 'new' WHERE id = 2")
        out = shop.loaded("scd2")
        assert out.nodes["orders"].details["loaded_rows"] == 1
        assert self.history(shop) == [
            (1, "old", True), (2, "old", False), (2, "new", True), (3, "old", True),
        ]  # fmt: skip
        [(begin, end)] = shop.rows(
            "SELECT max(_dlt_valid_from), max(_dlt_valid_to) FROM raw.orders WHERE id = 2"
        )
        assert begin == end

    def test_nothing_changes_when_nothing_changed(self, shop: Shop) -> None:
        shop.loaded("scd2")
        before = shop.rows("SELECT * FROM raw.orders ORDER BY id")
        shop.loaded("scd2")
        assert shop.rows("SELECT * FROM raw.orders ORDER BY id") == before

    def test_a_row_that_is_gone_and_comes_back(self, shop: Shop) -> None:
        shop.loaded("scd2")
        shop.change("DELETE FROM orders WHERE id = 1")
        shop.loaded("scd2")
        assert self.history(shop)[0] == (1, "old", False)
        shop.change("INSERT INTO orders VALUES (1, 'old', '2024-01-02')")
        shop.loaded("scd2")
        assert self.history(shop)[:2] == [(1, "old", False), (1, "old", True)]

    def test_by_a_cursor_rows_that_do_not_come_stay_valid(self, shop: Shop) -> None:
        shop.loaded("scd2", cursor="at")
        shop.change("UPDATE orders SET note = 'new', at = '2024-03-01' WHERE id = 2")
        shop.loaded("scd2", cursor="at")
        assert [row for row in self.history(shop) if row[2]] == [
            (1, "old", True), (2, "new", True), (3, "old", True),
        ]  # fmt: skip

    def test_a_full_refresh_begins_a_new_history(self, shop: Shop) -> None:
        shop.loaded("scd2")
        shop.change("UPDATE orders SET note = 'new'")
        shop.loaded("scd2", full_refresh=True)
        assert self.history(shop) == [(1, "new", True), (2, "new", True), (3, "new", True)]

    def test_a_source_without_rows_ends_what_was_valid(self, shop: Shop) -> None:
        shop.loaded("scd2")
        shop.change("DELETE FROM orders")
        assert shop.load("scd2").finished.failure is None
        assert self.history(shop) == [(1, "old", False), (2, "old", False), (3, "old", False)]


def test_a_history_of_every_type_grows_by_what_changed_alone(shop: Shop, tmp_path: Path) -> None:
    make_types(shop.source)
    unfit = {REFUSED, NOTHING}
    # A merge into DuckDB goes through arrow, so that both have to take a value.
    kinds = [kind for kind, (_, arrow, duck) in VALUES.items() if not unfit & {arrow, duck}]
    columns = ", ".join(f"{VALUES[kind][0]} AS c{at}" for at, kind in enumerate(kinds))
    shop.change(f"CREATE TABLE types AS SELECT 1 AS id, {columns}")
    shop.change("INSERT INTO types (id) VALUES (2)")
    for _ in range(2):
        shop.loaded("scd2", name="types")
        assert shop.rows("SELECT count(*) FROM raw.orders") == [(2,)]
    for at in range(len(kinds)):
        shop.change(f"UPDATE types SET c{at} = NULL WHERE id = 1")
    shop.change("UPDATE types SET c0 = (SELECT c0 FROM types WHERE id = 2)")
    shop.loaded("scd2", name="types")
    current = "SELECT id FROM raw.orders WHERE _dlt_valid_to IS NULL ORDER BY id"
    assert shop.rows(current) == [(1,), (2,)]
    assert shop.rows("SELECT count(*) FROM raw.orders") == [(3,)]


@pytest.mark.parametrize("strategy", ["delete-insert", "upsert"])
def test_rows_that_are_gone_from_the_source_stay_marked_until_they_come_back(
    shop: Shop, strategy: str
) -> None:
    marked = "SELECT id, note, _deleted_at IS NOT NULL FROM raw.orders ORDER BY id"
    shop.loaded(strategy, deletes="soft")
    assert shop.rows(marked) == [(1, "old", False), (2, "old", False), (3, "old", False)]
    shop.change("DELETE FROM orders WHERE id = 1")
    shop.change("UPDATE orders SET note = 'new' WHERE id = 2")
    shop.loaded(strategy, deletes="soft")
    assert shop.rows(marked) == [(1, "old", True), (2, "new", False), (3, "old", False)]
    [(when,)] = shop.rows("SELECT _deleted_at FROM raw.orders WHERE id = 1")
    shop.change("INSERT INTO orders VALUES (4, 'new', NULL)")
    shop.loaded(strategy, deletes="soft")
    # It was gone already.
    assert shop.rows("SELECT _deleted_at FROM raw.orders WHERE id = 1") == [(when,)]
    shop.change("DELETE FROM orders")
    assert shop.load(strategy, deletes="soft").finished.failure is None
    assert [row[2] for row in shop.rows(marked)] == [True] * 4
    shop.change("INSERT INTO orders VALUES (1, 'back', NULL)")
    shop.loaded(strategy, deletes="soft")
    assert shop.rows(marked)[0] == (1, "back", False)
    shop.change("ALTER TABLE orders ADD COLUMN _deleted_at text")
    assert shop.load(strategy, deletes="soft").code == "columns_collide"


def test_masks_filters_and_marks_hold_in_an_upsert_and_a_history(shop: Shop) -> None:
    settings = {
        "filters": [{"column": "id", "operator": "lt", "value": 10}],
        "mask": [{"column": "note", "how": "text"}],
    }
    spec = table("orders", "orders").model_validate({"name": "x", "target": "x", **settings})
    hidden = {"filters": spec.filters, "mask": spec.mask}
    shop.change("INSERT INTO orders VALUES (20, 'far', NULL)")
    for strategy, at in (("upsert", "a"), ("scd2", "b")):
        for _ in range(2):
            out = shop.load(strategy, target=f"orders_{at}", **hidden)
            assert out.finished.failure is None
        found = shop.rows(f"SELECT id, note FROM raw.orders_{at} ORDER BY id")
        assert [row[0] for row in found] == [1, 2, 3]
        assert len({row[1] for row in found}) == 1 and found[0][1] != "old"
    shop.change("UPDATE orders SET note = 'gone' WHERE id = 2")
    shop.change("ALTER TABLE orders ADD COLUMN gone boolean")
    shop.change("UPDATE orders SET gone = true WHERE id = 2")
    assert shop.load("upsert", target="orders_a", delete_column="gone").finished.failure is None
    assert shop.rows("SELECT id FROM raw.orders_a ORDER BY id") == [(1,), (3,), (20,)]
