"""What a load may change of a table's schema, on the arrow path and on rows."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datanika.contracts.spec import TableSpec
from datanika.engines.dlt_engine.shape.contract import holds, widened
from datanika.engines.dlt_engine.shape.rows import RowJudge
from tests.support.postgres import Warehouse
from tests.test_engines.steps import Outcome, duckdb, files, load, postgres, run
from tests.test_engines.targets import Target, ask_duckdb


def put(root: Path, **columns: Any) -> None:
    pq.write_table(pa.table(columns), root / "files" / "t.parquet")


def load_t(
    root: Path, target: Target, contract: dict[str, str] | None = None, **more: Any
) -> Outcome:
    spec = TableSpec.model_validate(
        {
            "name": "t.parquet",
            "target": "t",
            "write_disposition": "append",
            "schema_contract": contract or {},
            **more,
        }
    )
    return run(load(files(root), target.connection, spec))


@pytest.fixture
def ducks(tmp_path: Path) -> Target:
    files(tmp_path)
    return Target(duckdb(tmp_path), ask_duckdb(tmp_path))


def test_a_frozen_table_must_be_there(tmp_path: Path, ducks: Target) -> None:
    put(tmp_path, id=[1])
    assert load_t(tmp_path, ducks, {"tables": "freeze"}).code == "schema_contract_violated"
    out = load_t(tmp_path, ducks, {"tables": "discard_row"})
    assert (out.code, out.nodes["t"].details["verdict"]) == (None, "discarded")
    assert ducks.query("SELECT 1 FROM duckdb_tables() WHERE table_name = 't'") == []
    load_t(tmp_path, ducks)
    assert load_t(tmp_path, ducks, {"tables": "freeze"}).code is None
    assert ducks.count("raw.t") == 2


@pytest.mark.parametrize(
    ("mode", "rows"),
    [("discard_value", [(1,), (2,), (3,)]), ("discard_row", [(1,), (3,)])],
)
def test_a_new_column_is_left_out(
    tmp_path: Path, ducks: Target, mode: str, rows: list[tuple[int]]
) -> None:
    put(tmp_path, id=[1])
    load_t(tmp_path, ducks)
    put(tmp_path, id=[2, 3], new=["x", None])
    out = load_t(tmp_path, ducks, {"columns": mode})
    assert out.code is None
    assert "new" not in {column.name for column in out.nodes["t"].columns}
    assert ducks.query("SELECT id FROM raw.t ORDER BY id") == rows
    details = out.nodes["t"].details
    assert details["source_rows"] == details["loaded_rows"] + details["discarded_rows"] == 2


def test_a_frozen_schema_names_the_column_and_leaves_the_table(
    target: Target, tmp_path: Path
) -> None:
    files(tmp_path)
    put(tmp_path, id=[1], n=[1])
    load_t(tmp_path, target)
    before = target.query("SELECT * FROM raw.t")
    put(tmp_path, id=[2], n=[1], new=["x"])
    out = load_t(tmp_path, target, {"columns": "freeze"}, write_disposition="replace")
    assert out.code == "schema_contract_violated"
    assert "'new'" in str(out.finished.failure)
    put(tmp_path, id=[2], n=["x"])
    out = load_t(tmp_path, target, {"data_types": "freeze"}, write_disposition="replace")
    assert out.code == "schema_contract_violated"
    assert "'n'" in str(out.finished.failure)
    assert target.query("SELECT * FROM raw.t") == before


def test_numbers_are_widened_where_nothing_is_lost(target: Target, tmp_path: Path) -> None:
    files(tmp_path)
    put(
        tmp_path,
        id=[1],
        n=pa.array([7], pa.int16()),
        price=pa.array([Decimal("1234.56")], pa.decimal128(6, 2)),
        mixed=pa.array([5], pa.int32()),
    )
    assert load_t(tmp_path, target).code is None
    put(
        tmp_path,
        id=[2],
        n=pa.array([2**40], pa.int64()),
        price=pa.array([Decimal("12345678.1234")], pa.decimal128(12, 4)),
        mixed=pa.array([Decimal("0.25")], pa.decimal128(4, 2)),
    )
    assert load_t(tmp_path, target).code is None
    expected = [
        (1, 7, Decimal("1234.56"), Decimal(5)),
        (2, 2**40, Decimal("12345678.1234"), Decimal("0.25")),
    ]
    assert target.query("SELECT id, n, price, mixed FROM raw.t ORDER BY id") == expected
    # And again, from what dlt has stored of it.
    put(tmp_path, id=[3], n=[3], price=[Decimal("1.0001")], mixed=[1])
    assert load_t(tmp_path, target).code is None
    assert target.query("SELECT price FROM raw.t WHERE id = 3") == [(Decimal("1.0001"),)]


def test_a_column_that_a_view_reads_stays_and_bad_rows_are_kept(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    target = Target(postgres(warehouse.config), warehouse.query)
    files(tmp_path)
    put(tmp_path, id=[1], n=pa.array([7], pa.int16()))
    load_t(tmp_path, target)
    warehouse.query("CREATE VIEW raw.v AS SELECT n FROM raw.t")
    put(tmp_path, id=[2, 3], n=pa.array([5, 2**40], pa.int64()))
    out = load_t(tmp_path, target, on_bad_row="quarantine")
    assert out.code is None
    assert warehouse.query("SELECT n FROM raw.v ORDER BY n") == [(5,), (7,)]
    assert warehouse.query("SELECT column_name FROM raw_quarantine.t") == [("n",)]


@pytest.mark.parametrize(
    ("mode", "rows", "counted"),
    [
        ("discard_value", [(1, 1), (2, None), (3, 3)], {"discarded_values": 1}),
        ("discard_row", [(1, 1), (3, 3)], {"discarded_rows": 1}),
    ],
)
def test_a_value_of_another_type_is_discarded_as_asked(
    tmp_path: Path,
    ducks: Target,
    mode: str,
    rows: list[tuple[int, int | None]],
    counted: dict[str, int],
) -> None:
    put(tmp_path, id=[1], n=[1])
    load_t(tmp_path, ducks)
    put(tmp_path, id=[2, 3], n=["x", "3"])
    out = load_t(tmp_path, ducks, {"data_types": mode})
    assert out.code is None
    assert ducks.query("SELECT id, n FROM raw.t ORDER BY id") == rows
    assert counted.items() <= out.nodes["t"].details.items()


DECIMALS = st.integers(1, 38).flatmap(
    lambda p: st.integers(0, p).map(lambda s: pa.decimal128(p, s))
)
NUMBERS = st.one_of(st.sampled_from([pa.int16(), pa.int32(), pa.int64()]), DECIMALS)


@given(NUMBERS, NUMBERS)
def test_a_widened_type_holds_both(first: pa.DataType, second: pa.DataType) -> None:
    wider = second if holds(second, first) else widened(first, second)
    if wider is not None:
        assert holds(wider, first)
        assert holds(wider, second)


# -- rows -----------------------------------------------------------------------------------------

STORED = {"id": {"data_type": "bigint"}, "name": {"data_type": "text"}}


def judge(rows: list[dict[str, Any]], **settings: Any) -> tuple[list[Any], list[str], Any]:
    from datanika.engines.dlt_engine.shape.bad_rows import Discarded

    bad: list[Any] = []
    discarded = Discarded()
    table = TableSpec.model_validate({"name": "t", **settings})
    judge = RowJudge(table, STORED, str.lower, ("iso_timestamp",), bad.append, discarded)
    judged = [judge.judge(row) for row in rows]
    return [row for row in judged if row is not None], [one.code for one in bad], discarded


@pytest.mark.parametrize(
    ("settings", "kept", "codes"),
    [
        ({"schema_contract": {"columns": "discard_value"}}, [{"id": 1}, {"id": 2}], []),
        ({"schema_contract": {"columns": "discard_row"}}, [{"id": 2}], []),
        ({"schema_contract": {}}, [{"id": 1, "new": 1}, {"id": 2}], []),
    ],
)
def test_rows_keep_the_contract_of_columns(
    settings: dict[str, Any], kept: list[Any], codes: list[str]
) -> None:
    found, bad, _ = judge([{"id": 1, "new": 1}, {"id": 2}], **settings)
    assert (found, bad) == (kept, codes)


@pytest.mark.parametrize(
    ("settings", "kept", "codes"),
    [
        ({"schema_contract": {"data_types": "discard_value"}}, [{"id": None}, {"id": 2}], []),
        ({"schema_contract": {"data_types": "discard_row"}}, [{"id": 2}], []),
        ({"on_bad_row": "quarantine"}, [{"id": 2}], ["type_changed"]),
    ],
)
def test_rows_keep_the_contract_of_types(
    settings: dict[str, Any], kept: list[Any], codes: list[str]
) -> None:
    found, bad, _ = judge([{"id": "one"}, {"id": 2}], **settings)
    assert (found, bad) == (kept, codes)


@pytest.mark.parametrize("part", ["columns", "data_types"])
def test_frozen_rows_name_the_column(part: str) -> None:
    from datanika.errors import TerminalStepError

    row = {"new": 1} if part == "columns" else {"id": "one"}
    with pytest.raises(TerminalStepError) as caught:
        judge([row], schema_contract={part: "freeze"})
    assert caught.value.code == "schema_contract_violated"
    assert repr(next(iter(row))) in caught.value.message


@pytest.mark.parametrize(
    "value", [2**70, "a\0b", "\ud800", float("inf"), {"deep": [{"er": "\udfff"}]}]
)
def test_what_nothing_can_hold_is_named(value: Any) -> None:
    from datanika.errors import TerminalStepError

    with pytest.raises(TerminalStepError) as caught:
        judge([{"name": value}])
    assert "'name'" in caught.value.message
    _, codes, _ = judge([{"name": value}], on_bad_row="quarantine")
    assert codes == [caught.value.code]
    json.dumps(codes)
