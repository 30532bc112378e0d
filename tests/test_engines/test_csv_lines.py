"""CSV files whose lines are rows for every reader, and those whose lines are not."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from datanika.engines.dlt_engine.sources.csv_types import missed, plain_rows

NUMBER = {"a": "BIGINT", "b": "VARCHAR"}


@pytest.mark.parametrize(
    ("content", "types", "rows"),
    [
        ("a,b\n1,x\n-2,\n,y\n", NUMBER, 3),
        ("a,b\r\n1,x\r\n2,y\r\n", NUMBER, 2),
        ('a,b\n"1","x, y"\n2,"say ""no"""\n3,""\n', NUMBER, 3),
        ("\ufeffa,b\n1,x", NUMBER, 1),
        ("a,b\n", NUMBER, None),
        ('a,b\n1,"two\nlines"\n', NUMBER, None),
        ('a,b\n1,"\n2,b\n3,"\n', NUMBER, None),
        ('a,b\n1,x"y\n', NUMBER, None),
        ('a,b\n1,"x"y\n', NUMBER, None),
        ('a,b\n"",x\n', NUMBER, None),
        ("a,b\n1,x\n\n2,y\n", NUMBER, None),
        ("a,b\n1,x\n2\n", NUMBER, None),
        ("a,b\n1,x,y\n", NUMBER, None),
        ("a,b\n1,x\n\\.\n", NUMBER, None),
        ("a,b\n01,x\n", NUMBER, None),
        ("a,b\n1e3,x\n", NUMBER, None),
        ("a,b\n1,x\x01y\n", NUMBER, None),
        ("a,b\n" + "1,x\n" * 5000 + "one,x\n", NUMBER, None),
        ("a,b\n1.5,x\n", {"a": "DECIMAL(38,9)", "b": "VARCHAR"}, 1),
        ("a,b\n1.0123456789,x\n", {"a": "DECIMAL(38,9)", "b": "VARCHAR"}, None),
        ("a,b\n1e3,x\n-0.5,x\n", {"a": "DOUBLE", "b": "VARCHAR"}, 2),
        ("a,b\n007,x\n", {"a": "DOUBLE", "b": "VARCHAR"}, None),
        ("a,b\n2024-02-29 23:59:59.5,x\n", {"a": "TIMESTAMP", "b": "VARCHAR"}, 1),
        ("a,b\n2024-02-29 24:00:00,x\n", {"a": "TIMESTAMP", "b": "VARCHAR"}, None),
        ("a,b\n2024-02-29 10:00:60,x\n", {"a": "TIMESTAMP", "b": "VARCHAR"}, None),
        ("a,b\nTrue,x\n", {"a": "BOOLEAN", "b": "VARCHAR"}, 1),
        ("a,b\nyes,x\n", {"a": "BOOLEAN", "b": "VARCHAR"}, None),
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "]", "^"])
def test_lines_are_rows_only_where_every_reader_sees_the_same(
    tmp_path: Path, content: str, types: dict[str, str], rows: int | None, delimiter: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content.replace(",", delimiter).encode())
    found = plain_rows(duckdb.connect(), [path, path], delimiter, types)
    assert found == (None if rows is None else 2 * rows)


def test_more_columns_than_an_expression_may_have_are_left_to_the_other_check(
    tmp_path: Path,
) -> None:
    names = [f"c{number}" for number in range(2_000)]
    path = tmp_path / "t.csv"
    path.write_text(",".join(names) + "\n" + ",".join("1" for _ in names) + "\n")
    types = dict.fromkeys(names, "DECIMAL(38,9)")
    assert plain_rows(duckdb.connect(), [path], ",", types) in (1, None)


def test_a_null_fits_every_type(tmp_path: Path) -> None:
    """Else every column with an empty field takes the slow way."""
    types = {"a": "BIGINT", "b": "DATE", "c": "DECIMAL(38,9)", "d": "DOUBLE"}
    rows = "(VALUES ('1', '2024-01-01', '1.5', '1e3'), (NULL, NULL, NULL, NULL)) AS t(a, b, c, d)"
    assert missed(duckdb.connect(), rows, types) == ([], 2, False)
