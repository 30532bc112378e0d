"""What the steps of a pipeline took so far: the expectation for its next run."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.enums import RunState, StepState
from datanika.models import Run, RunStep
from datanika.services.actor import Actor

RUNS = 10
"""So many of the last successful runs are looked at."""


@dataclass(frozen=True)
class StepHistory:
    """``seconds`` and ``rows`` are medians of the ``runs`` runs that did the step."""

    runs: int
    seconds: float | None
    rows: int | None


@dataclass(frozen=True)
class LoadPath:
    """How a table was loaded the last time, and why not in a faster way."""

    path: str
    reason: str


async def step_history(
    session: AsyncSession, actor: Actor, pipeline_id: int
) -> dict[str, StepHistory]:
    """By step key; a step that no successful run has done is not in it."""
    actor.require("run:read")
    last = (
        select(Run.id)
        .where(
            Run.org_id == actor.org_id,
            Run.pipeline_id == pipeline_id,
            Run.state == RunState.SUCCEEDED.value,
            Run.deleted_at.is_(None),
        )
        .order_by(Run.id.desc())
        .limit(RUNS)
    )
    query = (
        select(
            RunStep.step_key,
            func.count(RunStep.id),
            func.percentile_cont(0.5).within_group(RunStep.duration_seconds),
            func.percentile_disc(0.5).within_group(RunStep.rows),
        )
        .where(
            RunStep.run_id.in_(last),
            RunStep.node == "",
            RunStep.state.in_((StepState.SUCCEEDED.value, StepState.WARNED.value)),
        )
        .group_by(RunStep.step_key)
    )
    return {
        key: StepHistory(runs, seconds, rows)
        for key, runs, seconds, rows in await session.execute(query)
    }


async def load_paths(session: AsyncSession, actor: Actor, pipeline_id: int) -> dict[str, LoadPath]:
    """How each table was loaded by the last successful run, by ``schema.table``."""
    actor.require("run:read")
    last = (
        select(func.max(Run.id))
        .where(
            Run.org_id == actor.org_id,
            Run.pipeline_id == pipeline_id,
            Run.state == RunState.SUCCEEDED.value,
            Run.deleted_at.is_(None),
        )
        .scalar_subquery()
    )
    query = select(RunStep.node, RunStep.details).where(
        RunStep.run_id == last, RunStep.kind == "table"
    )
    return {
        node: LoadPath(str(details["path"]), str(details.get("path_reason") or ""))
        for node, details in await session.execute(query)
        if details.get("path")
    }
