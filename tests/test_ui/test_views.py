"""What pages show, as plain data."""

from __future__ import annotations

import datetime as dt
from typing import Any

from datanika.models import Run
from datanika.services.queue_service import QueuedRun, WaitReason
from datanika.ui.views.run import run_facts
from datanika.ui.views.run_list import QueueRow, queue_row, run_view

BEGIN = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


def at(seconds: float) -> dt.datetime:
    return BEGIN + dt.timedelta(seconds=seconds)


def test_a_run_that_waits_says_for_what_without_words() -> None:
    def shown(reason: WaitReason, **more: Any) -> QueueRow:
        values: dict[str, Any] = {
            "position": 1, "run_id": 7, "organization": "acme", "pipeline_id": 1,
            "pipeline_name": "orders", "trigger": "api", "created_at": BEGIN,
            "waiting_seconds": 5, "text": "", "waits_for_run_id": None, "waits_for_pipelines": [],
            "waits_until": None, "since": None, "active": 10, "limit": 10,
        }  # fmt: skip
        return queue_row(QueuedRun(reason=reason, **(values | more)))

    full = shown(WaitReason.LIMIT)
    assert (full.detail, full.href, full.blocker_href) == ("10 / 10", "/runs/7", "")
    behind = shown(WaitReason.RUN, waits_for_run_id=5)
    assert (behind.detail, behind.blocker, behind.blocker_href) == ("", 5, "/runs/5")
    stale = shown(WaitReason.UPSTREAM, waits_for_pipelines=["a", "b"], waits_until=at(60))
    assert (stale.detail, stale.waits_until) == ("a, b", "2026-01-01T12:01:00+00:00")


def run(state: str, **more: Any) -> Run:
    values = {"id": 7, "pipeline_id": 1, "trigger": "api", "attempt": 1, "created_at": BEGIN}
    return Run(state=state, **(values | more))


def test_a_failed_run_in_a_list_says_why_in_one_line() -> None:
    shown = run_view(run("failed", error_message="\nThe source is gone.\nTraceback"), "orders")
    assert (shown.error, shown.href) == ("The source is gone.", "/runs/7")
    assert run_view(run("succeeded"), "orders").error == ""


def test_what_did_not_succeed_can_be_retried_but_no_chunk_of_a_backfill() -> None:
    assert run_facts(run("failed"), "orders").can_retry
    assert run_facts(run("cancelled"), "orders").can_retry
    assert not run_facts(run("succeeded"), "orders").can_retry
    assert not run_facts(run("running"), "orders").can_retry
    assert not run_facts(run("failed", backfill_id=3), "orders").can_retry
