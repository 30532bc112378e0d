"""A load names the columns that broke their schema contract, as its destination calls them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datanika.contracts.spec import TableSpec
from tests.test_engines.steps import duckdb, files, load, run

Told = tuple[str | None, str, bool]
NULLED: Told = ("the_number", "discarded", False)


def breaches(
    root: Path, contract: dict[str, str], on_bad_row: str = "fail", **columns: Any
) -> set[Told]:
    """What a load tells after one of ``Id`` and ``The Number`` into a table that was not there."""
    source, target = files(root), duckdb(root)
    spec: dict[str, Any] = {"name": "t.parquet", "target": "t", "write_disposition": "append"}
    path = root / "files" / "t.parquet"
    pq.write_table(pa.table({"Id": [1], "The Number": [1]}), path)
    assert run(load(source, target, TableSpec.model_validate(spec))).code is None
    pq.write_table(pa.table(columns), path)
    spec |= {"schema_contract": contract, "on_bad_row": on_bad_row}
    found = run(load(source, target, TableSpec.model_validate(spec))).nodes["t"].breaches
    assert {one.relation for one in found} <= {"raw.t"}
    return {(one.column, str(one.how), one.is_new) for one in found}


@pytest.mark.parametrize(
    ("contract", "columns", "told"),
    [
        ({"columns": "freeze"}, {"Is New": ["x"]}, {("is_new", "frozen", True)}),
        ({"data_types": "freeze"}, {"The Number": ["x"]}, {("the_number", "frozen", False)}),
        ({"columns": "discard_value"}, {"Is New": ["x"]}, {("is_new", "discarded", True)}),
        ({"columns": "discard_row"}, {"Is New": ["x"]}, {("is_new", "discarded", True)}),
        ({"data_types": "discard_value"}, {"The Number": ["x"]}, {NULLED}),
        ({"data_types": "discard_row"}, {"The Number": ["x"]}, {NULLED}),
        ({}, {"Is New": ["x"]}, set()),
        ({"data_types": "discard_value"}, {"The Number": [2]}, set()),
    ],
)  # fmt: skip
def test_the_column_is_named(
    tmp_path: Path, contract: dict[str, str], columns: dict[str, Any], told: set[Told]
) -> None:
    assert breaches(tmp_path, contract, **({"Id": [2], "The Number": [2]} | columns)) == told


def test_rows_in_quarantine_name_their_column(tmp_path: Path) -> None:
    given = {"Id": [2, 3], "The Number": ["4", "x"]}
    told = breaches(tmp_path, {}, "quarantine", **given)
    assert told == {("the_number", "quarantined", False)}


@pytest.mark.parametrize(("mode", "how"), [("freeze", "frozen"), ("discard_row", "discarded")])
def test_a_table_that_is_not_taken_is_broken_as_a_whole(
    tmp_path: Path, mode: str, how: str
) -> None:
    source, target = files(tmp_path), duckdb(tmp_path)
    pq.write_table(pa.table({"id": [1]}), tmp_path / "files" / "t.parquet")
    spec = {"name": "t.parquet", "target": "t", "schema_contract": {"tables": mode}}
    [found] = run(load(source, target, TableSpec.model_validate(spec))).nodes["t"].breaches
    assert (found.relation, found.column, str(found.how)) == ("raw.t", None, how)
