"""A run's row: lock it, move it, end it, and the rows of its steps.

What the end of a run sets off in other pipelines is in ``run_lifecycle.py``.
"""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.enums import RunState, StepState
from datanika.contracts.events import Failure, utcnow
from datanika.contracts.plan import Plan
from datanika.contracts.run_states import check_transition
from datanika.models import Run, RunStep
from datanika.services.failure_streak import count_result
from datanika.services.metrics import OPEN_STATES as OPEN_STATES
from datanika.services.metrics import count_finished
from datanika.services.notification_events import notify_run
from datanika.services.slot_releases import release_of_run
from datanika.services.usage_counter import count_run

LEFT_OUT = "left_out"
"""In a step's details: why the run does not do it. See ``contracts.overrides.LeftOut``."""

FINAL_STATES = tuple(state.value for state in RunState if state.is_final)
LEASED_STATES = (RunState.STARTING.value, RunState.RUNNING.value, RunState.CANCELLING.value)
"""While a run is in one of these an attempt has it."""


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
    """A pending row for each step of the plan, so that its graph can be seen before it starts, and
    a skipped one for whatever the plan leaves out, with the reason."""
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
    for left_out in plan.left_out:
        session.add(
            RunStep(
                org_id=run.org_id,
                run_id=run.id,
                step_key=left_out.step_key,
                node=left_out.node,
                name=left_out.name,
                kind=left_out.kind,
                state=StepState.SKIPPED.value,
                attempt=0,
                depends_on=[],
                details={
                    LEFT_OUT: left_out.reason,
                    "note": left_out.note,
                    "run_id": left_out.run_id,
                },
            )
        )


async def end_run(
    session: AsyncSession, run: Run, target: RunState, failure: Failure | None = None
) -> None:
    """End the run, its lease, and whatever inside it was still open. For others than
    ``run_lifecycle.close_run`` only where nothing can depend on this end."""
    if target is RunState.SUCCEEDED and state_of(run) is RunState.STARTING:
        # Every step of a plan may be over before its first event arrived.
        move(run, RunState.RUNNING)
    move(run, target)
    run.finished_at = utcnow()
    run.lease_expires_at = run.waits_until = None
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
    await release_of_run(session, run)
    await session.flush()
    await count_result(session, run)


async def reset_steps(session: AsyncSession, run: Run) -> None:
    """Before another attempt: every step and node is pending again, as if it had not been tried."""
    await session.execute(
        update(RunStep)
        .where(RunStep.run_id == run.id, RunStep.details[LEFT_OUT].as_string().is_(None))
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
