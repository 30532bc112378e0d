"""Runs, their steps and log lines."""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

from pydantic import Field

from datanika.contracts.api.base import Answer, Body
from datanika.contracts.enums import RunState, RunTrigger, StepState
from datanika.contracts.text import Flag


class RunOut(Answer):
    id: int
    pipeline_id: int
    pipeline_version_id: int
    state: RunState
    trigger: RunTrigger
    triggered_by: int | None
    retry_of: int | None = Field(description="The run that this one repeats.")
    idempotency_key: str
    plan_hash: str
    ignores_dependencies: bool
    waits_until: dt.datetime | None = Field(
        description="Set while it waits for what the pipeline depends on: when it gives up."
    )
    flow_run_id: str | None = Field(description="The run's id in Prefect.")
    attempt: int
    rows: int | None
    error_code: str | None
    error_message: str | None
    error_hint: str | None
    created_at: dt.datetime
    started_at: dt.datetime | None
    finished_at: dt.datetime | None


class TriggerIn(Body):
    """How the run differs from what the pipeline says."""

    ignore_dependencies: Flag = Field(
        default=False, description="Start however old the upstreams' last successes are."
    )


class RetryIn(Body):
    """Where the new run begins."""

    from_: Literal["start"] = Field(
        default="start", alias="from", description="`start`: every step again."
    )


class RunStepOut(Answer):
    """A step of the plan (``node`` empty), or a table or dbt node inside one."""

    step_key: str
    node: str
    name: str
    kind: str
    state: StepState
    attempt: int
    depends_on: list[str]
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    duration_seconds: float | None
    rows: int | None
    rows_total: int | None
    bytes: int | None
    relation: str | None
    error_code: str | None
    error_message: str | None
    error_hint: str | None
    details: dict[str, Any]


class LogOut(Answer):
    id: int
    at: dt.datetime
    level: str
    step_key: str
    node: str | None
    message: str
