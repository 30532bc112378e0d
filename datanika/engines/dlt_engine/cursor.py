"""The incremental cursor of an arrow stream: what was read, remembered in dlt's state.

The state holds the highest cursor value and, for append, a fingerprint of every row that has it,
with how often it came. The next run reads from that value on (closed interval, because rows may
arrive late with the same value) and drops exactly the rows that it has seen. A merge reads them
again on purpose: its key keeps them single, and a changed row replaces the old one.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from datanika.contracts.enums import WriteDisposition
from datanika.contracts.spec import IncrementalCursor, TableSpec
from datanika.contracts.steps import CursorRewind
from datanika.engines.dlt_engine.direct.marks import MARK, are_of_server
from datanika.errors import TerminalStepError

if TYPE_CHECKING:
    import pyarrow as pa


class ArrowCursor:
    """One table's cursor. ``state`` is dlt's resource state, stored with the load itself."""

    def __init__(self, table: TableSpec, state: dict[str, Any]) -> None:
        assert table.cursor is not None
        self.spec: IncrementalCursor = table.cursor
        self._exact = table.write_disposition is WriteDisposition.APPEND
        if self._exact and self.spec.reads_again:
            raise TerminalStepError(
                f"{table.name!r}: a lag reads rows again, which append would double.",
                code="lag_needs_merge",
                hint="Use merge with a primary key, or a lag of 0.",
            )
        saved = state.get("cursor", {})
        self._rewind: int = saved.get("rewind", 0)
        if saved.get("column") != self.spec.column:
            saved = {}
        self._state = state
        last = saved.get("last")
        self.last: str | None = None if last is None else str(last)
        self._seen = Counter(saved.get("seen", {})) if self._exact else Counter[str]()

    @property
    def seen(self) -> Counter[str]:
        """How often each row at the highest value has been loaded, by its mark."""
        return self._seen

    def start(self) -> str | None:
        """The text of the value to read from, for the source's filter; None reads everything."""
        if self.last is None:
            initial = self.spec.initial_value
            return None if initial is None else _text(initial)
        return lagging(self.last, self.spec)

    def follow(self, batches: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """``batches`` without the rows that were loaded before; remembers the highest value."""
        import pyarrow.compute as pc

        start = self.start()
        seen = Counter(self._seen)
        last, marks = self.last, Counter(self._seen)
        for batch in batches:
            values = batch.column(self.spec.column)
            if values.null_count:
                raise TerminalStepError(
                    f"The cursor column {self.spec.column!r} has empty values.",
                    code="cursor_null",
                    hint="Choose a column that is never empty, or load without a cursor.",
                )
            kind = values.type
            if start is not None:
                batch = batch.filter(pc.greater_equal(values, _scalar(start, kind)))
                if self.last is not None and seen:
                    batch = self._drop_seen(batch, _scalar(self.last, kind), seen)
            if batch.num_rows:
                values = batch.column(self.spec.column)
                highest = pc.max(values)
                known = None if last is None else _scalar(last, kind)
                if known is None or pc.greater(highest, known).as_py():
                    last, marks = _text_of(highest), Counter()
                    known = highest
                if self._exact and pc.equal(highest, known).as_py():
                    marks.update(_marks(batch.filter(pc.equal(values, highest))))
            yield batch.drop_columns([MARK]) if MARK in batch.column_names else batch
        self._state["cursor"] = {
            "column": self.spec.column,
            "last": last,
            "seen": dict(marks) if self._exact else {},
            "rewind": self._rewind,
        }

    def _drop_seen(self, batch: pa.Table, last: pa.Scalar, seen: Counter[str]) -> pa.Table:
        import pyarrow as pa
        import pyarrow.compute as pc

        at_last = pc.equal(batch.column(self.spec.column), last)
        positions = pc.indices_nonzero(at_last).to_pylist()
        dropped = set()
        rows = batch.filter(at_last)
        by_server = _marks(rows)
        # Those of before the server made them.
        by_arrow = by_server if are_of_server(seen) else _fingerprints(rows)
        for position, *marks in zip(positions, by_server, by_arrow, strict=True):
            mark = next((one for one in marks if seen[one] > 0), None)
            if mark is not None:
                seen[mark] -= 1
                dropped.add(position)
        if not dropped:
            return batch
        return batch.filter(pa.array(i not in dropped for i in range(batch.num_rows)))


def lagging(last: str, spec: IncrementalCursor) -> str:
    """The text of the value that the cursor's lag leads to.

    Raises :class:`TerminalStepError` ``cursor_type`` for a lag that the cursor's type cannot have.
    """
    try:
        if spec.lag_seconds:
            moment = dt.datetime.fromisoformat(last) - dt.timedelta(seconds=spec.lag_seconds)
            return moment.date().isoformat() if len(last) == 10 else moment.isoformat(" ")
        if spec.lag:
            return format(Decimal(last) - spec.lag, "f")
    except (ValueError, InvalidOperation, OverflowError):
        wanted = "lag" if spec.lag_seconds else "lag_seconds"
        raise TerminalStepError(
            f"The cursor column {spec.column!r} holds values like {last!r}, which this lag does "
            "not fit.",
            code="cursor_type",
            hint=f"Use {wanted}: lag_seconds is for times and dates, lag for numbers.",
        ) from None
    return last


def rewound(saved: dict[str, Any], rewind: CursorRewind | None, *, is_new: bool) -> dict[str, Any]:
    """The cursor's state before a load: ``saved``, or where a person put it since.

    A table that is loaded for the first time (``is_new``) is read whole: the rewind was of a table
    that is no more, and counts as taken.
    """
    if rewind is None or saved.get("rewind", 0) >= rewind.number:
        return saved
    if is_new:
        return {"rewind": rewind.number}
    return {**rewind.state, "column": rewind.column, "rewind": rewind.number}


def _marks(rows: pa.Table) -> list[str]:
    """The server's mark of each row, where it gives them."""
    if MARK in rows.column_names:
        marks: list[str] = rows.column(MARK).to_pylist()
        return marks
    return _fingerprints(rows)


def _fingerprints(rows: pa.Table) -> list[str]:
    """A short hash of each row: its columns by name, so that their order does not matter."""
    ordered = rows.select(sorted(name for name in rows.column_names if name != MARK))
    return [
        hashlib.blake2b(repr(list(row.items())).encode(), digest_size=12).hexdigest()
        for row in ordered.to_pylist()
    ]


def _scalar(text: str, kind: pa.DataType) -> pa.Scalar:
    import pyarrow as pa

    try:
        if pa.types.is_timestamp(kind):
            moment = dt.datetime.fromisoformat(text)
            if kind.tz and moment.tzinfo is None:
                moment = moment.replace(tzinfo=dt.UTC)
            elif not kind.tz and moment.tzinfo is not None:
                moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
            return pa.scalar(moment, kind)
        return pa.scalar(text).cast(kind)
    except (pa.ArrowException, ValueError) as error:
        raise TerminalStepError(
            f"The cursor value {text!r} does not fit the column's type {kind}.",
            code="cursor_type",
            hint="Correct initial_value.",
        ) from error


def _text(value: Any) -> str:
    return value.isoformat(" ") if isinstance(value, dt.datetime) else str(value)


def _text_of(scalar: pa.Scalar) -> str:
    return _text(scalar.as_py())
