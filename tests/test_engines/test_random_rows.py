"""Random rows arrive as they are, whichever way they take (F11)."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.postgres import Warehouse
from tests.test_engines import steps
from tests.test_engines.steps import files, load, run, table
from tests.test_engines.test_type_matrix import through_arrow

TEXTS = st.none() | st.text(
    st.characters(codec="utf-8", exclude_characters="\x00\r") | st.sampled_from("\",;\\.\n'")
)
VALUES = st.sampled_from(
    [
        *("0", "-7", "007", "+1", "12", "9223372036854775807", "9223372036854775808", "1_000"),
        *("0x1F", "1.5", ".5", "1.", "1e3", "1.1234567891", "NaN", "infinity", "true", "t", ""),
        *("2024-02-29", "2023-02-29", "today", "2024-02-29 10:00", "2024-02-29T10:00:00Z", " 7"),
    ]
)
ROWS = st.lists(st.tuples(TEXTS, VALUES), max_size=6)
FEW = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def rows_of(warehouse: Warehouse, name: str) -> list[Any]:
    return warehouse.query(
        f"SELECT id, note, value::text, pg_typeof(value)::text FROM raw.{name} ORDER BY id"
    )


@FEW
@given(rows=ROWS)
@example(rows=[("\\.", "1"), ('"', "2"), ("", ""), (None, "3")])
@example(rows=[("a", "1")] * 3 + [("b", "01")])
def test_rows_of_a_csv(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[Any]
) -> None:
    root = tmp_path / "org"
    shutil.rmtree(root, ignore_errors=True)
    source = files(root, "csv")
    with (root / "files" / "t.csv").open("w", encoding="utf-8", newline="") as file:
        # None is an empty field, and an empty text is a quoted one.
        writer = csv.writer(file, quoting=csv.QUOTE_NOTNULL, lineterminator="\n")
        writer.writerow(["id", "note", "value"])
        file.write(",".join(["0", '"no number"', "\n"]))
        for number, (note, value) in enumerate(rows, 1):
            file.write(f"{number},")
            writer.writerow([note, value if not value.isdecimal() else value])
    destination = steps.postgres(warehouse.config)
    warehouse.query("DROP SCHEMA IF EXISTS raw CASCADE")
    out = run(load(source, destination, table("t.csv", "direct")))
    assert out.finished.failure is None
    with monkeypatch.context() as patch:
        through_arrow(patch)
        assert run(load(source, destination, table("t.csv", "arrow"))).finished.failure is None
    found = rows_of(warehouse, "direct")
    assert found == rows_of(warehouse, "arrow")
    assert [row[1] for row in found] == ["no number", *(note for note, _ in rows)]
    if found[-1][3] in ("character varying", "text"):
        assert [row[2] for row in found[1:]] == [value for _, value in rows]


@FEW
@given(
    rows=st.lists(
        st.tuples(
            TEXTS,
            st.none() | st.decimals(allow_nan=True, allow_infinity=False, places=9),
            st.none() | st.floats(),
            st.none() | st.binary(max_size=9),
            st.none() | st.integers(-(2**63), 2**63 - 1),
        ),
        max_size=6,
    )
)
def test_rows_of_a_postgres_table(warehouses: tuple[Warehouse, Warehouse], rows: list[Any]) -> None:
    source, target = warehouses
    source.query("DROP TABLE IF EXISTS t")
    source.query("CREATE TABLE t (id int, a text, b numeric, c float8, d bytea, e bigint)")
    for number, row in enumerate(rows):
        source.query("INSERT INTO t VALUES (%s, %s, %s, %s, %s, %s)", (number, *row))
    connections = steps.postgres(source.config), steps.postgres(target.config)
    out = run(load(*connections, table("t", "t")))
    assert out.finished.failure is None
    sql = "SELECT t::text FROM (SELECT id, a, b, c, d, e FROM {}t) t ORDER BY id"
    assert target.query(sql.format("raw.")) == source.query(sql.format(""))
