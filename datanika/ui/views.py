"""What pages show, as plain data. Times are ISO 8601 with zone, durations seconds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from datanika.contracts.enums import RunState
from datanika.models import Pipeline, Run, RunLog, RunStep
from datanika.services.queue_service import QueuedRun, WaitReason


def iso(moment: dt.datetime | None) -> str | None:
    """ISO 8601 in UTC, or None."""
    return moment.astimezone(dt.UTC).isoformat() if moment else None


@dataclass(frozen=True)
class RunView:
    """A run in a list, or at the head of its own page."""

    id: int = 0
    pipeline_id: int = 0
    pipeline: str = ""
    state: str = ""
    is_final: bool = True
    trigger: str = ""
    attempt: int = 0
    started_at: str | None = None
    finished_at: str | None = None
    created_at: str | None = None
    rows: int | None = None
    error_message: str = ""
    error_hint: str = ""
    href: str = ""


def run_view(run: Run, pipeline: str) -> RunView:
    """``pipeline`` is the pipeline's name."""
    return RunView(
        id=run.id,
        pipeline_id=run.pipeline_id,
        pipeline=pipeline,
        state=run.state,
        is_final=RunState(run.state).is_final,
        trigger=run.trigger,
        attempt=run.attempt,
        started_at=iso(run.started_at),
        finished_at=iso(run.finished_at),
        created_at=iso(run.created_at),
        rows=run.rows,
        error_message=run.error_message or "",
        error_hint=run.error_hint or "",
        href=f"/runs/{run.id}",
    )


@dataclass(frozen=True)
class StepRow:
    """A step, or a table or dbt node inside one (``depth`` 1), with its bar on the time line.

    ``left`` and ``width`` are CSS percentages of the run's duration so far.
    """

    key: str
    name: str
    kind: str
    state: str
    depth: int
    started_at: str | None
    finished_at: str | None
    seconds: float | None
    rows: int | None
    left: str
    width: str
    error: str


def step_rows(
    steps: Sequence[RunStep], begin: dt.datetime | None, end: dt.datetime | None
) -> list[StepRow]:
    """Each step followed by its nodes, in the order they started. ``end`` is now or the finish."""
    latest = dt.datetime.max.replace(tzinfo=dt.UTC)
    parents = sorted(
        (step for step in steps if not step.node),
        key=lambda step: (step.started_at or latest, step.id),
    )
    rows: list[StepRow] = []
    for parent in parents:
        rows.append(_step_row(parent, 0, begin, end))
        children = [step for step in steps if step.node and step.step_key == parent.step_key]
        children.sort(key=lambda step: (step.started_at or latest, step.id))
        rows.extend(_step_row(child, 1, begin, end) for child in children)
    return rows


def _step_row(
    step: RunStep, depth: int, begin: dt.datetime | None, end: dt.datetime | None
) -> StepRow:
    left, width = _bar(step, begin, end)
    return StepRow(
        key=f"{step.step_key}/{step.node}",
        name=step.name or step.node or step.step_key,
        kind=step.kind,
        state=step.state,
        depth=depth,
        started_at=iso(step.started_at),
        finished_at=iso(step.finished_at),
        seconds=step.duration_seconds if step.finished_at else None,
        rows=step.rows,
        left=f"{left:.2f}%",
        width=f"{width:.2f}%",
        error=step.error_message or "",
    )


def _bar(step: RunStep, begin: dt.datetime | None, end: dt.datetime | None) -> tuple[float, float]:
    if begin is None or end is None or step.started_at is None or end <= begin:
        return 0.0, 0.0
    total = (end - begin).total_seconds()
    left = max(0.0, (step.started_at - begin).total_seconds() / total * 100)
    right = ((step.finished_at or end) - begin).total_seconds() / total * 100
    return min(left, 99.0), max(0.6, min(right, 100.0) - min(left, 99.0))


@dataclass(frozen=True)
class QueueRow:
    """A run that waits. ``detail`` needs no translation: names, or how many of how many."""

    position: int
    id: int
    pipeline: str
    trigger: str
    created_at: str | None
    reason: str
    detail: str
    blocker: int
    blocker_href: str
    waits_until: str | None
    href: str


def queue_row(run: QueuedRun) -> QueueRow:
    detail = ", ".join(run.waits_for_pipelines)
    if run.reason is WaitReason.LIMIT:
        detail = f"{run.active} / {run.limit}"
    blocker = run.waits_for_run_id or 0
    return QueueRow(
        position=run.position,
        id=run.run_id,
        pipeline=run.pipeline_name,
        trigger=run.trigger,
        created_at=iso(run.created_at),
        reason=run.reason.value,
        detail=detail,
        blocker=blocker,
        blocker_href=f"/runs/{blocker}" if blocker else "",
        waits_until=iso(run.waits_until),
        href=f"/runs/{run.run_id}",
    )


@dataclass(frozen=True)
class LogRow:
    id: int
    at: str | None
    level: str
    step: str
    message: str


def log_row(line: RunLog) -> LogRow:
    return LogRow(line.id, iso(line.at), line.level, line.step_key, line.message)


@dataclass(frozen=True)
class PipelineRow:
    id: int
    name: str
    description: str
    is_paused: bool
    steps: list[str]
    last_state: str
    last_href: str
    last_at: str | None


def pipeline_row(pipeline: Pipeline, steps: list[str], last: Run | None) -> PipelineRow:
    """``steps``: keys of the current version's steps."""
    return PipelineRow(
        id=pipeline.id,
        name=pipeline.name,
        description=pipeline.description,
        is_paused=pipeline.is_paused,
        steps=steps,
        last_state=last.state if last else "",
        last_href=f"/runs/{last.id}" if last else "",
        last_at=iso(last.created_at) if last else None,
    )
