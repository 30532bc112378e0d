"""Values of a database as JSON can hold them, and no more of them than fit."""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from datanika.contracts.ad_hoc import MAX_CELL, MAX_RESULT, Cell, ResultColumn, RowsResult

_SAFE_INTEGER = 2**53
"""JavaScript and many JSON readers round integers beyond it."""


class RowCollector:
    """Takes rows until there are ``limit``, or until they are too large together."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rows: list[tuple[Cell, ...]] = []
        self._size = 0
        self._cut = 0
        self._more = False

    @property
    def wanted(self) -> int:
        """Rows that may still come, one more than are shown; 0: enough."""
        return 0 if self._more else self._limit + 1 - len(self._rows)

    def add(self, rows: Iterable[Sequence[Any]]) -> int:
        """Take ``rows``; the characters that they had before they were cut."""
        taken = 0
        for row in rows:
            if len(self._rows) == self._limit or self._size > MAX_RESULT:
                self._more = True
                break
            cells = []
            for value in row:
                cell = to_cell(value)
                length = len(cell) if isinstance(cell, str) else 8
                taken += length
                if isinstance(cell, str) and length > MAX_CELL:
                    cell = cell[:MAX_CELL] + "…"
                    self._cut += 1
                self._size += min(length, MAX_CELL)
                cells.append(cell)
            self._rows.append(tuple(cells))
        return taken

    def result(self, columns: Iterable[tuple[str, str]]) -> RowsResult:
        """What was taken, under ``columns`` of (name, type)."""
        return RowsResult(
            columns=tuple(ResultColumn(name=name, data_type=kind) for name, kind in columns),
            rows=tuple(self._rows),
            is_truncated=self._more,
            truncated_cells=self._cut,
        )


def to_cell(value: Any) -> Cell:
    """``value`` without loss: what JSON has no type for, as text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < _SAFE_INTEGER else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        # A lone surrogate cannot be sent.
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, bytes | bytearray | memoryview):
        return "base64:" + base64.b64encode(bytes(value[: MAX_CELL + 1])).decode()
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value)
