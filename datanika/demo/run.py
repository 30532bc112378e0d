"""Follow a run through the REST API until it ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from datanika.client import DatanikaClient
from datanika.contracts.api import RunOut, RunStepOut
from datanika.contracts.enums import RunState, StepState
from datanika.errors import Unavailable

POLL_SECONDS = 0.4
_DONE = frozenset(set(StepState) - {StepState.PENDING, StepState.RUNNING})


@dataclass(frozen=True)
class FollowedRun:
    """A run that is over (or out of time), and every step, table and dbt node of it."""

    run: RunOut
    steps: tuple[RunStepOut, ...]

    @property
    def succeeded(self) -> bool:
        return self.run.state is RunState.SUCCEEDED

    def loaded_rows(self) -> dict[str, int]:
        """Loaded table (``schema.table``) -> rows that this run wrote."""
        return {
            step.node: step.rows
            for step in self.steps
            if step.kind == "table" and step.rows is not None
        }


def follow(
    api: DatanikaClient, run_id: int, finished: Callable[[RunStepOut], None], timeout_seconds: float
) -> FollowedRun:
    """Call ``finished`` once for every step and node as it ends, until the run is over.

    Raises :class:`Unavailable` when it is not over after ``timeout_seconds``.
    """
    deadline = time.monotonic() + timeout_seconds
    shown: set[tuple[str, str]] = set()
    while True:
        # The run before its steps: when it is over, so are the steps that are read after it.
        run = api.runs.get(run_id)
        steps = api.runs.steps(run_id)
        for step in steps:
            name = (step.step_key, step.node)
            # A step may be retried: it is done when its run is, or when nothing starts it again.
            over = step.state in _DONE and (
                step.state is not StepState.FAILED or run.state.is_final
            )
            if over and name not in shown:
                shown.add(name)
                finished(step)
        if run.state.is_final:
            return FollowedRun(run, tuple(steps))
        if time.monotonic() > deadline:
            raise Unavailable(
                f"Run {run_id} is still {run.state} after {timeout_seconds:.0f} s.",
                code="run_too_slow",
                hint="Look at its log and at `datanika up`'s log files.",
            )
        time.sleep(POLL_SECONDS)
