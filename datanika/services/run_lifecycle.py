"""How a run moves through its states. Callers hold the run's row lock.

A run whose process died goes back to ``queued`` until its attempts are used up; its next flow run
gets an idempotency key of its own, because Prefect never runs a dead one again.
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy.ext.asyncio import AsyncSession

from datanika.config import settings
from datanika.contracts.enums import RunState
from datanika.contracts.events import Failure
from datanika.models import Run
from datanika.services.backfill_chunks import go_on
from datanika.services.commit_report import report_commits
from datanika.services.dependants import lock_with_dependants, start_dependants
from datanika.services.run_rows import end_run, move, reset_steps, state_of

LEASE = dt.timedelta(seconds=30)
"""How long a silent attempt keeps its run. Heartbeats are far more frequent."""


async def close_run(
    session: AsyncSession, run: Run, target: RunState, failure: Failure | None = None
) -> None:
    """End the run, and start or release what waited for its success, all in one transaction."""
    pipelines = await lock_with_dependants(session, run, target)
    if target is RunState.CANCELLED or (failure is not None and failure.code == "run_timeout"):
        await report_commits(session, run)
    await end_run(session, run, target, failure)
    goes_on = await go_on(session, run)
    # What depends on the pipeline is started by the last chunk of a backfill only.
    if target is RunState.SUCCEEDED and len(pipelines) > 1 and not goes_on:
        await start_dependants(session, run, pipelines)


async def lose_attempt(session: AsyncSession, run: Run, reason: str) -> RunState:
    """The process of the run's attempt is gone; the state it is in now.

    A run that was being cancelled is cancelled; one with attempts left waits to be submitted.
    """
    if state_of(run) is RunState.CANCELLING:
        await close_run(session, run, RunState.CANCELLED)
    elif run.attempt >= settings.max_attempts:
        message = f"The process of attempt {run.attempt} ended without finishing the run. {reason}"
        failure = Failure(
            code="run_lost",
            message=message.strip(),
            hint="Look at the run's last log lines; memory and disk are the usual reasons.",
        )
        await close_run(session, run, RunState.FAILED, failure)
    else:
        for target in (RunState.STARTING, RunState.QUEUED):
            if state_of(run) is not RunState.QUEUED:
                move(run, target)
        run.flow_run_id = None
        run.lease_expires_at = None
        await reset_steps(session, run)
    return state_of(run)
