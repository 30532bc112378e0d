"""What a run that was stopped has left in its destinations.

A table is committed once the engine said so, which it does right after the commit; a dbt node once
it succeeded. Everything else was rolled back by the server, or is swept by the next load.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.enums import LogLevel, StepState
from datanika.contracts.events import utcnow
from datanika.models import Run, RunLog, RunStep
from datanika.services.run_rows import LEFT_OUT

_RELATIONS = ("table", "model", "seed", "snapshot")
_BUILT = (StepState.SUCCEEDED.value, StepState.WARNED.value)
MAX_NAMES = 50


async def report_commits(session: AsyncSession, run: Run) -> None:
    """Note ``committed`` in the details of the run's tables and models, and say it in its log."""
    steps = await session.scalars(
        select(RunStep)
        .where(
            RunStep.run_id == run.id,
            RunStep.node != "",
            RunStep.kind.in_(_RELATIONS),
            RunStep.details[LEFT_OUT].as_string().is_(None),
        )
        .order_by(RunStep.id)
        .execution_options(populate_existing=True)
    )
    inside: list[str] = []
    outside: list[str] = []
    for step in steps:
        committed = step.state in _BUILT or bool(step.details.get("committed"))
        step.details = {**step.details, "committed": committed}
        (inside if committed else outside).append(_described(step, committed))
    if inside or outside:
        message = f"Committed: {_listed(inside)}. Not committed: {_listed(outside)}."
        session.add(
            RunLog(
                org_id=run.org_id,
                run_id=run.id,
                step_key="",
                at=utcnow(),
                level=LogLevel.INFO.value,
                message=message,
            )
        )
    await session.flush()


def _described(step: RunStep, committed: bool) -> str:
    if not committed or step.kind != "table":
        return step.name if step.kind != "table" else step.node
    rows = step.details.get("committed_rows", step.rows) or 0
    cursor = ", cursor moved" if step.details.get("cursor_moved") else ""
    return f"{step.node} ({rows:,} rows{cursor})"


def _listed(names: list[str]) -> str:
    if len(names) > MAX_NAMES:
        names = [*names[:MAX_NAMES], f"{len(names) - MAX_NAMES} more"]
    return ", ".join(names) or "nothing"
