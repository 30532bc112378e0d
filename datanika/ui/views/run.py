"""What a run's page shows beside what it follows by itself. Times are ISO 8601 with zone."""

from __future__ import annotations

from dataclasses import dataclass, field

from datanika.contracts.enums import RunState
from datanika.models import Run
from datanika.services.run_comparison import Comparison, Difference
from datanika.ui.views import iso


@dataclass(frozen=True)
class RunFacts:
    """The run at the head of its page. ``can_retry``: it ended, did not succeed, and is no part of
    a backfill."""

    id: int = 0
    pipeline_id: int = 0
    pipeline: str = ""
    state: str = ""
    is_final: bool = True
    can_retry: bool = False
    trigger: str = ""
    attempt: int = 0
    created_at: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    scheduled_for: str | None = None
    rows: int | None = None
    error_code: str = ""
    error_message: str = ""
    error_hint: str = ""
    retry_of: int = 0
    backfill_id: int = 0
    interval_start: str | None = None
    interval_end: str | None = None
    waits_until: str | None = None
    href: str = ""


def run_facts(run: Run, pipeline: str) -> RunFacts:
    """``pipeline`` is the pipeline's name."""
    state = RunState(run.state)
    return RunFacts(
        id=run.id,
        pipeline_id=run.pipeline_id,
        pipeline=pipeline,
        state=run.state,
        is_final=state.is_final,
        can_retry=state.is_final and state is not RunState.SUCCEEDED and run.backfill_id is None,
        trigger=run.trigger,
        attempt=run.attempt,
        created_at=iso(run.created_at),
        started_at=iso(run.started_at),
        finished_at=iso(run.finished_at),
        scheduled_for=iso(run.scheduled_for),
        rows=run.rows,
        error_code=run.error_code or "",
        error_message=run.error_message or "",
        error_hint=run.error_hint or "",
        retry_of=run.retry_of or 0,
        backfill_id=run.backfill_id or 0,
        interval_start=iso(run.interval_start),
        interval_end=iso(run.interval_end),
        waits_until=iso(run.waits_until),
        href=f"/runs/{run.id}",
    )


@dataclass(frozen=True)
class DifferenceRow:
    """A step, table or node of two runs. ``ratio`` is ``×1.8``, or empty."""

    key: str
    name: str
    depth: int
    seconds: float | None
    seconds_before: float | None
    rows: int | None
    rows_before: int | None
    verdict: str
    ratio: str


@dataclass(frozen=True)
class ComparisonView:
    """``other`` is 0 where there is no good run to compare with."""

    other: int = 0
    other_href: str = ""
    other_at: str | None = None
    seconds: float | None = None
    seconds_before: float | None = None
    rows: int | None = None
    rows_before: int | None = None
    more: int = 0
    lines: list[DifferenceRow] = field(default_factory=list)


def comparison_view(found: Comparison) -> ComparisonView:
    other = found.other
    return ComparisonView(
        other=other.id if other else 0,
        other_href=f"/runs/{other.id}" if other else "",
        other_at=iso(other.finished_at) if other else None,
        seconds=found.seconds,
        seconds_before=found.seconds_before,
        rows=found.rows,
        rows_before=found.rows_before,
        more=found.left_out,
        lines=[_difference(one) for one in found.lines],
    )


def _difference(one: Difference) -> DifferenceRow:
    ratio = one.ratio
    return DifferenceRow(
        key=f"{one.step_key}/{one.node}",
        name=one.name,
        depth=1 if one.node else 0,
        seconds=one.seconds,
        seconds_before=one.seconds_before,
        rows=one.rows,
        rows_before=one.rows_before,
        verdict=one.verdict.value,
        ratio="" if ratio is None or 0.9 < ratio < 1.1 else f"×{ratio:.1f}",
    )
