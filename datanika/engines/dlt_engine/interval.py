"""Rows of an interval by their cursor column: which ones are inside. The cursor does not move."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from datanika.contracts.overrides import Interval
from datanika.engines.dlt_engine.move import not_a_time
from datanika.errors import TerminalStepError

if TYPE_CHECKING:
    import pyarrow as pa


class IntervalRows:
    """Filters by ``column``. A time without a zone is UTC, and a date is its midnight."""

    def __init__(self, column: str, interval: Interval) -> None:
        self._column = column
        self._interval = interval

    def bounds(self, schema: pa.Schema) -> tuple[str | None, str | None]:
        """What the source may filter by, as text. Raises :class:`TerminalStepError`."""
        import pyarrow as pa

        kind = schema.field(self._column).type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            # Of times as text only their meaning has an order.
            return None, None
        if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
            raise not_a_time(self._column)
        zoned = pa.types.is_timestamp(kind) and kind.tz is not None
        start, end = (
            _utc(moment) if zoned else _utc(moment).replace(tzinfo=None)
            for moment in (self._interval.start, self._interval.end)
        )
        return start.isoformat(" "), end.isoformat(" ")

    def follow(self, batches: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """``batches`` without the rows that are outside."""
        import pyarrow as pa
        import pyarrow.compute as pc

        for batch in batches:
            values = batch.column(self._column)
            if values.null_count:
                raise _empty(self._column)
            moments = _moments(values, self._column)
            start, end = (
                pa.scalar(_utc(moment), pa.timestamp("us", "UTC"))
                for moment in (self._interval.start, self._interval.end)
            )
            inside = pc.and_(pc.greater_equal(moments, start), pc.less(moments, end))
            yield batch.filter(inside)

    def keep(self, row: dict[str, Any]) -> bool:
        """Whether an API's ``row`` is inside."""
        value = row.get(self._column)
        if value is None:
            raise _empty(self._column)
        try:
            moment = value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(value)
        except (TypeError, ValueError):
            raise not_a_time(self._column) from None
        return self._interval.holds(_utc(moment))


def _moments(values: pa.ChunkedArray, column: str) -> pa.ChunkedArray:
    """As timestamps in UTC."""
    import pyarrow as pa
    import pyarrow.compute as pc

    zoned = pa.timestamp("us", "UTC")
    kind = values.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return values.cast(zoned, safe=False)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return pc.assume_timezone(values.cast(pa.timestamp("us"), safe=False), "UTC")
    try:
        texts = [_utc(dt.datetime.fromisoformat(text)) for text in values.to_pylist()]
    except (TypeError, ValueError):
        raise not_a_time(column) from None
    return pa.chunked_array([pa.array(texts, zoned)])


def _utc(moment: dt.datetime) -> dt.datetime:
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)


def _empty(column: str) -> TerminalStepError:
    return TerminalStepError(
        f"The cursor column {column!r} has empty values.",
        code="cursor_null",
        hint="Choose a column that is never empty, or load without a cursor.",
    )
