"""What the first page says: health, the last day, what failed, what is late, how it develops."""

from __future__ import annotations

import datetime as dt

from pydantic import Field

from datanika.contracts.api.base import Answer
from datanika.contracts.api.organizations import FigureOut
from datanika.contracts.enums import RunState, RunTrigger


class HealthOut(Answer):
    """How many pipelines there are, each counted once by its last run."""

    total: int
    healthy: int = Field(description="The last run that ended succeeded.")
    failing: int = Field(description="The last run that ended failed, or found stale upstreams.")
    running: int = Field(description="Of all: a run of it is under way.")
    paused: int = Field(description="Of all: no schedule starts it.")
    never_run: int


class FailingPipelineOut(Answer):
    """A pipeline whose last run failed, and what to do about it."""

    pipeline_id: int
    name: str
    run_id: int
    state: RunState
    failed_at: dt.datetime | None
    failures: int = Field(description="Runs that failed since the last that succeeded.")
    error_code: str | None
    error_message: str | None
    error_hint: str | None
    is_paused: bool
    pause_reason: str | None = Field(description="Why the platform paused it.")
    last_success_at: dt.datetime | None


class TimelineRunOut(Answer):
    """A run that was under way in the last 24 hours, or waits."""

    id: int
    pipeline_id: int
    state: RunState
    trigger: RunTrigger
    created_at: dt.datetime
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    rows: int | None
    error_message: str | None = Field(description="At most 300 characters.")


class LaneOut(Answer):
    """A pipeline with runs in the last 24 hours."""

    pipeline_id: int
    name: str
    runs: list[TimelineRunOut]


class LatePipelineOut(Answer):
    """A pipeline whose schedule fired, and which has not succeeded since."""

    pipeline_id: int
    name: str
    due_at: dt.datetime = Field(description="The first time of its schedule that was not served.")
    last_success_at: dt.datetime | None
    late_seconds: int
    tables: list[str] = Field(description="What it fills, at most ten names.")
    tables_total: int


class DayOut(Answer):
    """Runs that ended on a day (UTC)."""

    day: dt.date
    runs: int
    failed: int
    rows: int
    seconds: float = Field(description="Of all its runs together.")
    median_seconds: float | None = Field(description="Of a run that succeeded.")


class QuotaOut(Answer):
    """What this month's use is of what may be used."""

    resets_at: dt.datetime
    concurrent_runs: FigureOut
    connections: FigureOut
    rows: FigureOut
    storage_bytes: FigureOut


class FirstStepsOut(Answer):
    """How far a new organisation has come."""

    has_connection: bool
    has_pipeline: bool
    has_run: bool
    has_success: bool


class OverviewOut(Answer):
    now: dt.datetime
    health: HealthOut
    failing: list[FailingPipelineOut] = Field(description="At most 20, the newest first.")
    lanes: list[LaneOut] = Field(
        description="The newest 400 runs of the last 24 hours; failing pipelines first."
    )
    runs_left_out: int = Field(description="Runs of the last 24 hours that are in no lane.")
    late: list[LatePipelineOut] = Field(description="The latest first.")
    days: list[DayOut] = Field(description="The last 14, the oldest first.")
    quota: QuotaOut | None = Field(description="Null for a key without `usage:read`.")
    first_steps: FirstStepsOut
