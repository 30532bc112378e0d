"""What the pages of pipelines show, as plain data. Times are ISO 8601 with zone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datanika.compiler import explain_step
from datanika.contracts.enums import StepKind
from datanika.contracts.plan import Plan, PlanLoad, PlanTransform
from datanika.models import Run
from datanika.services.backfill_service import Progress
from datanika.services.step_history import LoadPath, StepHistory
from datanika.ui.views import iso

MAX_DETAILS = 40
"""Lines of one step that a page shows; the API tells all of them."""


@dataclass(frozen=True)
class PipelineListRow:
    """``next_at`` is the next time that a schedule fires."""

    id: int
    name: str
    description: str
    is_paused: bool
    pause_reason: str
    steps: list[str]
    more_steps: int
    last_state: str
    last_href: str
    last_at: str | None
    next_at: str | None
    href: str


def pipeline_list_row(
    pipeline: Any, steps: Sequence[str], last: Run | None, next_at: dt.datetime | None
) -> PipelineListRow:
    """``steps``: keys of the present version's steps."""
    return PipelineListRow(
        id=pipeline.id,
        name=pipeline.name,
        description=pipeline.description[:200],
        is_paused=pipeline.is_paused,
        pause_reason=pipeline.pause_reason or "",
        steps=list(steps[:4]),
        more_steps=max(0, len(steps) - 4),
        last_state=last.state if last else "",
        last_href=f"/runs/{last.id}" if last else "",
        last_at=iso(last.created_at) if last else None,
        next_at=iso(next_at),
        href=f"/pipelines/{pipeline.id}",
    )


@dataclass(frozen=True)
class PlanStepView:
    """A step of a plan. ``runs`` successful runs gave ``seconds`` and ``rows``; ``paths`` say how
    tables were loaded the last time, and why."""

    key: str
    stage: int
    kind: str
    title: str
    details: list[str]
    paths: list[str]
    runs: int
    seconds: float | None
    rows: int | None


def plan_steps(
    plan: Plan, history: Mapping[str, StepHistory], paths: Mapping[str, LoadPath]
) -> list[PlanStepView]:
    """The steps in the order of their stages."""
    return [
        _plan_step(plan.get(key), stage, history.get(key), paths)
        for stage, keys in enumerate(plan.stages, start=1)
        for key in keys
    ]


def _plan_step(
    planned: PlanLoad | PlanTransform,
    stage: int,
    history: StepHistory | None,
    paths: Mapping[str, LoadPath],
) -> PlanStepView:
    title, *details = explain_step(planned)
    shown = details[:MAX_DETAILS]
    if len(details) > MAX_DETAILS:
        shown.append(f"… {len(details) - MAX_DETAILS}")
    return PlanStepView(
        key=planned.step.key,
        stage=stage,
        kind=planned.kind.value,
        title=title,
        details=shown,
        paths=_paths(planned, paths)[:MAX_DETAILS],
        runs=history.runs if history else 0,
        seconds=history.seconds if history else None,
        rows=history.rows if history else None,
    )


def _paths(planned: PlanLoad | PlanTransform, paths: Mapping[str, LoadPath]) -> list[str]:
    if planned.kind is not StepKind.LOAD:
        return []
    told = []
    for table in planned.step.tables:
        found = paths.get(f"{planned.step.target_schema}.{table.target}")
        if found is not None:
            reason = f" ({found.reason})" if found.reason else ""
            told.append(f"{table.target}: {found.path}{reason}")
    return told


def expected_seconds(plan: Plan, history: Mapping[str, StepHistory]) -> float | None:
    """How long a run takes: the slowest step of each stage. None where a step was not measured."""
    total = 0.0
    for keys in plan.stages:
        known = [history[key].seconds if key in history else None for key in keys]
        seconds = [one for one in known if one is not None]
        if len(seconds) < len(keys):
            return None
        total += max(seconds)
    return total


@dataclass(frozen=True)
class VersionRow:
    number: int
    author: str
    created_at: str | None
    steps: int
    is_current: bool


@dataclass(frozen=True)
class ScheduleRow:
    id: int
    when: str
    timezone: str
    is_active: bool
    starts_at: str | None
    ends_at: str | None
    catchup: str
    jitter: str
    fires: list[str]
    revision: int


@dataclass(frozen=True)
class DayView:
    """A day of the calendar; ``count`` may be a lower bound, then ``text`` ends with +."""

    day: int
    count: int
    text: str
    is_other: bool
    is_today: bool


@dataclass(frozen=True)
class DependencyRow:
    id: int
    upstream_id: int
    upstream: str
    href: str
    starts_run: bool
    within: str
    wait: str
    is_fresh: bool
    text: str
    last_at: str | None
    revision: int


@dataclass(frozen=True)
class BackfillRow:
    id: int
    pipeline_id: int
    state: str
    start: str
    end: str
    chunk: str
    chunks: int
    done: int
    percent: str
    run_id: int
    run_href: str
    created_at: str | None
    is_live: bool


def minute(moment: dt.datetime) -> str:
    """In UTC, as the form of a backfill takes it: whole intervals are of no other zone."""
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M}"


def backfill_row(progress: Progress) -> BackfillRow:
    row = progress.backfill
    share = progress.chunks_done / progress.chunks if progress.chunks else 0
    return BackfillRow(
        id=row.id,
        pipeline_id=row.pipeline_id,
        state=row.state,
        start=minute(row.interval_start),
        end=minute(row.interval_end),
        chunk=span(row.chunk_seconds),
        chunks=progress.chunks,
        done=progress.chunks_done,
        percent=f"{share * 100:.1f}%",
        run_id=progress.run.id if progress.run else 0,
        run_href=f"/runs/{progress.run.id}" if progress.run else "",
        created_at=iso(row.created_at),
        is_live=row.state == "running",
    )


UNITS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400, "weeks": 604_800}
_SHORT = {"weeks": "w", "days": "d", "hours": "h", "minutes": "min", "seconds": "s"}


def split_span(seconds: int) -> tuple[int, str]:
    """``seconds`` in the largest unit that holds them exactly, up to days."""
    for unit in ("days", "hours", "minutes"):
        if seconds and seconds % UNITS[unit] == 0:
            return seconds // UNITS[unit], unit
    return seconds, "seconds"


def span(seconds: int) -> str:
    """``seconds`` for people: ``90 min``, ``1 d``."""
    number, unit = split_span(seconds)
    return f"{number} {_SHORT[unit]}"
