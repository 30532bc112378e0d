"""The types that loaders are known to spoil, through the log: the same as by reading the table."""

from __future__ import annotations

from pathlib import Path

from tests.support.cdc import Synced
from tests.support.postgres import Warehouse
from tests.support.values import VALUES, make_types
from tests.test_engines import steps
from tests.test_engines.steps import changes, load, run, table
from tests.test_engines.targets import Target, ask_duckdb

FALLBACK = "SELECT id, {} FROM raw.{} ORDER BY id"


def make(source: Warehouse, kinds: list[str]) -> list[str]:
    """A table with a column of each kind, empty; the columns."""
    make_types(source)
    source.query("CREATE TYPE pair AS (a int, b text)")
    columns = [f"c{number}" for number in range(len(kinds))]
    values = ", ".join(
        f"{VALUES[kind][0]} AS {column}" for kind, column in zip(kinds, columns, strict=True)
    )
    source.query(f"CREATE TABLE t AS SELECT 1 AS id, {values} WITH NO DATA")
    source.query("ALTER TABLE t ADD PRIMARY KEY (id)")
    source.query("ALTER TABLE t ADD moods mood[], ADD pair pair")
    return [*columns, "moods", "pair"]


def fill(source: Warehouse, kinds: list[str], number: int) -> None:
    values = ", ".join(VALUES[kind][0] for kind in kinds)
    source.query(
        f"INSERT INTO t SELECT {number}, {values}, '{{sad,NULL,ok}}', ROW(1, E'a\"\\n,')::pair"
    )
    source.query(f"INSERT INTO t (id) VALUES ({number + 1})")


def both(source: Warehouse, target: Target, kinds: list[str]) -> None:
    """The rows that came by the snapshot, those that came by the log and those that another load
    reads are the same."""
    columns = make(source, kinds)
    fill(source, kinds, 1)
    one = Synced(source, target, changes("t"))
    one.synced()
    fill(source, kinds, 3)
    source.query("UPDATE t SET c0 = c0 WHERE id = 1")
    one.synced()
    read = load(steps.postgres(source.config, 1), target.connection, table("t", "whole"), run_id=90)
    assert run(read.model_copy(update={"pipeline_key": "p2_load"})).code is None
    for column in columns:
        text = f"CAST({column} AS varchar)"
        found = target.query(FALLBACK.format(text, "t"))
        assert found == target.query(FALLBACK.format(text, "whole")), column
        assert found[0][1] == found[2][1] is not None, column
        assert found[1][1] is found[3][1] is None, column


def test_into_postgres(source: Warehouse, warehouse: Warehouse) -> None:
    target = Target(steps.postgres(warehouse.config), warehouse.query)
    both(source, target, list(VALUES))
    types = (
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = 'raw.{}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY 1"
    )
    assert warehouse.query(types.format("t")) == warehouse.query(types.format("whole"))


def test_into_duckdb(source: Warehouse, tmp_path: Path) -> None:
    target = Target(steps.duckdb(tmp_path), ask_duckdb(tmp_path))
    fine = [kind for kind, (_, _, duck) in VALUES.items() if duck != "refused"]
    both(source, target, fine)


def test_a_value_that_duckdb_cannot_hold_is_refused_and_loaded_once_it_is_corrected(
    source: Warehouse, tmp_path: Path
) -> None:
    target = Target(steps.duckdb(tmp_path), ask_duckdb(tmp_path))
    source.query("CREATE TABLE t (id int PRIMARY KEY, n numeric, m numeric(10,2))")
    source.query("INSERT INTO t VALUES (1, 1.5, 1.5)")
    one = Synced(source, target, changes("t"))
    one.synced()
    source.query("INSERT INTO t VALUES (2, 0.12345678901234567890, 2)")
    out = one.sync()
    assert out.code == "value_out_of_range"
    assert one.rows("id") == [(1,)]
    source.query("UPDATE t SET n = 2 WHERE id = 2")
    one.synced()
    assert one.rows("id, n") == one.there("id, n")
    source.query("UPDATE t SET m = 'NaN' WHERE id = 2")
    assert one.sync().code == "value_out_of_range"
