"""A table that another organisation loads is not overwritten."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.postgres import Warehouse
from tests.test_engines.steps import Outcome, files, load, postgres, run, table
from tests.test_engines.targets import Target


def load_as(owner: str, root: Path, target: Target, *names: str) -> Outcome:
    source = files(root)
    for name in names:
        pq.write_table(pa.table({"owner": [owner]}), root / "files" / f"{name}.parquet")
    tables = [table(f"{name}.parquet", name) for name in names]
    step = load(source, target.connection, *tables)
    return run(step.model_copy(update={"owner": owner}))


def test_who_comes_second_is_told_and_changes_nothing(target: Target, tmp_path: Path) -> None:
    assert load_as("ours", tmp_path, target, "a").code is None
    assert load_as("ours", tmp_path, target, "a").code is None
    out = load_as("theirs", tmp_path, target, "a", "b")
    assert out.code == "table_owned_elsewhere"
    assert target.query("SELECT owner FROM raw.a") == [("ours",)]
    # The other table of the step is nobody else's.
    assert target.query("SELECT owner FROM raw.b") == [("theirs",)]
    assert load_as("ours", tmp_path, target, "b").code == "table_owned_elsewhere"


def test_the_hint_is_the_way_out(warehouse: Warehouse, tmp_path: Path) -> None:
    target = Target(postgres(warehouse.config), warehouse.query)
    load_as("ours", tmp_path, target, "a")
    failure = load_as("theirs", tmp_path, target, "a").finished.failure
    assert failure is not None
    assert failure.hint is not None
    warehouse.query(failure.hint.partition("destination: ")[2].removesuffix("."))
    assert load_as("theirs", tmp_path, target, "a").code is None
    assert target.query("SELECT owner FROM raw.a") == [("theirs",)]


def test_without_an_owner_nothing_is_noted(target: Target, tmp_path: Path) -> None:
    assert load_as("", tmp_path, target, "a").code is None
    found = target.query(
        "SELECT 1 FROM information_schema.tables WHERE table_name = '_datanika_owner'"
    )
    assert found == []


def test_two_that_note_their_first_tables_at_once_both_do(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    target = Target(postgres(warehouse.config), warehouse.query)
    warehouse.query("CREATE SCHEMA raw")
    other = warehouse.connect()
    try:
        other.cursor().execute(
            "CREATE TABLE raw._datanika_owner (table_name varchar(63) PRIMARY KEY, "
            "owner varchar(64) NOT NULL, pipeline varchar(200), "
            "claimed_at timestamp with time zone DEFAULT current_timestamp)"
        )
        with ThreadPoolExecutor() as pool:
            loading = pool.submit(load_as, "ours", tmp_path, target, "a")
            time.sleep(3)
            other.commit()
            assert loading.result().code is None
    finally:
        other.close()
    assert target.query("SELECT table_name, owner FROM raw._datanika_owner") == [("a", "ours")]
