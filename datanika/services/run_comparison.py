"""A run beside the last good one of its pipeline: what is new, gone, slower, or has other rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.enums import RunState, StepState
from datanika.models import Run, RunStep
from datanika.services.actor import Actor
from datanika.services.run_service import RunService

SLOWER = 1.5
"""So many times the duration is slower,"""
NOTICED_SECONDS = 1.0
"""if it is at least so much more."""
MAX_LINES = 200
_DONE = (StepState.SUCCEEDED.value, StepState.WARNED.value)
_NOT_RUN = (StepState.SKIPPED.value, StepState.CANCELLED.value, StepState.PENDING.value)


class Verdict(StrEnum):
    NEW = "new"
    GONE = "gone"
    NOT_RUN = "not_run"
    FAILED = "failed"
    SLOWER = "slower"
    FASTER = "faster"
    FEWER_ROWS = "fewer_rows"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class Difference:
    """A step (``node`` empty), table or dbt node in both runs, or in one."""

    step_key: str
    node: str
    name: str
    seconds: float | None
    seconds_before: float | None
    rows: int | None
    rows_before: int | None
    verdict: Verdict

    @property
    def ratio(self) -> float | None:
        """How many times longer it took; None where that says nothing."""
        if not self.seconds or not self.seconds_before:
            return None
        return self.seconds / self.seconds_before


@dataclass(frozen=True, slots=True)
class Comparison:
    """``other`` None: there is no good run before. ``left_out``: how many lines are not here."""

    other: Run | None
    seconds: float | None = None
    seconds_before: float | None = None
    rows: int | None = None
    rows_before: int | None = None
    lines: Sequence[Difference] = ()
    left_out: int = 0


async def compare_with_last_good(session: AsyncSession, actor: Actor, run_id: int) -> Comparison:
    """The run beside the last whole one before it that succeeded; raises :class:`NotFound`."""
    service = RunService(session, actor)
    run = await service.get(run_id)
    other = await session.scalar(
        select(Run)
        .where(
            Run.org_id == actor.org_id,
            Run.pipeline_id == run.pipeline_id,
            Run.id < run.id,
            Run.state == RunState.SUCCEEDED.value,
            # Parts of the pipeline, and of its past, are no measure.
            Run.overrides["steps"].as_string().is_(None),
            Run.backfill_id.is_(None),
            Run.retry_of.is_(None),
            Run.deleted_at.is_(None),
        )
        .order_by(Run.id.desc())
        .limit(1)
    )
    if other is None:
        return Comparison(None)
    lines = differences(await service.steps(run.id), await service.steps(other.id))
    return Comparison(
        other,
        _seconds(run),
        _seconds(other),
        run.rows,
        other.rows,
        lines[:MAX_LINES],
        max(0, len(lines) - MAX_LINES),
    )


def differences(now: Sequence[RunStep], before: Sequence[RunStep]) -> list[Difference]:
    """Each step followed by what is in it, in the order of ``now``; then what is gone. dbt tests
    are left out, and so is what a retry did not do again."""
    old = {(step.step_key, step.node): step for step in before if step.kind != "test"}
    found: list[Difference] = []
    seen: set[tuple[str, str]] = set()
    parents = [step for step in now if not step.node]
    for parent in parents:
        inside = [step for step in now if step.node and step.step_key == parent.step_key]
        for step in (parent, *inside):
            if step.kind == "test" or (step.node and step.details.get("left_out")):
                continue
            key = step.step_key, step.node
            seen.add(key)
            found.append(_difference(step, old.get(key)))
    left_out = {(step.step_key, step.node) for step in now if step.details.get("left_out")}
    done = {step.step_key for step in parents if step.state in _DONE}
    for key, step in old.items():
        if key not in seen | left_out:
            # What is missing of a step that did not come to its end is not gone.
            is_gone = key[0] in done or not step.node and key[0] not in {k for k, _ in seen}
            found.append(_difference(None, step, is_gone=is_gone))
    return found


def _difference(
    step: RunStep | None, before: RunStep | None, *, is_gone: bool = True
) -> Difference:
    one = step or before
    assert one is not None
    return Difference(
        step_key=one.step_key,
        node=one.node,
        name=one.name or one.node or one.step_key,
        seconds=step.duration_seconds if step else None,
        seconds_before=before.duration_seconds if before else None,
        rows=step.rows if step else None,
        rows_before=before.rows if before else None,
        verdict=_verdict(step, before, is_gone),
    )


def _verdict(step: RunStep | None, before: RunStep | None, is_gone: bool) -> Verdict:
    if step is None:
        return Verdict.GONE if is_gone else Verdict.NOT_RUN
    if step.state in _NOT_RUN:
        return Verdict.NOT_RUN
    if step.state == StepState.FAILED.value:
        return Verdict.FAILED
    if before is None:
        return Verdict.NEW
    took, took_before = step.duration_seconds or 0.0, before.duration_seconds or 0.0
    if took > took_before * SLOWER and took - took_before > NOTICED_SECONDS:
        return Verdict.SLOWER
    if (before.rows or 0) > (step.rows or 0) * 2 and step.finished_at is not None:
        return Verdict.FEWER_ROWS
    if took_before > took * SLOWER and took_before - took > NOTICED_SECONDS:
        return Verdict.FASTER
    return Verdict.SAME


def _seconds(run: Run) -> float | None:
    if run.started_at is None or run.finished_at is None:
        return None
    return (run.finished_at - run.started_at).total_seconds()
