"""Filters choose the same rows in SQL, in arrow and in JSON, and paste nothing into a statement."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datanika.contracts.shape import Filter
from datanika.contracts.spec import TableSpec
from datanika.engines.dlt_engine.shape.filters import ArrowFilter, RowFilter
from datanika.errors import TerminalStepError
from tests.support.postgres import Warehouse
from tests.test_engines.steps import duckdb, files, load, postgres, run
from tests.test_engines.targets import ask_duckdb

ROWS: list[dict[str, Any]] = [
    {"id": 1, "name": "ann", "price": 1.5, "ok": True, "at": "2026-01-01T00:00:00+00:00"},
    {"id": 2, "name": "Bob", "price": 2.5, "ok": False, "at": "2026-01-02T00:00:00+00:00"},
    {"id": 3, "name": None, "price": None, "ok": None, "at": "2026-01-03T00:00:00+00:00"},
    {"id": 4, "name": "o'neil \\", "price": -1.0, "ok": True, "at": "2026-01-04T00:00:00+00:00"},
    {"id": 5, "name": "", "price": 10.0, "ok": False, "at": "2026-01-05T00:00:00+00:00"},
]
MOMENT = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)

CASES: list[tuple[dict[str, Any], set[int]]] = [
    ({"column": "id", "operator": "eq", "value": 2}, {2}),
    ({"column": "id", "operator": "ne", "value": 2}, {1, 3, 4, 5}),
    ({"column": "id", "operator": "gt", "value": "3"}, {4, 5}),
    ({"column": "id", "operator": "in", "values": [1, 5, 9]}, {1, 5}),
    ({"column": "id", "operator": "not_in", "values": [1, 5, 9]}, {2, 3, 4}),
    ({"column": "name", "operator": "eq", "value": "o'neil \\"}, {4}),
    ({"column": "name", "operator": "eq", "value": ""}, {5}),
    ({"column": "name", "operator": "ne", "value": "ann"}, {2, 4, 5}),
    ({"column": "name", "operator": "not_in", "values": ["ann", "Bob"]}, {4, 5}),
    # By code points: "B" is before "a", whatever the source's collation.
    ({"column": "name", "operator": "lt", "value": "a"}, {2, 5}),
    ({"column": "name", "operator": "is_null"}, {3}),
    ({"column": "name", "operator": "not_null"}, {1, 2, 4, 5}),
    ({"column": "price", "operator": "gte", "value": 2.5}, {2, 5}),
    ({"column": "price", "operator": "lte", "value": 1.5}, {1, 4}),
    ({"column": "ok", "operator": "eq", "value": True}, {1, 4}),
    ({"column": "at", "operator": "gt", "value": MOMENT}, {3, 4, 5}),
    ({"column": "at", "operator": "lt", "value": dt.date(2026, 1, 3)}, {1, 2}),
    ({"column": "name", "operator": "eq", "value": "' OR 1=1 --"}, set()),
    ({"column": "name", "operator": "eq", "value": "\\' OR 1=1 --"}, set()),
]
IDS = [f"{case['column']}-{case['operator']}-{n}" for n, (case, _) in enumerate(CASES)]


def spec(name: str, *filters: dict[str, Any], **more: Any) -> TableSpec:
    return TableSpec(
        name=name, target="t", filters=tuple(Filter.model_validate(f) for f in filters), **more
    )


def arrow() -> pa.Table:
    rows = [{**row, "at": dt.datetime.fromisoformat(row["at"])} for row in ROWS]
    schema = pa.schema(
        [
            ("id", pa.int64()),
            ("name", pa.string()),
            ("price", pa.float64()),
            ("ok", pa.bool_()),
            ("at", pa.timestamp("us", "UTC")),
        ]
    )
    return pa.Table.from_pylist(rows, schema)


@pytest.mark.parametrize(("case", "expected"), CASES, ids=IDS)
def test_rows_and_arrow_agree(case: dict[str, Any], expected: set[int]) -> None:
    one = Filter.model_validate(case)
    assert {row["id"] for row in ROWS if RowFilter([one])(row)} == expected
    table = arrow()
    assert set(ArrowFilter([one], table.schema)(table).column("id").to_pylist()) == expected


def test_a_postgres_source_is_asked_for_the_rows_that_meet_them(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    warehouse.query("CREATE SCHEMA shop")
    warehouse.query(
        "CREATE TABLE shop.t (id int, name text, price numeric, ok boolean, at timestamptz)"
    )
    for row in ROWS:
        values = ", ".join("NULL" if v is None else f"${v}$" for v in row.values())
        warehouse.query(f"INSERT INTO shop.t VALUES ({values.replace('$', '$$')})")
    for case, expected in CASES:
        source, target = postgres(warehouse.config), duckdb(tmp_path)
        out = run(load(source, target, spec("t", case), source_schema="shop"))
        assert out.finished.failure is None, case
        found = {row[0] for row in ask_duckdb(tmp_path)("SELECT id FROM raw.t")}
        assert found == expected, case


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
def test_files_are_filtered_as_they_are_read(tmp_path: Path, format: str) -> None:
    source = files(tmp_path, format)
    path = tmp_path / "files" / f"t.{format}"
    if format == "jsonl":
        path.write_text("\n".join(map(json.dumps, ROWS)))
    elif format == "parquet":
        pq.write_table(arrow(), path)
    else:
        lines = ["id,name,price,ok,at"]
        for row in ROWS:
            cells = ("" if v is None else f'"{v}"' for v in row.values())
            lines.append(",".join(cells))
        path.write_text("\n".join(lines))
    for case, expected in CASES:
        out = run(load(source, duckdb(tmp_path), spec(f"t.{format}", case)))
        assert out.finished.failure is None, case
        found = {row[0] for row in ask_duckdb(tmp_path)("SELECT id FROM raw.t")}
        assert found == expected, case


def test_all_filters_have_to_be_met_and_their_columns_need_not_arrive(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    warehouse.query("CREATE SCHEMA shop")
    warehouse.query(
        "CREATE TABLE shop.t AS SELECT i AS id, i % 2 AS odd FROM generate_series(1,9) i"
    )
    table = spec(
        "t",
        {"column": "odd", "operator": "eq", "value": 1},
        {"column": "id", "operator": "gt", "value": 4},
        columns=("id",),
    )
    out = run(load(postgres(warehouse.config), duckdb(tmp_path), table, source_schema="shop"))
    assert out.finished.failure is None
    ask = ask_duckdb(tmp_path)
    assert ask("SELECT id FROM raw.t ORDER BY id") == [(5,), (7,), (9,)]
    assert "odd" not in {column.name for column in out.nodes["t"].columns}


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ({"column": "id", "operator": "eq", "value": "one"}, "filter_invalid"),
        ({"column": "at", "operator": "eq", "value": "soon"}, "filter_invalid"),
        ({"column": "nothing", "operator": "eq", "value": 1}, "column_missing"),
        ({"column": "tags", "operator": "eq", "value": 1}, "filter_unsupported"),
    ],
)
def test_a_filter_that_cannot_be_is_named_before_the_table_is_touched(
    warehouse: Warehouse, tmp_path: Path, case: dict[str, Any], code: str
) -> None:
    warehouse.query("CREATE SCHEMA shop")
    warehouse.query("CREATE TABLE shop.t AS SELECT 1 AS id, now() AS at, '{1}'::int[] AS tags")
    source = files(tmp_path)
    table = pa.table(
        {
            "id": [1],
            "at": pa.array([dt.datetime.now(dt.UTC)], pa.timestamp("us", "UTC")),
            "tags": [[1]],
        }
    )
    pq.write_table(table, tmp_path / "files" / "t.parquet")
    for step in (
        load(postgres(warehouse.config), duckdb(tmp_path), spec("t", case), source_schema="shop"),
        load(source, duckdb(tmp_path), spec("t.parquet", case)),
    ):
        out = run(step)
        assert out.code == code
        assert case["column"] in str(out.finished.failure)
    with pytest.raises(TerminalStepError) as caught:
        ArrowFilter([Filter.model_validate(case)], table.schema)
    assert caught.value.code == code


def test_a_domain_does_not_limit_what_it_is_compared_with(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    warehouse.query("CREATE SCHEMA shop")
    warehouse.query("CREATE DOMAIN shop.positive AS numeric(10,2) CHECK (value > 0)")
    warehouse.query("CREATE TYPE shop.mood AS ENUM ('sad', 'ok')")
    warehouse.query("CREATE TABLE shop.t AS SELECT 5::shop.positive AS price, 'ok'::shop.mood AS m")
    table = spec(
        "t",
        {"column": "price", "operator": "gt", "value": -1},
        {"column": "m", "operator": "eq", "value": "ok"},
    )
    out = run(load(postgres(warehouse.config), duckdb(tmp_path), table, source_schema="shop"))
    assert out.finished.failure is None
    assert ask_duckdb(tmp_path)("SELECT price FROM raw.t") == [(Decimal("5.00"),)]
