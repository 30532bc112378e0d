"""PostgreSQL to PostgreSQL by COPY: what a table had survives, and what was lost is noticed."""

from __future__ import annotations

import threading
import time

import pytest

from datanika.contracts.enums import WriteDisposition
from datanika.contracts.events import NodeProgress
from tests.support.postgres import PostgresServer, Warehouse
from tests.test_engines import steps
from tests.test_engines.steps import APPEND, MERGE, REPLACE, Outcome, load, run, table
from tests.test_engines.test_type_matrix import through_arrow

Warehouses = tuple[Warehouse, Warehouse]


@pytest.fixture
def shop(warehouses: Warehouses) -> Warehouses:
    warehouses[0].query("CREATE TABLE orders (id bigint, note text)")
    warehouses[0].query("INSERT INTO orders SELECT i, 'old' FROM generate_series(1, 3) i")
    return warehouses


def load_orders(shop: Warehouses, how: WriteDisposition = REPLACE, **more: object) -> Outcome:
    source, destination = (steps.postgres(one.config) for one in shop)
    spec = table("orders", "orders", how, ("id",) if how is MERGE else ())
    return run(load(source, destination, spec.model_copy(update=more)))


def test_a_replaced_table_keeps_its_grants_and_indexes(
    shop: Warehouses, postgres_server: PostgresServer
) -> None:
    target = shop[1]
    load_orders(shop)
    reader = f"{target.user}_reader"
    postgres_server.create_database(reader, reader, "x")
    try:
        target.query(f"GRANT SELECT ON raw.orders TO {reader}")
        target.query("CREATE INDEX by_note ON raw.orders (lower(note)) WHERE id > 1")
        target.query('CREATE UNIQUE INDEX "By Id" ON raw.orders (id DESC)')
        before = target.query("SELECT indexdef FROM pg_indexes WHERE tablename = 'orders'")
        shop[0].query("UPDATE orders SET note = 'new'")
        out = load_orders(shop)
        assert out.nodes["orders"].details["placed"].startswith("into a new table")
        assert sorted(target.query("SELECT indexdef FROM pg_indexes WHERE tablename = 'orders'")) \
            == sorted(before)  # fmt: skip
        assert target.query(
            f"SELECT has_table_privilege('{reader}', 'raw.orders', 'SELECT'), "
            f"has_table_privilege('{reader}', 'raw.orders', 'INSERT')"
        ) == [(True, False)]
        assert target.query("SELECT DISTINCT note FROM raw.orders") == [("new",)]
    finally:
        target.query(f"REVOKE ALL ON raw.orders FROM {reader}")
        postgres_server.drop_database(reader, reader)


@pytest.mark.parametrize(
    "hanging",
    [
        "CREATE VIEW raw.on_it AS SELECT id FROM raw.orders",
        "ALTER TABLE raw.orders ADD PRIMARY KEY (id)",
        "COMMENT ON TABLE raw.orders IS 'ours'",
        "ALTER TABLE raw.orders SET (fillfactor = 50)",
    ],
)
def test_what_hangs_on_a_table_stays(shop: Warehouses, hanging: str) -> None:
    load_orders(shop)
    shop[1].query(hanging)
    [before] = shop[1].query("SELECT 'raw.orders'::regclass::oid")
    shop[0].query("UPDATE orders SET note = 'new'")
    out = load_orders(shop)
    assert out.finished.failure is None
    assert out.nodes["orders"].details["placed"].startswith("in place of the rows")
    assert shop[1].query("SELECT 'raw.orders'::regclass::oid") == [before]
    assert shop[1].query("SELECT id, note FROM raw.orders ORDER BY id") == [
        (1, "new"), (2, "new"), (3, "new"),
    ]  # fmt: skip


def test_columns_that_the_source_has_no_more_stay_empty(shop: Warehouses) -> None:
    load_orders(shop)
    shop[0].query("ALTER TABLE orders DROP COLUMN note")
    shop[0].query("ALTER TABLE orders ADD COLUMN price numeric")
    assert load_orders(shop).finished.failure is None
    assert shop[1].query("SELECT id, note, price FROM raw.orders ORDER BY id")[0] == (1, None, None)


def test_a_long_reader_does_not_stop_a_replace_nor_others(shop: Warehouses) -> None:
    load_orders(shop)
    reader = shop[1].connect()
    try:
        with reader.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM raw.orders")
            out = load_orders(shop)
            assert out.finished.failure is None
            assert out.nodes["orders"].details["placed"].startswith("in place of the rows")
            cursor.execute("SELECT count(*) FROM raw.orders")
            assert cursor.fetchone() == (3,)
    finally:
        reader.close()


@pytest.mark.parametrize("how", [APPEND, MERGE, REPLACE])
def test_a_row_that_the_destination_drops_is_noticed_and_nothing_is_written(
    shop: Warehouses, how: WriteDisposition
) -> None:
    load_orders(shop, how)
    shop[1].query(
        "CREATE FUNCTION raw.lose() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF NEW.id = 2 THEN RETURN NULL; END IF; RETURN NEW; END $$"
    )
    shop[1].query(
        "CREATE TRIGGER lose BEFORE INSERT ON raw.orders FOR EACH ROW EXECUTE FUNCTION raw.lose()"
    )
    before = shop[1].query("SELECT id, note, _dlt_load_id FROM raw.orders ORDER BY id")
    shop[0].query("UPDATE orders SET note = 'new'")
    out = load_orders(shop, how)
    assert out.code == "rows_lost"
    assert out.nodes["orders"].details["verdict"] == "not loaded"
    assert shop[1].query("SELECT id, note, _dlt_load_id FROM raw.orders ORDER BY id") == before


def test_a_row_that_goes_right_after_the_commit_is_noticed(
    shop: Warehouses, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datanika.engines.dlt_engine.direct import postgres_load

    real = postgres_load.verify

    def lose_then_verify(*arguments: object) -> None:
        shop[1].query("DELETE FROM raw.orders WHERE id = 2")
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(postgres_load, "verify", lose_then_verify)
    out = load_orders(shop)
    assert out.code == "rows_lost"


def test_types_that_changed_at_the_source(shop: Warehouses) -> None:
    load_orders(shop, APPEND)
    shop[0].query("ALTER TABLE orders ALTER COLUMN id TYPE text")
    out = load_orders(shop, APPEND)
    assert out.finished.failure is None, "digits fit the bigint that is there"
    assert out.nodes["orders"].details["path"] == "arrow to COPY"
    shop[0].query("INSERT INTO orders VALUES ('x', 'no number')")
    assert load_orders(shop, APPEND).code == "type_changed"
    assert shop[1].query("SELECT count(*) FROM raw.orders") == [(6,)]
    assert load_orders(shop).finished.failure is None, "a replaced table takes the new type"
    assert shop[1].query("SELECT pg_typeof(id)::text FROM raw.orders LIMIT 1") == [("text",)]


def test_a_numeric_is_never_rounded_into_the_column_that_is_there(shop: Warehouses) -> None:
    shop[0].query("ALTER TABLE orders ADD COLUMN price numeric(10,2) DEFAULT 1.25")
    load_orders(shop, APPEND)
    shop[0].query("ALTER TABLE orders ALTER COLUMN price TYPE numeric(12,4)")
    assert load_orders(shop, APPEND).finished.failure is None
    shop[0].query("UPDATE orders SET price = 1.2345 WHERE id = 1")
    assert load_orders(shop, APPEND).finished.failure is None
    figures = shop[1].query("SELECT count(*), sum(price), max(price), min(price) FROM raw.orders")
    assert [str(one) for one in figures[0]] == ["9", "11.2345", "1.2500", "1.2345"]


def test_a_table_without_rows_or_with_a_thousand_columns(shop: Warehouses) -> None:
    columns = ", ".join(f"c{i} integer" for i in range(1000))
    shop[0].query("DROP TABLE orders")
    shop[0].query(f"CREATE TABLE orders ({columns})")
    assert load_orders(shop).finished.failure is None
    shop[0].query("INSERT INTO orders (c999) VALUES (7)")
    assert load_orders(shop).finished.rows == 1
    assert shop[1].query("SELECT c0, c999 FROM raw.orders") == [(None, 7)]
    shop[0].query("TRUNCATE orders")
    assert load_orders(shop).finished.rows == 0
    assert shop[1].query("SELECT count(*) FROM raw.orders") == [(0,)]


def test_names_that_sql_dislikes(shop: Warehouses) -> None:
    shop[0].query("DROP TABLE orders")
    shop[0].query(
        'CREATE TABLE orders ("a%s ""b" int, "select" int, "Größe" int, "' + "x" * 60 + '" int, '
        "g int GENERATED ALWAYS AS IDENTITY, h int GENERATED ALWAYS AS (1 + 1) STORED)"
    )
    shop[0].query('INSERT INTO orders ("a%s ""b", "select", "Größe") VALUES (1, 2, 3)')
    out = load_orders(shop)
    assert out.finished.failure is None
    assert shop[1].query("SELECT * FROM raw.orders")[0][:6] == (1, 2, 3, None, 1, 2)


def test_columns_that_would_meet_are_refused(shop: Warehouses) -> None:
    shop[0].query('ALTER TABLE orders ADD COLUMN "Note" text')
    assert load_orders(shop).code == "columns_collide"
    assert shop[1].query("SELECT to_regclass('raw.orders')") == [(None,)]


def test_a_source_that_ends_in_the_middle_writes_nothing(shop: Warehouses) -> None:
    load_orders(shop)
    shop[0].query(
        "CREATE VIEW slow AS SELECT i AS id, (10 / (50000 - i))::text AS note "
        "FROM generate_series(1, 100000) i"
    )
    out = load_orders(shop, name="slow")
    assert out.finished.failure is not None
    assert shop[1].query("SELECT count(*) FROM raw.orders") == [(3,)]
    assert shop[1].query("SELECT relname FROM pg_class WHERE relname LIKE '\\_datanika%'") == []


def test_readers_see_the_old_table_while_the_new_one_comes(shop: Warehouses) -> None:
    load_orders(shop)
    shop[0].query(
        "CREATE VIEW slow AS SELECT i AS id, pg_sleep(0.01)::text AS note "
        "FROM generate_series(1, 200) i"
    )
    thread = threading.Thread(target=load_orders, args=[shop], kwargs={"name": "slow"})
    thread.start()
    seen = set()
    while thread.is_alive():
        seen.add(shop[1].query("SELECT count(*) FROM raw.orders")[0][0])
        time.sleep(0.02)
    thread.join()
    assert seen <= {3, 200}
    assert shop[1].query("SELECT count(*) FROM raw.orders") == [(200,)]


def test_an_append_goes_on_by_the_other_way_without_a_double(
    shop: Warehouses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows with the cursor's highest value are known again, whichever way saw them first."""
    shop[0].query("ALTER TABLE orders ADD COLUMN at date DEFAULT '2024-01-01'")
    shop[0].query("INSERT INTO orders SELECT 4, 'twin', '2024-01-01' FROM generate_series(1, 2)")
    source, destination = (steps.postgres(one.config) for one in shop)
    step = load(source, destination, table("orders", "orders", APPEND, (), "at"))
    for turn, direct in enumerate([True, False, True, False, False, True]):
        with monkeypatch.context() as patch:
            if not direct:
                through_arrow(patch)
            out = run(step)
            assert (out.finished.failure, out.nodes["orders"].details["path"]) == (
                None,
                "binary COPY" if direct else "arrow to COPY",
            )
            assert run(step).finished.rows == 0
        shop[0].query(f"INSERT INTO orders VALUES (4, 'twin', '2024-01-0{1 + turn // 3}')")
    rows = "SELECT id, note, at, count(*) FROM {} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    shop[0].query("DELETE FROM orders WHERE at = '2024-01-02' AND ctid = (SELECT max(ctid) "
                  "FROM orders)")  # fmt: skip
    assert shop[1].query(rows.format("raw.orders")) == shop[0].query(rows.format("orders"))


def test_marks_of_before_are_known_again(shop: Warehouses, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table whose cursor was kept by an older version."""
    from datanika.engines.dlt_engine import cursor

    source, destination = (steps.postgres(one.config) for one in shop)
    step = load(source, destination, table("orders", "orders", APPEND, (), "id"))
    with monkeypatch.context() as patch:
        through_arrow(patch)
        patch.setattr(cursor, "_marks", cursor._fingerprints)
        assert run(step).finished.rows == 3
    shop[0].query("INSERT INTO orders VALUES (3, 'late'), (4, 'new')")
    out = run(step)
    assert out.finished.rows == 2
    assert out.nodes["orders"].details["path_reason"].endswith("marks of arrow")
    assert run(step).finished.rows == 0
    assert run(step).nodes["orders"].details["path"] == "binary COPY"


def test_a_long_copy_tells_how_far_it_is(shop: Warehouses) -> None:
    shop[0].query("DROP TABLE orders")
    shop[0].query(
        # Slow enough to be looked at: each row waits a little at the source.
        "CREATE VIEW orders AS SELECT i AS id, repeat('x', 1000) AS text, "
        "CASE WHEN i % 1000 = 0 THEN pg_sleep(0.05)::text END AS pause "
        "FROM generate_series(1, 40000) i"
    )
    out = load_orders(shop)
    assert out.finished.failure is None
    told = [event.rows for event in out.events if isinstance(event, NodeProgress)]
    assert told
    assert told == sorted(told)
    assert 0 < told[0] < 40_000
