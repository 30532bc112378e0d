"""Filters on what was read, for sources that cannot be asked in SQL."""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from datanika.contracts.shape import Filter, FilterOperator, FilterValue
from datanika.engines.dlt_engine.shape.sql import missing
from datanika.engines.dlt_engine.shape.values import Family, invalid, unsupported, value_text

if TYPE_CHECKING:
    import pyarrow as pa

_COMPARE: dict[FilterOperator, Callable[[Any, Any], bool]] = {
    FilterOperator.EQ: operator.eq,
    FilterOperator.NE: operator.ne,
    FilterOperator.GT: operator.gt,
    FilterOperator.GTE: operator.ge,
    FilterOperator.LT: operator.lt,
    FilterOperator.LTE: operator.le,
}
_ARROW = {
    FilterOperator.EQ: "equal",
    FilterOperator.NE: "not_equal",
    FilterOperator.GT: "greater",
    FilterOperator.GTE: "greater_equal",
    FilterOperator.LT: "less",
    FilterOperator.LTE: "less_equal",
}


class ArrowFilter:
    """A table's filters over batches of one schema.

    Raises :class:`TerminalStepError` ``column_missing``, ``filter_invalid`` and
    ``filter_unsupported`` when it is made, not when the rows come.
    """

    def __init__(self, filters: Iterable[Filter], schema: pa.Schema) -> None:
        self._masks = [_mask(one, schema) for one in filters]

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The rows that meet all filters."""
        for mask in self._masks:
            batch = batch.filter(mask(batch), null_selection_behavior="drop")
        return batch


def _mask(one: Filter, schema: pa.Schema) -> Callable[[pa.Table], Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    name = one.column
    if name not in schema.names:
        raise missing(name, schema.names)
    kind = schema.field(name).type
    if one.operator is FilterOperator.IS_NULL:
        return lambda batch: pc.is_null(batch.column(name))
    if one.operator is FilterOperator.NOT_NULL:
        return lambda batch: pc.is_valid(batch.column(name))
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_nested(kind) or pa.types.is_null(kind) or "binary" in str(kind):
        raise unsupported(name, str(kind))
    compared = pa.float64() if pa.types.is_float32(kind) else kind

    def values(batch: pa.Table) -> Any:
        return batch.column(name).cast(compared)

    if one.operator in (FilterOperator.IN, FilterOperator.NOT_IN):
        wanted = pa.array([_scalar(v, compared, name).as_py() for v in one.values], compared)
        if one.operator is FilterOperator.IN:
            return lambda batch: pc.is_in(values(batch), wanted)
        return lambda batch: pc.and_(
            pc.is_valid(batch.column(name)), pc.invert(pc.is_in(values(batch), wanted))
        )
    assert one.value is not None
    scalar = _scalar(one.value, compared, name)
    compare = getattr(pc, _ARROW[one.operator])
    return lambda batch: compare(values(batch), scalar)


def _scalar(value: FilterValue, kind: pa.DataType, column: str) -> pa.Scalar:
    import pyarrow as pa

    text = value_text(value, _family(kind), column)
    try:
        if pa.types.is_timestamp(kind):
            return pa.scalar(dt.datetime.fromisoformat(text), kind)
        return pa.scalar(text).cast(kind)
    except (pa.ArrowException, ValueError):
        raise invalid(column, value, f"of type {kind}") from None


def _family(kind: pa.DataType) -> Family:
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        return Family.MOMENT if kind.tz else Family.LOCAL_TIME
    if pa.types.is_date(kind):
        return Family.DATE
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return Family.TEXT
    return Family.OTHER


class RowFilter:
    """A table's filters over rows as JSON gives them. A missing key is an empty value."""

    def __init__(self, filters: Iterable[Filter]) -> None:
        self._filters = tuple(filters)

    def __call__(self, row: dict[str, Any]) -> bool:
        return all(_meets(one, row.get(one.column)) for one in self._filters)


def _meets(one: Filter, value: Any) -> bool:
    if one.operator is FilterOperator.IS_NULL:
        return value is None
    if value is None:
        return False
    if one.operator is FilterOperator.NOT_NULL:
        return True
    if isinstance(value, dict | list):
        raise unsupported(one.column, "json")
    if one.operator is FilterOperator.IN:
        return any(_compare(operator.eq, value, wanted, one.column) for wanted in one.values)
    if one.operator is FilterOperator.NOT_IN:
        return not any(_compare(operator.eq, value, other, one.column) for other in one.values)
    assert one.value is not None
    return _compare(_COMPARE[one.operator], value, one.value, one.column)


def _compare(
    compare: Callable[[Any, Any], bool], value: Any, wanted: FilterValue, column: str
) -> bool:
    """JSON has no dates and no decimals, so the filter's value says what is compared; a filter's
    text is compared with a number as the number that it writes."""
    if isinstance(value, bool) or isinstance(wanted, bool):
        if str(value).lower() not in ("true", "false") or str(wanted).lower() not in _BOOLEANS:
            raise invalid(column, wanted, "comparable with what the source holds")
        return compare(str(value).lower() == "true", str(wanted).lower() == "true")
    if isinstance(wanted, dt.date):
        text = value_text(wanted, Family.MOMENT, column)
        if not isinstance(value, str):
            raise invalid(column, wanted, "comparable with what the source holds")
        return compare(_moment(value, column), dt.datetime.fromisoformat(text))
    if isinstance(value, str) and isinstance(wanted, str):
        return compare(value, wanted)
    try:
        return compare(_number(value), _number(wanted))
    except InvalidOperation:
        raise invalid(column, wanted, "comparable with what the source holds") from None


_BOOLEANS = ("true", "false")


def _number(value: Any) -> Decimal:
    return Decimal(str(value))


def _moment(text: str, column: str) -> dt.datetime:
    # The value's own text must not be told: it may be hidden.
    try:
        return dt.datetime.fromisoformat(value_text(text, Family.MOMENT, column))
    except Exception:
        raise invalid(column, "a time", "comparable with what the source holds") from None
