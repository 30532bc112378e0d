"""What people read of an event."""

from __future__ import annotations

import datetime as dt

import pytest

from datanika.contracts.notifications import (
    TEST_EVENT,
    Named,
    Notification,
    NotificationEvent,
    RunError,
    RunSummary,
    subject_of,
    text_of,
)

NOW = dt.datetime(2026, 11, 27, 10, 0, tzinfo=dt.UTC)


def message(event: str, **more: object) -> Notification:
    return Notification(
        event_id="e",
        event=event,
        occurred_at=NOW,
        organization=Named(id=1, name="Acme"),
        **more,  # type: ignore[arg-type]
    )


def test_a_failed_run_says_why_and_where_to_look() -> None:
    run = RunSummary(
        id=7,
        state="failed",
        trigger="schedule",
        attempt=1,
        started_at=NOW - dt.timedelta(seconds=90),
        finished_at=NOW,
        rows=12_345,
        error=RunError(code="x", message="The password is wrong.", hint="Enter it again."),
        url="https://datanika.example/runs/7",
    )
    text = text_of(message("run.failed", pipeline=Named(id=1, name="nightly"), run=run))
    assert text.splitlines() == [
        "nightly failed",
        "Organisation: Acme",
        "Rows: 12,345",
        "Took: 90 s",
        "Why: The password is wrong.",
        "Enter it again.",
        "https://datanika.example/runs/7",
    ]


@pytest.mark.parametrize("event", NotificationEvent)
def test_every_event_has_words(event: NotificationEvent) -> None:
    assert subject_of(message(event.value, pipeline=Named(id=1, name="nightly"))) > "nightly "


def test_a_test_says_that_it_is_one() -> None:
    assert "arrive" in text_of(message(TEST_EVENT))


def test_a_pause_by_the_platform_says_why() -> None:
    told = message(
        "pipeline.paused", pipeline=Named(id=1, name="nightly"), reason="Its last 10 runs failed."
    )
    assert text_of(told).splitlines() == [
        "nightly was paused", "Organisation: Acme", "Its last 10 runs failed.",
    ]  # fmt: skip
