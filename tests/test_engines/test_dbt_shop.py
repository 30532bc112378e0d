"""A whole dbt project: imported, built by the engine on two days, exported, built by dbt's own
command line, and every relation is the same."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb as duck
import psycopg2
import pytest
import yaml

from datanika.compiler import build_project
from datanika.compiler.importing.check import keep_what_holds
from datanika.compiler.importing.export import export_project
from datanika.compiler.importing.findings import Findings
from datanika.compiler.importing.reader import read_project
from datanika.compiler.state import NOTHING
from datanika.contracts.enums import DbtCommand, StepState
from datanika.contracts.events import NodeFinished, RunEvent, StepFinished
from datanika.contracts.spec import TransformationSpec, TransformStep
from datanika.contracts.steps import ResolvedConnection, ResolvedTransform
from datanika.engines.connectors.duckdb import database_path
from datanika.engines.dbt_engine.build import run_transform
from tests.support.postgres import Warehouse
from tests.support.shop_project import FILES, LATER_SEED
from tests.test_engines.steps import duckdb, postgres

CLICKS = (
    "create schema events",
    "create table events.raw_clicks as select 1 as id, 'home' as page, "
    "cast('2026-01-05' as timestamp) as seen_at union all "
    "select 2, 'cart', cast('2025-01-05' as timestamp)",
)
RELATIONS = (
    "select table_schema, table_name from information_schema.tables where table_schema like 'org%'"
    " or table_schema like 'main%' order by 1, 2"
)
MOVING = {"dbt_scd_id", "dbt_updated_at", "dbt_valid_from", "dbt_valid_to"}
"""What depends on the moment of the run."""


def imported(kind: str, **changes: str) -> tuple[TransformationSpec, ...]:
    found = Findings()
    if kind == "duckdb":
        model = "models/marts/orders_in_batches.sql"
        changes = {model: FILES[model].replace(", unique_key='order_id'", "")} | changes
    kept = keep_what_holds(read_project(FILES | changes, 2, found), (), kind, found)
    assert [one for one in found.all if one.level == "refused"] == []
    return tuple(item.spec for item in kept)


class Place:
    """A destination, and questions to it."""

    def __init__(self, connection: ResolvedConnection, dsn: str) -> None:
        self.connection, self.dsn, self.kind = connection, dsn, connection.kind

    @contextlib.contextmanager
    def _cursor(self) -> Iterator[Any]:
        if self.kind == "duckdb":
            with duck.connect(self.dsn) as database:
                yield database
        else:
            database = psycopg2.connect(self.dsn)
            database.autocommit = True
            with contextlib.closing(database), database.cursor() as cursor:
                yield cursor

    def ask(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        with self._cursor() as cursor:
            cursor.execute(sql)
            names = [column[0] for column in cursor.description or ()]
            return names, cursor.fetchall() if names else []

    def relations(self) -> dict[str, list[tuple[Any, ...]]]:
        found = {}
        for schema, table in self.ask(RELATIONS)[1]:
            names, rows = self.ask(f'select * from "{schema}"."{table}"')
            still = [index for index, name in enumerate(names) if name not in MOVING]
            content = [tuple(str(row[index]) for index in still) for row in rows]
            found[f"{schema}.{table}"] = [tuple(names), *sorted(content)]
        return found


def run(
    place: Place, folder: Path, specs: tuple[TransformationSpec, ...], **step: Any
) -> tuple[StepFinished, dict[str, NodeFinished]]:
    transform = TransformStep(
        key="t", destination_id=2, default_schema="org_shop", threads=1, **step
    )
    events: list[RunEvent] = []
    folder.mkdir()
    finished = run_transform(
        ResolvedTransform(
            run_id=1,
            attempt=1,
            step=transform,
            destination=place.connection,
            project_name="org1",
            files=build_project("org1", transform, place.kind, specs, ()),
        ),
        folder,
        events.append,
    )
    if place.kind == "duckdb":
        # A step is a process of its own; here its database would stay open.
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager

        DuckDBConnectionManager.close_all_connections()
    return finished, {event.name: event for event in events if isinstance(event, NodeFinished)}


def dbt(project: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dbt.cli.main", "--no-use-colors", *arguments,
         "--profiles-dir", ".", "--threads", "1"],
        cwd=project, capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(project)},
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.fixture(params=["duckdb", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "duckdb":
        path = database_path(duckdb(tmp_path))
        path.parent.mkdir(parents=True, exist_ok=True)
        return Place(duckdb(tmp_path), str(path))
    warehouse: Warehouse = request.getfixturevalue("warehouse")
    return Place(postgres(warehouse.config), warehouse.url)


def write(project: Path, files: dict[str, str]) -> None:
    for path, content in files.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(content)


@pytest.mark.timeout(300)
def test_an_imported_project_builds_and_its_export_gives_the_same_relations(
    place: Place, tmp_path: Path
) -> None:
    for statement in CLICKS:
        place.ask(statement)
    first, later = (
        imported(place.kind),
        imported(place.kind, **{"seeds/raw_orders.csv": LATER_SEED}),
    )

    finished, nodes = run(place, tmp_path / "day1", first)
    states = {name: str(event.state) for name, event in nodes.items()}
    broken = {name: nodes[name].failure for name, state in states.items() if state == "failed"}
    assert list(broken) == ["accepted_values_orders_appended_status__placed"], broken
    assert finished.failure is not None and finished.failure.code == "dbt_tests_failed"
    warned = {name for name, state in states.items() if state == "warned"}
    assert len(warned) == 2 and "no_order_is_huge" in warned
    assert not [name for name, state in states.items() if state == "skipped"]
    assert {states["cents_become_money"], states["all_days_at_first"]} == {"succeeded"}
    assert "switched_off" not in states

    finished, nodes = run(place, tmp_path / "day2", later)
    ours = place.relations()
    history = ours["org_shop_history.orders_history"]
    checked = ours["org_shop_history.statuses_checked"]
    assert len(history) - 1 == 5  # three, the changed one anew, a new one
    assert len(checked) - 1 == 5
    _, gone = place.ask(
        "select dbt_valid_to is null from org_shop_history.statuses_checked where order_id = 3"
    )
    assert gone == [(False,)]
    assert ours["org_shop.calendar"][-1][0].startswith("2026-01-14")

    if place.kind == "duckdb":
        builds_nothing(place, tmp_path, later)
    for schema in sorted({name.partition(".")[0] for name in ours}):
        place.ask(f"drop schema {schema} cascade")
    project = tmp_path / "exported"
    profile = _profile(place)
    for specs in (first, later):
        files = export_project("shop", 2, place.kind, specs)
        write(project, files)
        (project / "profiles.yml").write_text(yaml.safe_dump(profile))
        output = dbt(project, "build")
        assert "ERROR=1 " in output, output
    assert place.relations() == ours
    again = Findings()
    back = tuple(item.spec for item in read_project(files, 2, again))
    assert [one.code for one in again.all if one.level == "refused"] == []
    assert export_project("shop", 2, place.kind, back) == files


def builds_nothing(place: Place, tmp_path: Path, later: tuple[TransformationSpec, ...]) -> None:
    finished, nodes = run(place, tmp_path / "fresh", later, command=DbtCommand.SOURCE_FRESHNESS)
    assert finished.state is StepState.SUCCEEDED, finished.failure
    assert str(nodes["clicks"].state) == "warned"
    finished, nodes = run(place, tmp_path / "nothing", later, select=(NOTHING,))
    assert (finished.state, nodes) == (StepState.SUCCEEDED, {})
    exact = tuple(
        item.model_copy(
            update={"project": item.project.model_copy(update={"schema_names": "exact"})}
        )
        if item.project is not None
        else item
        for item in later
    )
    finished, nodes = run(
        place, tmp_path / "tests", exact, command=DbtCommand.TEST, store_failures=True,
        fail_fast=True, select=("orders_appended",), full_refresh=True,
    )  # fmt: skip
    [failed] = nodes.values()
    assert str(failed.state) == "failed"
    _, kept = place.ask(f"select value_field from org_shop_dbt_test__audit.{failed.name}")
    assert kept == [("shipped",)]


def _profile(place: Place) -> dict[str, Any]:
    output: dict[str, Any] = {"type": place.kind, "schema": "org_shop"}
    if place.kind == "duckdb":
        output["path"] = place.dsn
    else:
        config = place.connection.config
        output |= {
            "host": config["host"], "port": config["port"], "user": config["user"],
            "password": config["password"], "dbname": config["database"],
        }  # fmt: skip
    return {"shop": {"target": "t", "outputs": {"t": output}}}
