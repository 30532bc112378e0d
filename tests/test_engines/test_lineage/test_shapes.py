"""Every SQL shape against the truth about it, and both against the databases themselves."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pytest
import yaml

from datanika.contracts.lineage import LineageKind, SourceColumn, StatementLineage
from datanika.engines.lineage import trace
from tests.support.lineage_tables import COLUMNS, Tables, known_columns, tables_of
from tests.support.postgres import PostgresServer

Origins = set[tuple[str, str]]
KINDS = ("postgres", "duckdb")
TRIES = 30
"""How many other values may leave a result as it is before an input counts as none."""


@cache
def shapes() -> list[dict[str, Any]]:
    text = Path(__file__).with_name("shapes.yaml").read_text("utf-8")
    found: list[dict[str, Any]] = yaml.safe_load(text)
    return found


def on(kind: str) -> list[dict[str, Any]]:
    return [shape for shape in shapes() if kind in shape.get("dialects", KINDS)]


def lineage_of(shape: dict[str, Any], kind: str, columns: list[str] | None) -> StatementLineage:
    known = known_columns(kind, without=shape.get("open", ()))
    return trace(shape["sql"], kind, known, columns=columns)


def origins(text: str) -> Origins:
    return {tuple(f"raw.{one}".rsplit(".", 1)) for one in text.split()}  # type: ignore[misc]


def told(sources: tuple[SourceColumn, ...]) -> Origins:
    return {(one.relation, one.column) for one in sources}


CASES = [(kind, shape) for kind in KINDS for shape in on(kind)]


@pytest.mark.parametrize(
    ("kind", "shape"), CASES, ids=[f"{kind}: {shape['shape']}" for kind, shape in CASES]
)
def test_a_shape_has_the_lineage_that_is_true(kind: str, shape: dict[str, Any]) -> None:
    lineage = lineage_of(shape, kind, list(shape["columns"]))

    assert [one.column for one in lineage.columns] == list(shape["columns"])
    for one, truth in zip(lineage.columns, shape["columns"].values(), strict=True):
        direct, _, indirect = truth.partition("|")
        name, _, inputs = direct.strip().partition(" ")
        assert (one.kind, told(one.inputs)) == (name, origins(inputs)), (one, lineage.rows_reason)
        assert told(one.indirect) == origins(indirect), one
        assert (one.reason is None) == (one.kind is not LineageKind.UNKNOWN)
    rows = shape.get("rows", "")
    if rows == "?":
        assert lineage.rows is None and lineage.rows_reason
    else:
        assert lineage.rows is not None, lineage.rows_reason
        assert told(lineage.rows) == origins(rows)


def test_there_are_at_least_eighty_shapes_and_each_is_there_once() -> None:
    names = [shape["shape"] for shape in shapes()]
    assert len(names) >= 80
    assert len(set(names)) == len(names)


@pytest.fixture(scope="module", params=KINDS)
def databases(request: pytest.FixtureRequest) -> Iterator[list[Tables]]:
    """The same tables with different values."""
    if request.param == "duckdb":
        with duckdb.connect(config={"threads": 1}) as connection:
            found = []
            for seed in range(2):
                connection.execute(f"attach ':memory:' as d{seed}")
                cursor = connection.cursor()
                cursor.execute(f"use d{seed}")
                found.append(Tables(cursor, "duckdb", seed))
            for tables in found:
                tables.create()
            yield found
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    names = [f"lineage_{seed}" for seed in range(2)]
    connections = []
    try:
        for name in names:
            server.create_database(name, "lineage", "lineage")
            connection = psycopg2.connect(server.url("lineage", "lineage", name))
            connection.autocommit = True
            connections.append(connection)
        found = [
            Tables(connection.cursor(), "postgres", seed)
            for seed, connection in enumerate(connections)
        ]
        for tables in found:
            tables.create()
        yield found
    finally:
        for connection in connections:
            connection.close()
        for name in names:
            server.drop_database(name)


def test_every_shape_runs_and_only_what_is_told_changes_its_columns(
    databases: list[Tables],
) -> None:
    """And what is told as an input does change them, for some values."""
    kind = databases[0].kind
    wrong: list[str] = []
    for shape in on(kind):
        if shape.get("run") is False:
            continue
        lineage = lineage_of(shape, kind, list(shape["columns"]))
        moved: list[Origins] = [set() for _ in lineage.columns]
        inputs = [told(one.inputs) for one in lineage.columns]
        silent = origins(shape.get("silent", ""))
        for tables in databases:
            names, before = tables.result(shape["sql"])
            if shape.get("names", True):
                expected = list(shape["columns"])
                ignoring = shape.get("ignore_case", False)
                assert (
                    [n.lower() for n in names] == [n.lower() for n in expected]
                    if ignoring
                    else names == expected
                ), shape["shape"]
            for table, column in columns_of(kind, shape["sql"]):
                one = (f"raw.{table}", column)
                after = tables.changed(shape["sql"], table, column)
                moves(moved, one, before, after)
                wanted = {n for n, told_of in enumerate(inputs) if one in told_of - silent}
                for _ in range(TRIES):
                    if all(one in moved[place] for place in wanted):
                        break
                    after = tables.changed(shape["sql"], table, column)
                    moves(moved, one, before, after)
        rows = None if lineage.rows is None else told(lineage.rows)
        for one, changed_by in zip(lineage.columns, moved, strict=True):
            if one.kind is LineageKind.UNKNOWN:
                continue
            own = told(one.inputs)
            if rows is not None and (more := changed_by - own - told(one.indirect) - rows):
                wrong.append(f"{shape['shape']}: {one.column} also depends on {more}")
            if less := own - changed_by - silent:
                wrong.append(f"{shape['shape']}: {one.column} does not depend on {less}")
    assert not wrong, "\n".join(wrong)


def moves(moved: list[Origins], one: tuple[str, str], before: list[Any], after: list[Any]) -> None:
    """Note the columns that the change of ``one`` has changed."""
    for place, (was, now) in enumerate(zip(before, after, strict=True)):
        if was != now and place < len(moved):
            moved[place].add(one)


def columns_of(kind: str, sql: str) -> list[tuple[str, str]]:
    """The columns of the tables that ``sql`` names."""
    return [
        (table, column)
        for table in tables_of(kind)
        if table.lower() in sql.lower()
        for column in COLUMNS[table]
    ]
