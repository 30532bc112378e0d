"""How a run moves through its states. Callers hold the run's row lock.

A run whose process died goes back to ``queued`` until its attempts are used up; its next flow run
gets an idempotency key of its own, because Prefect never runs a dead one again.
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.config import settings
from datanika.contracts.enums import RunState, StepState
from datanika.contracts.events import Failure, utcnow
from datanika.contracts.plan import Plan
from datanika.contracts.run_states import check_transition
from datanika.models import Run, RunStep
from datanika.services.metrics import count_finished
from datanika.services.notification_events import notify_run
from datanika.services.usage_counter import count_run

LEASE = dt.timedelta(seconds=30)
"""How long a silent attempt keeps its run. The flow is heard every 5 s."""

FINAL_STATES = tuple(state.value for state in RunState if state.is_final)


async def lock_run(session: AsyncSession, run_id: int) -> Run | None:
    """The run as it is now, locked until the end of the transaction."""
    query = select(Run).where(Run.id == run_id, Run.deleted_at.is_(None))
    # key_share: rows that point to the run may be inserted meanwhile.
    locked = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    return (await session.execute(locked)).scalar_one_or_none()


def state_of(run: Run) -> RunState:
    """The run's state as an enum."""
    return RunState(run.state)


def move(run: Run, target: RunState) -> None:
    """Change the state; raises :class:`~datanika.errors.IllegalTransition`."""
    check_transition(state_of(run), target)
    run.state = target.value


def add_steps(session: AsyncSession, run: Run, plan: Plan) -> None:
    """A pending row for each step of the plan, so that its graph can be seen before it starts."""
    for planned in plan.steps:
        session.add(
            RunStep(
                org_id=run.org_id,
                run_id=run.id,
                step_key=planned.step.key,
                node="",
                name=planned.step.key,
                kind=planned.kind.value,
                state=StepState.PENDING.value,
                attempt=0,
                depends_on=list(planned.step.depends_on),
                details={},
            )
        )


async def close_run(
    session: AsyncSession, run: Run, target: RunState, failure: Failure | None = None
) -> None:
    """End the run, its lease, and whatever inside it was still open."""
    if target is RunState.SUCCEEDED and state_of(run) is RunState.STARTING:
        # Every step of a plan may be over before its first event arrived.
        move(run, RunState.RUNNING)
    move(run, target)
    run.finished_at = utcnow()
    run.lease_expires_at = None
    if failure is not None:
        run.error_code = failure.code[:100]
        run.error_message = failure.message
        run.error_hint = failure.hint
    cancelled = target is RunState.CANCELLED
    await _end_steps(
        session, run, StepState.PENDING, StepState.CANCELLED if cancelled else StepState.SKIPPED
    )
    await _end_steps(
        session, run, StepState.RUNNING, StepState.CANCELLED if cancelled else StepState.FAILED
    )
    count_finished(session, target)
    await notify_run(session, run)
    await count_run(session, run)


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


async def reset_steps(session: AsyncSession, run: Run) -> None:
    """Before another attempt: every step and node is pending again, as if it had not been tried."""
    await session.execute(
        update(RunStep)
        .where(RunStep.run_id == run.id)
        .values(
            state=StepState.PENDING.value,
            started_at=None,
            finished_at=None,
            duration_seconds=None,
            rows=None,
            rows_total=None,
            bytes=None,
            error_code=None,
            error_message=None,
            error_hint=None,
        )
        .execution_options(synchronize_session=False)
    )
    run.rows = None


async def _end_steps(
    session: AsyncSession, run: Run, current: StepState, target: StepState
) -> None:
    await session.execute(
        update(RunStep)
        .where(RunStep.run_id == run.id, RunStep.state == current.value)
        .values(state=target.value, finished_at=utcnow())
        .execution_options(synchronize_session=False)
    )
