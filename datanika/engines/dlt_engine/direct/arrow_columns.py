"""Arrow types and PostgreSQL's, for tables that arrow batches are written into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from datanika.engines.dlt_engine.direct.columns import hint_of

if TYPE_CHECKING:
    import pyarrow as pa


def sql_type(kind: pa.DataType, is_json: bool) -> str:
    """The column that holds every value of ``kind``, one of ``arrow_types.travel_type``."""
    import pyarrow as pa

    types = pa.types
    if is_json:
        return "json"
    if types.is_decimal(kind):
        return f"numeric({kind.precision},{kind.scale})"
    if types.is_timestamp(kind):
        return f"timestamp {'with' if kind.tz else 'without'} time zone"
    for fits, name in (
        (types.is_boolean, "boolean"),
        (types.is_int16, "smallint"),
        (types.is_int32, "integer"),
        (types.is_int64, "bigint"),
        (types.is_floating, "double precision"),
        (types.is_date, "date"),
        (types.is_time, "time without time zone"),
        (types.is_binary, "bytea"),
    ):
        if fits(kind):
            return name
    return "character varying"


def stored_hints(existing: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """dlt's words for the columns of a table as it is, as ``arrow_types.stored_type`` wants them.

    An unbounded numeric is left out: it holds whatever comes.
    """
    return {name: hint_of(kind) for name, kind in existing.items() if kind != "numeric"}


def column_of(kind: str) -> str:
    """The column for a CSV's values of DuckDB's type ``kind``: the same as by way of arrow."""
    if kind.startswith("DECIMAL"):
        return kind.replace("DECIMAL", "numeric")
    return {
        "BOOLEAN": "boolean",
        "BIGINT": "bigint",
        "DATE": "date",
        "DOUBLE": "double precision",
        "TIMESTAMP": "timestamp without time zone",
        "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
        "VARCHAR": "character varying",
    }[kind]
