"""What a retry has to do: what an earlier run was to do and did not."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.compiler import Outcome, resume_plan
from datanika.contracts.enums import RunState, RunTrigger
from datanika.contracts.plan import Plan
from datanika.errors import Conflict
from datanika.models import Run, RunStep
from datanika.services.run_rows import state_of


async def plan_of_retry(session: AsyncSession, failed: Run, *, from_failure: bool) -> Plan:
    """The plan of a retry of ``failed``; raises :class:`Conflict` where it cannot be retried."""
    state = state_of(failed)
    if not state.is_final or state is RunState.SUCCEEDED:
        raise Conflict(
            f"This run is {state}: there is nothing to retry.",
            code="run_not_retryable",
            hint="Trigger the pipeline for another run of it."
            if state.is_final
            else "Wait until it is over, or cancel it.",
        )
    if failed.backfill_id is not None:
        raise Conflict(
            f"This run is a chunk of backfill {failed.backfill_id}.",
            code="run_of_backfill",
            hint="Retry the backfill: it goes on with this chunk.",
        )
    if not from_failure:
        return Plan.model_validate((await _first_of_retries(session, failed)).plan)
    steps = await session.scalars(
        select(RunStep).where(RunStep.run_id == failed.id).order_by(RunStep.id)
    )
    outcomes = [
        Outcome(step.step_key, step.node, step.name, step.kind, step.state, step.error_code)
        for step in steps
    ]
    return resume_plan(Plan.model_validate(failed.plan), failed.id, outcomes)


async def _first_of_retries(session: AsyncSession, run: Run) -> Run:
    """The run that a chain of retries began with: the plans of the others are parts of its plan."""
    while run.trigger == RunTrigger.RETRY.value:
        before = await session.get(Run, run.retry_of) if run.retry_of is not None else None
        if before is None:
            raise Conflict(
                "The run that this one repeats a part of was deleted.",
                code="run_not_retryable",
                hint="Trigger the pipeline for a whole run of it.",
            )
        run = before
    return run
