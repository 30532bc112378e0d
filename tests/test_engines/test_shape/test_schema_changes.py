"""A load says how its source differs from what was loaded last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from datanika.contracts.events import ColumnInfo, SchemaChanged
from datanika.contracts.spec import TableSpec
from tests.test_engines.steps import Outcome, duckdb, files, load, run


def load_t(root: Path, known: tuple[ColumnInfo, ...] = (), **columns: Any) -> Outcome:
    source = files(root)
    pq.write_table(pa.table(columns), root / "files" / "t.parquet")
    spec = TableSpec.model_validate(
        {"name": "t.parquet", "target": "t", "schema_contract": {"columns": "discard_value"}}
    )
    step = load(source, duckdb(root), spec)
    return run(step.model_copy(update={"known_columns": {"t": known} if known else {}}))


def changes(out: Outcome) -> list[tuple[str, str, str | None, str | None]]:
    return [
        (one.change, one.column, one.before, one.after)
        for event in out.events
        if isinstance(event, SchemaChanged)
        for one in event.changes
    ]


def test_new_removed_and_retyped_columns_are_told_once(tmp_path: Path) -> None:
    first = load_t(tmp_path, id=[1], old=["x"], n=pa.array([1], pa.int32()))
    assert changes(first) == []
    known = first.nodes["t"].source_columns
    same = load_t(tmp_path, known, id=[2], old=["y"], n=pa.array([1], pa.int32()))
    assert changes(same) == []
    # What the contract keeps out is told all the same.
    out = load_t(tmp_path, known, id=[1], n=pa.array([1], pa.int64()), new=[1.5])
    assert changes(out) == [
        ("retyped", "n", "INTEGER", "BIGINT"),
        ("added", "new", None, "DOUBLE"),
        ("removed", "old", "VARCHAR", None),
    ]
    again = load_t(tmp_path, out.nodes["t"].source_columns, id=[1], n=[1], new=[1.5])
    assert changes(again) == []
