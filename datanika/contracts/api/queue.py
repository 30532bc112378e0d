"""What waits, and for what."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field

from datanika.contracts.api.base import Answer
from datanika.contracts.enums import RunTrigger

Reason = Literal[
    "waits_for_run",
    "organization_limit",
    "waits_for_upstream",
    "waits_for_worker",
    "prefect_unavailable",
]


class QueuedRunOut(Answer):
    position: int = Field(description="1: starts first.")
    run_id: int
    pipeline_id: int
    pipeline_name: str
    trigger: RunTrigger
    created_at: dt.datetime
    waiting_seconds: int
    reason: Reason
    text: str = Field(description="The reason in words.")
    waits_for_run_id: int | None = Field(description="The pipeline's run that is not over.")
    waits_for_pipelines: list[str] = Field(description="Names of the upstreams that are stale.")
    waits_until: dt.datetime | None = Field(
        description="When it ends as `upstream_stale`, if they stay so."
    )
    since: dt.datetime | None = Field(description="When Prefect was given it.")


class QueueOut(Answer):
    items: list[QueuedRunOut]
    waiting: int = Field(description="How many runs wait, in `items` or not.")
    running: int
    active: int = Field(description="Runs that have one of the places: running, or in Prefect.")
    limit: int | None = Field(description="Places of the organisation; null: no limit.")
