"""What may be told to whom: events, kinds of channels, and the message itself."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from datanika.contracts.base import Contract


class ChannelKind(StrEnum):
    EMAIL = "email"
    WEBHOOK = "webhook"
    SLACK = "slack"
    TELEGRAM = "telegram"


class NotificationEvent(StrEnum):
    """What a channel may ask for. ``run.recovered`` is the first success after a failure;
    ``pipeline.failing`` comes once when a pipeline has failed several times in a row."""

    RUN_FAILED = "run.failed"
    RUN_RECOVERED = "run.recovered"
    RUN_SUCCEEDED = "run.succeeded"
    RUN_CANCELLED = "run.cancelled"
    RUN_SKIPPED = "run.skipped"
    RUN_UPSTREAM_STALE = "run.upstream_stale"
    PIPELINE_FAILING = "pipeline.failing"
    PIPELINE_PAUSED = "pipeline.paused"
    PIPELINE_RESUMED = "pipeline.resumed"
    SCHEDULE_PAUSED = "schedule.paused"
    SCHEDULE_RESUMED = "schedule.resumed"


TEST_EVENT = "channel.test"
"""Sent when somebody tries a channel; no channel can ask for it."""


class DeliveryState(StrEnum):
    """``failed``: given up. ``cancelled``: its channel was deleted or switched off."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Named(Contract):
    id: int
    name: str


class RunError(Contract):
    code: str
    message: str
    hint: str | None = None


class RunSummary(Contract):
    """The run that an event is about, as it ended."""

    id: int
    state: str
    trigger: str
    attempt: int
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    rows: int | None
    error: RunError | None
    url: Annotated[str, Field(description="Its page in the UI.")]


class Notification(Contract):
    """The body of a webhook, and what other channels make their text of."""

    event_id: str
    event: str
    occurred_at: dt.datetime
    organization: Named
    pipeline: Named | None = None
    schedule_id: int | None = None
    reason: str | None = None
    """Why the platform did it; empty where a person did."""
    run: RunSummary | None = None


_WORDS = {
    NotificationEvent.RUN_FAILED: "failed",
    NotificationEvent.RUN_RECOVERED: "works again",
    NotificationEvent.RUN_SUCCEEDED: "succeeded",
    NotificationEvent.RUN_CANCELLED: "was cancelled",
    NotificationEvent.RUN_SKIPPED: "was skipped",
    NotificationEvent.RUN_UPSTREAM_STALE: "waits for fresh data",
    NotificationEvent.PIPELINE_FAILING: "fails again and again",
    NotificationEvent.PIPELINE_PAUSED: "was paused",
    NotificationEvent.PIPELINE_RESUMED: "was resumed",
    NotificationEvent.SCHEDULE_PAUSED: "has a schedule less: it was paused",
    NotificationEvent.SCHEDULE_RESUMED: "has a schedule again",
}


def subject_of(message: Notification) -> str:
    """One line for people."""
    if message.pipeline is None or message.event == TEST_EVENT:
        return f"Test from Datanika, {message.organization.name}"
    return f"{message.pipeline.name} {_WORDS[NotificationEvent(message.event)]}"


def text_of(message: Notification) -> str:
    """The whole for people: plain text, a fact a line."""
    lines = [subject_of(message), f"Organisation: {message.organization.name}"]
    if message.reason:
        lines.append(message.reason)
    run = message.run
    if run is None:
        if message.event == TEST_EVENT:
            lines.append("Notifications of this channel arrive.")
        return "\n".join(lines)
    if run.rows is not None:
        lines.append(f"Rows: {run.rows:,}")
    if run.started_at is not None and run.finished_at is not None:
        lines.append(f"Took: {(run.finished_at - run.started_at).total_seconds():.0f} s")
    if run.error is not None:
        lines.append(f"Why: {run.error.message}")
        if run.error.hint:
            lines.append(run.error.hint)
    return "\n".join([*lines, run.url])
