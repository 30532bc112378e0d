"""A merge deletes what its source marks as deleted, and counts it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datanika.contracts.spec import TableSpec
from tests.test_engines.steps import Outcome, duckdb, files, load, run
from tests.test_engines.targets import Target, ask_duckdb

NOW = dt.datetime(2026, 1, 1)


def merge(root: Path, target: Target, rows: dict[str, Any], cursor: bool = False) -> Outcome:
    source = files(root)
    pq.write_table(pa.table(rows), root / "files" / "t.parquet")
    spec = TableSpec.model_validate(
        {
            "name": "t.parquet",
            "target": "t",
            "write_disposition": "merge",
            "primary_key": ["id"],
            "delete_column": "gone",
            "cursor": {"column": "at"} if cursor else None,
        }
    )
    out = run(load(source, target.connection, spec))
    assert out.finished.failure is None
    return out


@pytest.mark.parametrize(
    ("kept", "marks"),
    [
        (False, True),
        (0, 1),
        (None, NOW),
        ("", "yes"),
        ("False", "TRUE"),
        (0.0, 0.5),
    ],
    ids=["bool", "int", "time", "text", "words", "double"],
)
def test_a_mark_deletes_the_row(target: Target, tmp_path: Path, kept: Any, marks: Any) -> None:
    first = merge(tmp_path, target, {"id": [1, 2, 9], "gone": [kept, kept, marks]})
    # Marked before it was ever there.
    assert target.query("SELECT id FROM raw.t ORDER BY id") == [(1,), (2,)]
    assert first.nodes["t"].details["deleted_rows"] == 1
    out = merge(tmp_path, target, {"id": [2, 3, 4], "gone": [marks, kept, marks]})
    assert target.query("SELECT id FROM raw.t ORDER BY id") == [(1,), (3,)]
    assert out.nodes["t"].details["deleted_rows"] == 2


def test_all_rows_may_be_marked(target: Target, tmp_path: Path) -> None:
    merge(tmp_path, target, {"id": [1], "gone": [False]})
    merge(tmp_path, target, {"id": [1], "gone": [True]})
    assert target.count("raw.t") == 0


def test_of_one_key_the_newest_row_counts(tmp_path: Path) -> None:
    target = Target(duckdb(tmp_path), ask_duckdb(tmp_path))
    merge(tmp_path, target, {"id": [1, 2], "at": [1, 1], "gone": [False, False]}, cursor=True)
    rows = {
        "id": [1, 1, 2, 2, 3, 3],
        "at": [2, 3, 2, 3, 4, 4],
        "gone": [True, False, False, True, False, True],
    }
    merge(tmp_path, target, rows, cursor=True)
    # 1 came back, 2 went, and of 3 nobody knows, so it is not there.
    assert target.query("SELECT id, t.at FROM raw.t AS t") == [(1, 3)]
