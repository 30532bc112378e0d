"""Runs, their steps and log lines."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pydantic import Field, computed_field

from datanika.contracts.api.base import Answer, Body
from datanika.contracts.enums import DbtCommand, RunState, RunTrigger, StepState
from datanika.contracts.events import ColumnBreach, ColumnChange
from datanika.contracts.overrides import RunOverrides, Selectors, StepKeys
from datanika.contracts.text import Flag, Integer


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
    overrides: RunOverrides = Field(description="What was changed for this run.")
    schedule_id: int | None = Field(description="The schedule that started it.")
    scheduled_for: dt.datetime | None = Field(description="The time that its schedule meant.")
    ignores_dependencies: bool
    waits_until: dt.datetime | None = Field(
        description="Set while it waits for what the pipeline depends on: when it gives up."
    )
    backfill_id: int | None
    interval_start: dt.datetime | None = Field(
        description="A chunk of a backfill loads rows from then on,"
    )
    interval_end: dt.datetime | None = Field(description="and before then.")
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
    full_refresh: Flag = Field(
        default=False,
        description="Load every table from its beginning in place of what is there, and build "
        "incremental models from nothing.",
    )
    steps: StepKeys | None = Field(
        default=None,
        description="Only these steps; what they depend on is left out.",
        examples=[["load"]],
    )
    command: DbtCommand | None = Field(
        default=None,
        description="What dbt does in place of what the transform steps say. With it, `select`, "
        "`exclude` or `defer`, and without `steps`, only transform steps run.",
        examples=["build"],
    )
    select: Selectors | None = Field(
        default=None,
        description="dbt's selectors in place of the transform steps': names with graph operators "
        "(`+orders`, `orders+2`, `@orders`), `tag:`, `state:modified`, commas for both.",
        examples=[["stg_orders+"]],
    )
    exclude: Selectors | None = Field(default=None, examples=[["tag:slow"]])
    threads: Integer | None = Field(default=None, ge=1, le=16, strict=True, examples=[4])
    fail_fast: Flag | None = Field(
        default=None, description="Stop at the first node that fails.", examples=[True]
    )
    store_failures: Flag | None = Field(
        default=None, description="Keep the rows that fail a test.", examples=[True]
    )
    defer: Flag = Field(
        default=False,
        description="Build into a schema of your own, `dev_u<your id>`, and read what is not "
        "selected from where the pipeline builds it. Nothing of the pipeline's is touched.",
    )

    def overrides(self) -> RunOverrides:
        """What of it changes the plan."""
        return RunOverrides.model_validate(self.model_dump(exclude={"ignore_dependencies"}))


class RetryIn(Body):
    """What the new run does."""

    from_failure: Flag = Field(
        default=True,
        description="Only steps, tables and dbt nodes that did not succeed, and what is downstream "
        "of them. False: the whole plan again.",
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
    updated_at: dt.datetime
    duration_seconds: float | None
    rows: int | None
    rows_total: int | None
    bytes: int | None
    relation: str | None
    error_code: str | None
    error_message: str | None
    error_hint: str | None
    details: dict[str, Any]

    @computed_field(  # type: ignore[prop-decorator]
        description="How a loaded table's source differs from what its last successful load read."
    )
    @property
    def schema_changes(self) -> list[ColumnChange]:
        """Empty for everything but tables, and for a first load."""
        return [
            ColumnChange.model_validate(one) for one in self.details.get("schema_changes") or ()
        ]

    @computed_field(  # type: ignore[prop-decorator]
        description="Columns of a loaded table that broke its schema contract: models that read "
        "them may not be built."
    )
    @property
    def breaches(self) -> list[ColumnBreach]:
        """Empty for everything but tables."""
        return [ColumnBreach.model_validate(one) for one in self.details.get("breaches") or ()]

    @computed_field(description="From its start to its end, or to the last that was heard.")  # type: ignore[prop-decorator]
    @property
    def rows_per_second(self) -> float | None:
        """None before it has rows."""
        if self.rows is None or self.started_at is None:
            return None
        seconds = self.duration_seconds
        if seconds is None:
            seconds = ((self.finished_at or self.updated_at) - self.started_at).total_seconds()
        return round(self.rows / seconds, 1) if seconds > 0 else None


class LogOut(Answer):
    id: int
    at: dt.datetime
    level: str
    step_key: str
    node: str | None
    message: str
