"""The incremental cursor of an API's rows: the rules of ``cursor.py``, for dicts.

Values are compared as JSON gives them: numbers as numbers, ISO times as text.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import Counter
from typing import Any

from datanika.contracts.enums import WriteDisposition
from datanika.contracts.spec import TableSpec
from datanika.engines.dlt_engine.cursor import lagging
from datanika.errors import TerminalStepError


class RowCursor:
    """One table's cursor over one read. ``state`` is what an earlier run saved, or empty."""

    def __init__(self, table: TableSpec, state: dict[str, Any]) -> None:
        if table.cursor is None:
            raise ValueError("The table has no cursor.")
        self._spec = table.cursor
        self._exact = table.write_disposition is WriteDisposition.APPEND
        if self._exact and self._spec.reads_again:
            raise TerminalStepError(
                f"{table.name!r}: a lag reads rows again, which append would double.",
                code="lag_needs_merge",
                hint="Use merge with a primary key, or a lag of 0.",
            )
        saved = state.get("cursor", {})
        self._rewind: int = saved.get("rewind", 0)
        if saved.get("column") != self._spec.column:
            saved = {}
        self._saved_last: Any = saved.get("last")
        self._unseen = Counter[str](saved.get("seen", {})) if self._exact else Counter[str]()
        self._last = self._saved_last
        self._marks: dict[str, int] = dict(self._unseen)
        self._start = self._first()

    @property
    def start(self) -> Any:
        """The value to read from; None reads everything."""
        return self._start

    def keep(self, row: dict[str, Any]) -> bool:
        """Whether ``row`` is new; remembers it."""
        value = row.get(self._spec.column)
        if value is None:
            raise TerminalStepError(
                f"The cursor column {self._spec.column!r} is missing or empty in a row.",
                code="cursor_null",
                hint="Choose a column that is never empty, or load without a cursor.",
            )
        try:
            return self._judge(row, value)
        except TypeError:
            raise TerminalStepError(
                f"The cursor column {self._spec.column!r} holds values of different types.",
                code="cursor_type",
            ) from None

    def saved(self) -> dict[str, Any]:
        """What the next run needs."""
        return {
            "column": self._spec.column,
            "last": self._last,
            "seen": self._marks,
            "rewind": self._rewind,
        }

    def _judge(self, row: dict[str, Any], value: Any) -> bool:
        if self._start is not None and value < self._start:
            return False
        mark = _fingerprint(row) if self._exact else ""
        if value == self._saved_last and self._unseen[mark] > 0:
            self._unseen[mark] -= 1
            return False
        if self._last is None or value > self._last:
            self._last, self._marks = value, {}
        if self._exact and value == self._last:
            self._marks[mark] = self._marks.get(mark, 0) + 1
        return True

    def _first(self) -> Any:
        if self._saved_last is None:
            initial = self._spec.initial_value
            return initial.isoformat() if isinstance(initial, dt.date) else initial
        if not self._spec.reads_again:
            return self._saved_last
        if isinstance(self._saved_last, str):
            start = lagging(self._saved_last, self._spec)
            # Compared as text, so it has to be written as the source writes its times.
            return start.replace(" ", "T") if "T" in self._saved_last else start
        return self._saved_last - (self._spec.lag or self._spec.lag_seconds)


def _fingerprint(row: dict[str, Any]) -> str:
    text = repr(sorted(row.items(), key=lambda item: item[0]))
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
