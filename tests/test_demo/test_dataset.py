"""The demo's parquet files have the source's rows and the types it lost as CSV."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from datanika.demo.dataset import ROWS, read_table, write_files


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files") / "nyc"
    assert write_files(folder) == ROWS
    return folder


def test_integers_that_may_be_missing_stay_integers(folder):
    schema = pq.read_schema(folder / "flights.parquet")
    types = {field.name: str(field.type) for field in schema}
    assert types["dep_time"] == types["arr_delay"] == types["year"] == "int64"
    assert types["time_hour"] == "timestamp[us, tz=UTC]"
    assert types["tailnum"] == "string"


def test_the_files_hold_the_values_of_the_source(folder):
    flights = pq.read_table(folder / "flights.parquet")
    source = read_table("flights")
    assert flights["arr_delay"].null_count == int(source["arr_delay"].isna().sum()) == 9_430
    assert flights["tailnum"].null_count == int(source["tailnum"].isna().sum()) == 2_512
    total = sum(value for value in flights["distance"].to_pylist())
    assert total == int(source["distance"].sum())


def test_files_that_are_there_are_kept(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert write_files(folder) == ROWS
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_the_keys_that_the_load_merges_on_are_unique():
    assert not read_table("flights").duplicated(["time_hour", "carrier", "flight"]).any()
    assert not read_table("weather").duplicated(["time_hour", "origin"]).any()
