"""What cloud warehouses' drivers share: no fixed address, and types by a few common names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datanika.engines.connectors.sql import CatalogColumn

if TYPE_CHECKING:
    from datanika.engines.dlt_engine.sources.sql_rows import Travel

_TEXTS = frozenset({"text", "string", "varchar", "char", "character", "character varying"})


def common_travel(column: CatalogColumn, as_text: str) -> Travel:
    """Of Redshift, Snowflake, Databricks and BigQuery. ``as_text``: SQL for all other types."""
    import pyarrow as pa

    from datanika.engines.dlt_engine.sources.sql_rows import Travel

    kind = column.data_type.partition("(")[0].strip()
    precision, scale = column.precision, column.scale or 0
    if kind in ("smallint", "integer", "int", "bigint", "int64", "tinyint", "byteint", "long"):
        return Travel(pa.int64())
    if kind in ("boolean", "bool"):
        return Travel(pa.bool_())
    if kind in ("decimal", "numeric", "number") and precision is not None and precision <= 38:
        return Travel(pa.decimal128(precision, scale))
    if kind in ("double precision", "double", "float", "float8", "float64"):
        return Travel(pa.float64())
    if kind == "date":
        return Travel(pa.date32())
    if kind in ("timestamp without time zone", "timestamp_ntz", "datetime"):
        return Travel(pa.timestamp("us"))
    if kind in ("timestamp with time zone", "timestamptz"):
        return Travel(pa.timestamp("us", "UTC"))
    if kind in _TEXTS:
        return Travel(pa.string())
    if kind in ("binary", "varbinary", "bytes", "binary varying"):
        return Travel(pa.binary())
    return Travel(pa.string(), as_text, note=f"{column.declared} is loaded as text.")
