"""The runs that were due at the last look and have not been taken: a worker that is full for long
need not ask for all of them again whenever one of its places is free."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from uuid import UUID

    from prefect.client.schemas.responses import WorkerFlowRunResponse

FRESH_SECONDS = 5.0
"""What is due for longer than that is read again, so that nobody's new run is overlooked."""


class Backlog:
    """Prefect is the queue and this its copy: a run that was cancelled meanwhile is refused when
    the worker proposes to start it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: list[WorkerFlowRunResponse] = []
        self._read_at: float | None = None

    def replace(self, due: list[WorkerFlowRunResponse]) -> None:
        """``due`` was just read from Prefect."""
        self._due, self._read_at = due, self._clock()

    def take_away(self, flow_run_ids: Collection[UUID]) -> None:
        """These were taken."""
        self._due = [found for found in self._due if found.flow_run.id not in flow_run_ids]

    def outdate(self) -> None:
        """Something became due that is not here."""
        self._read_at = None

    @property
    def may_hold_more(self) -> bool:
        """Whether it is worth to look, here or at Prefect, as soon as there is room."""
        return bool(self._due) or self._read_at is None

    def fresh(self) -> list[WorkerFlowRunResponse]:
        """What is due, if that is known; an empty list if Prefect has to be asked."""
        if self._read_at is None or self._clock() > self._read_at + FRESH_SECONDS:
            return []
        return self._due
