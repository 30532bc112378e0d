"""The demo's figures, computed a second way: pandas on the source files against the warehouse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from datanika.demo.content import MARTS, RAW
from datanika.demo.dataset import ROWS, read_table

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 1e-9
"""Relative. Counts are compared exactly; averages as PostgreSQL and pandas round them."""

MART_COLUMNS = (
    "carrier", "carrier_name", "year", "month", "flights", "cancelled", "avg_departure_delay",
    "avg_arrival_delay", "late_arrivals",
)  # fmt: skip
MART_QUERY = (
    f"select {', '.join(MART_COLUMNS)} from {MARTS}.delay_by_carrier_month "
    "order by carrier, year, month"
)

SHOWN_COLUMNS = ("airline", "month", "flights", "cancelled", "dep. delay", "arr. delay")
"""A few of :data:`MART_COLUMNS`, for people; :func:`shown` picks them. Delays in minutes."""


def shown(row: Sequence[Any]) -> tuple[Any, ...]:
    """The :data:`SHOWN_COLUMNS` of one row of :data:`MART_QUERY`."""
    _, airline, year, month, flights, cancelled, departure, arrival, _ = row
    return airline, f"{year}-{month:02}", flights, cancelled, departure, arrival


def expected_delays() -> pd.DataFrame:
    """``delay_by_carrier_month`` straight from the source: 185 rows, :data:`MART_COLUMNS`."""
    flights = read_table("flights").merge(read_table("airlines"), on="carrier")
    flights["cancelled"] = flights["dep_time"].isna()
    flights["late"] = (flights["arr_delay"] > 15).fillna(False)
    grouped = flights.groupby(["carrier", "name", "year", "month"], as_index=False).agg(
        flights=("flight", "size"),
        cancelled=("cancelled", "sum"),
        avg_departure_delay=("dep_delay", "mean"),
        avg_arrival_delay=("arr_delay", "mean"),
        late_arrivals=("late", "sum"),
    )
    grouped = grouped.rename(columns={"name": "carrier_name"})[list(MART_COLUMNS)]
    return grouped.sort_values(["carrier", "year", "month"], ignore_index=True)


def compare_delays(rows: Sequence[Sequence[Any]]) -> list[str]:
    """Differences between ``rows`` of :data:`MART_QUERY` and pandas, in words; empty when equal."""
    expected = expected_delays()
    if len(rows) != len(expected):
        return [f"{MARTS}.delay_by_carrier_month has {len(rows)} rows, pandas says {len(expected)}"]
    differences = []
    for row, wanted in zip(rows, expected.itertuples(index=False), strict=True):
        for column, value, right in zip(MART_COLUMNS, row, wanted, strict=True):
            if not _equal(value, right):
                differences.append(
                    f"{row[0]} {row[2]}-{row[3]:02}: {column} is {value}, pandas says {right}"
                )
    return differences


def count_queries() -> dict[str, str]:
    """Loaded table -> query of its number of rows."""
    return {f"{RAW}.{name}": f"select count(*) from {RAW}.{name}" for name in ROWS}


def compare_counts(counts: dict[str, int]) -> list[str]:
    """Differences between the rows of the loaded tables and the source's; empty when equal."""
    return [
        f"{RAW}.{name} has {counts.get(f'{RAW}.{name}', 0):,} rows, the source {rows:,}"
        for name, rows in ROWS.items()
        if counts.get(f"{RAW}.{name}") != rows
    ]


def _equal(value: Any, right: Any) -> bool:
    import math

    import pandas as pd

    if value is None or pd.isna(right):
        return value is None and bool(pd.isna(right))
    if isinstance(value, float):
        return math.isclose(value, float(right), rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(value == right)
