"""How an engine reports: a step's events go to one function, which redacts and writes them."""

from __future__ import annotations

import time
from collections.abc import Callable

from datanika.contracts.enums import LogLevel
from datanika.contracts.events import LogLine, NodeProgress, RunEvent

Emit = Callable[[RunEvent], None]

PROGRESS_SECONDS = 0.5


def log(
    emit: Emit,
    step_key: str,
    message: str,
    level: LogLevel = LogLevel.INFO,
    node: str | None = None,
) -> None:
    """One log line of a step."""
    emit(LogLine(step_key=step_key, level=level, message=message, node=node))


class RowCounter:
    """Counts the rows of a node and reports them, at most twice a second."""

    def __init__(self, emit: Emit, step_key: str, node: str) -> None:
        self.rows = 0
        self.bytes = 0
        self._emit, self._step_key, self._node = emit, step_key, node
        self._last = time.monotonic()

    def add(self, rows: int, size: int = 0) -> None:
        self.bytes += size
        self.at(self.rows + rows)

    def at(self, rows: int) -> None:
        """So many rows in all."""
        self.rows = rows
        now = time.monotonic()
        if now - self._last >= PROGRESS_SECONDS:
            self._last = now
            self._emit(NodeProgress(step_key=self._step_key, node=self._node, rows=self.rows))
