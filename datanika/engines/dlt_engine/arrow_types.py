"""Arrow tables as the destinations can hold them exactly, or a refusal that names the column."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datanika.errors import TerminalStepError

if TYPE_CHECKING:
    import pyarrow as pa

_FIRST_MICROSECOND = -62_135_596_800_000_000
"""0001-01-01 00:00 UTC: what lies outside of years 1 to 9999 came from an infinite or BC value."""
_LAST_MICROSECOND = 253_402_300_799_999_999


@dataclass(frozen=True)
class Column:
    """How a column travels. ``is_json``: text that the destination stores as JSON."""

    type: pa.DataType
    is_json: bool = False


def travel_type(kind: pa.DataType) -> Column | None:
    """The type a column is cast to before loading; None leaves it out (nothing is known of it).

    ADBC copies an arrow type into the column as it is, so it must be the column's own width.
    """
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind):
        return travel_type(kind.value_type)
    if types.is_null(kind):
        return None
    if types.is_boolean(kind) or types.is_date32(kind):
        return Column(kind)
    if types.is_integer(kind):
        width = kind.bit_width if types.is_signed_integer(kind) else kind.bit_width + 1
        for limit, fit in ((16, pa.int16()), (32, pa.int32()), (64, pa.int64())):
            if width <= limit:
                return Column(fit)
        return Column(pa.decimal128(20, 0))
    if types.is_floating(kind):
        return Column(pa.float64())
    if types.is_decimal(kind) and kind.precision <= 38 and 0 <= kind.scale <= kind.precision:
        return Column(pa.decimal128(kind.precision, kind.scale))
    if types.is_date(kind):
        return Column(pa.date32())
    if types.is_timestamp(kind):
        return Column(pa.timestamp("us", tz="UTC" if kind.tz else None))
    if types.is_time(kind):
        return Column(pa.time64("us"))
    if types.is_nested(kind):
        return Column(pa.string(), is_json=True)
    if "binary" in str(kind):
        return Column(pa.binary())
    return Column(pa.string())


def column_hint(kind: pa.DataType, is_json: bool) -> dict[str, Any] | None:
    """What dlt must be told of a column because it would guess otherwise."""
    import pyarrow as pa

    if is_json:
        return {"data_type": "json"}
    if pa.types.is_timestamp(kind) and kind.tz is None:
        return {"data_type": "timestamp", "timezone": False}
    return None


def stored_type(column: Mapping[str, Any]) -> pa.DataType | None:
    """The arrow type of a column that the destination has, from dlt's schema of it."""
    import pyarrow as pa

    precision, scale = column.get("precision"), column.get("scale")
    match column.get("data_type"):
        case "bigint":
            return {16: pa.int16(), 32: pa.int32()}.get(precision or 64, pa.int64())
        case "decimal":
            return pa.decimal128(precision or 38, 9 if scale is None else scale)
        case "wei":
            return pa.decimal128(38, 0)
        case "timestamp":
            return pa.timestamp("us", tz=None if column.get("timezone") is False else "UTC")
        case "double":
            return pa.float64()
        case "bool":
            return pa.bool_()
        case "date":
            return pa.date32()
        case "time":
            return pa.time64("us")
        case "binary":
            return pa.binary()
        case "text" | "json":
            return pa.string()
    return None


def fit(table: pa.Table, types: Mapping[str, pa.DataType]) -> pa.Table:
    """``table`` with exactly the columns and types of ``types``.

    Raises :class:`TerminalStepError` ``type_changed`` or ``value_out_of_range``.
    """
    import pyarrow as pa

    columns = [_fit_column(name, table.column(name), kind) for name, kind in types.items()]
    fields = [pa.field(name, kind) for name, kind in types.items()]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _fit_column(name: str, values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    import pyarrow as pa

    source = values.type
    if pa.types.is_nested(source):
        texts = [None if v is None else json.dumps(v, default=str) for v in values.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.string())])
    try:
        if pa.types.is_dictionary(source):
            values = values.cast(source.value_type)
        # Nanoseconds cannot be stored anywhere: they are cut. Everything else must be exact.
        exact = not (pa.types.is_timestamp(source) and pa.types.is_timestamp(kind))
        if pa.types.is_time(source):
            exact = False
        values = values if source.equals(kind) else values.cast(kind, safe=exact)
    except pa.ArrowException as error:
        raise TerminalStepError(
            f"Column {name!r}: {source} does not fit the destination's {kind} "
            f"({str(error).splitlines()[0]}).",
            code="type_changed",
            hint="Correct the source, or load it into a new table.",
        ) from None
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        _check_years(name, values)
    return values


def _check_years(name: str, values: pa.ChunkedArray) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    scale = 1 if pa.types.is_timestamp(values.type) else 86_400_000_000
    whole = pa.int64() if scale == 1 else pa.int32()
    found = pc.min_max(values.cast(whole))
    low, high = found["min"].as_py(), found["max"].as_py()
    if low is not None and (low * scale < _FIRST_MICROSECOND or high * scale > _LAST_MICROSECOND):
        raise TerminalStepError(
            f"Column {name!r} has dates outside of the years 1 to 9999, or infinite ones.",
            code="value_out_of_range",
            hint="Replace them in the source, or leave the column out.",
        )
