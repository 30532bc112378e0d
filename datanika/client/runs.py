"""``client.runs``"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Literal

from datanika.client.resource import Resource
from datanika.client.run_stream import follow_run
from datanika.contracts.api import (
    LogOut,
    Page,
    PlanOut,
    RetryIn,
    RunGraphOut,
    RunOut,
    RunStepOut,
    StreamedEvent,
)
from datanika.contracts.enums import RunState, RunTrigger

Sort = Literal["id", "-id", "created_at", "-created_at"]


class Runs(Resource):
    """Executions of pipelines. ``client.pipelines.run`` starts one."""

    def list(
        self,
        *,
        pipeline_id: int | None = None,
        state: RunState | None = None,
        trigger: RunTrigger | None = None,
        created_after: dt.datetime | None = None,
        created_before: dt.datetime | None = None,
        sort: Sort | None = None,
        page_size: int | None = None,
    ) -> Iterator[RunOut]:
        """Every run, the newest first. Moments have a time zone."""
        return self._items(
            RunOut,
            "runs",
            pipeline_id=pipeline_id,
            state=state,
            trigger=trigger,
            created_after=created_after,
            created_before=created_before,
            sort=sort,
            limit=page_size,
        )

    def get(self, run_id: int) -> RunOut:
        """A run as it is now."""
        return self._get(RunOut, f"runs/{run_id}")

    def plan(self, run_id: int) -> PlanOut:
        """What it does or did."""
        return self._get(PlanOut, f"runs/{run_id}/plan")

    def graph(self, run_id: int) -> RunGraphOut:
        """Its steps, tables and dbt nodes, what reads what, and where to draw it."""
        return self._get(RunGraphOut, f"runs/{run_id}/graph")

    def steps(self, run_id: int) -> Sequence[RunStepOut]:
        """Its steps with the tables and dbt nodes in them."""
        return self._whole(RunStepOut, f"runs/{run_id}/steps")

    def logs(
        self, run_id: int, *, after: int = 0, page_size: int | None = None
    ) -> Iterator[LogOut]:
        """The log lines that there are now, from the one after the line ``after`` on."""
        while True:
            path = f"runs/{run_id}/logs"
            lines = self._get(Page[LogOut], path, after=after, limit=page_size).items
            if not lines:
                return
            yield from lines
            after = lines[-1].id

    def follow(
        self, run_id: int, *, after: str | None = None, wait: bool = True
    ) -> Iterator[StreamedEvent]:
        """Its log lines, steps and states while they happen, until it is over; without ``wait``
        what there is now.

        Every log line comes once, also when the connection was lost meanwhile. ``after`` is the id
        of the last event, or of the last log line, that you have.
        """
        return follow_run(self._http, f"runs/{run_id}/events", after, wait)

    def cancel(self, run_id: int) -> RunOut:
        """Stop it: at once if it waits, within seconds if it runs."""
        return self._post(RunOut, f"runs/{run_id}/cancel")

    def retry(
        self,
        run_id: int,
        *,
        from_failure: bool = True,
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> RunOut:
        """A new run of what did not succeed, or of everything; ``wait`` as in
        ``pipelines.run``."""
        return self._post(
            RunOut,
            f"runs/{run_id}/retry",
            RetryIn(from_failure=from_failure),
            wait=wait,
            idempotency_key=idempotency_key,
        )
