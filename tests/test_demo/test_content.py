"""The demo's pipeline compiles, its dbt project builds twice, and its marts equal pandas."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
import yaml

from datanika.compiler import build_project, check_schedule, compile_plan, plan_warnings
from datanika.contracts.spec import ConnectionRef
from datanika.demo import content, verify
from datanika.demo.dataset import ROWS, read_table, write_files

CONNECTIONS = {
    1: ConnectionRef(id=1, name=content.SOURCE, kind="files"),
    2: ConnectionRef(id=2, name=content.WAREHOUSE, kind="postgres"),
}


def test_the_pipeline_compiles_without_a_warning():
    plan = compile_plan(content.pipeline(1, 2), CONNECTIONS, content.transformations(2))
    assert plan.stages == (("load_nyc",), ("transform_nyc",))
    assert plan_warnings(plan) == ()


def test_tables_that_grow_are_merged_on_a_key_so_the_cursors_hour_can_be_read_again():
    grown = {
        table.target: table
        for table in content.pipeline(1, 2).steps[0].tables
        if table.cursor is not None
    }
    assert set(grown) == {"flights", "weather"}
    for table in grown.values():
        assert table.write_disposition == "merge"
        assert table.cursor.column in table.primary_key


def test_the_schedule_is_valid():
    given = content.SCHEDULE.model_dump()
    assert check_schedule(**given) == content.SCHEDULE


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A DuckDB file with the five tables and the project built by dbt itself, twice."""
    home = tmp_path_factory.mktemp("demo")
    write_files(home / "nyc")
    warehouse = home / "warehouse.duckdb"
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("create schema raw")
        for name in ROWS:
            connection.execute(f"create table raw.{name} as from '{home}/nyc/{name}.parquet'")
    load, transform = content.pipeline(1, 2).steps
    project = build_project("org1", transform, "duckdb", content.transformations(2), [load])
    for path, text in project.items():
        (home / path).parent.mkdir(exist_ok=True)
        (home / path).write_text(text)
    target = {"type": "duckdb", "path": str(warehouse), "schema": "staging", "threads": 2}
    (home / "profiles.yml").write_text(
        yaml.safe_dump({"org1": {"target": "t", "outputs": {"t": target}}})
    )
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "dbt.cli.main", "build", "--profiles-dir", "."],
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "PASS=26 WARN=1 ERROR=0 SKIP=0" in done.stdout
    return warehouse


def test_the_delay_mart_equals_pandas(built):
    with duckdb.connect(str(built)) as connection:
        rows = connection.execute(verify.MART_QUERY).fetchall()
    assert verify.compare_delays(rows) == []


def test_a_wrong_figure_is_found(built):
    with duckdb.connect(str(built)) as connection:
        rows = connection.execute(verify.MART_QUERY).fetchall()
    wrong = [*rows[:-1], (*rows[-1][:-1], rows[-1][-1] + 1)]
    assert "late_arrivals" in verify.compare_delays(wrong)[0]
    assert "184 rows" in verify.compare_delays(rows[:-1])[0]


def test_every_mart_covers_every_flight_once(built):
    with duckdb.connect(str(built)) as connection:
        for mart in ("delay_by_carrier_month", "route_punctuality", "daily_departures"):
            row = connection.execute(f"select sum(flights) from marts.{mart}").fetchone()
            assert row == (ROWS["flights"],), mart


def test_route_punctuality_equals_pandas(built):
    flights, weather = read_table("flights"), read_table("weather")
    joined = flights.merge(
        weather[["origin", "time_hour", "precip"]], on=["origin", "time_hour"], how="left"
    )
    wet = joined[joined["precip"] > 0]
    with duckdb.connect(str(built)) as connection:
        row = connection.execute(
            "select sum(flights), sum(on_time) from marts.route_punctuality where weather = 'wet'"
        ).fetchone()
    assert row == (len(wet), int((wet["arr_delay"] <= 15).sum()))


def test_daily_departures_equals_pandas(built):
    flights = read_table("flights")
    expected = flights.groupby(["year", "month", "day", "origin"])["tailnum"].nunique()
    with duckdb.connect(str(built)) as connection:
        row = connection.execute(
            "select count(*), sum(planes) from marts.daily_departures"
        ).fetchone()
    assert row == (len(expected), int(expected.sum()))


def test_missing_rows_of_a_loaded_table_are_named():
    counts = {f"raw.{name}": rows for name, rows in ROWS.items()}
    assert verify.compare_counts(counts) == []
    assert verify.compare_counts(counts | {"raw.flights": 336_775}) == [
        "raw.flights has 336,775 rows, the source 336,776"
    ]
