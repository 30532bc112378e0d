"""Rows of a run's table: order, bars on the time line."""

from __future__ import annotations

import datetime as dt
from typing import Any

from datanika.models import RunStep
from datanika.services.queue_service import QueuedRun, WaitReason
from datanika.ui.views import QueueRow, queue_row, step_rows

BEGIN = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


def at(seconds: float) -> dt.datetime:
    return BEGIN + dt.timedelta(seconds=seconds)


def step(number: int, key: str, node: str, start: float | None, end: float | None) -> RunStep:
    return RunStep(
        id=number,
        step_key=key,
        node=node,
        name=node or key,
        kind="table",
        state="succeeded",
        started_at=None if start is None else at(start),
        finished_at=None if end is None else at(end),
        duration_seconds=None if start is None or end is None else end - start,
    )


def test_each_step_is_followed_by_its_nodes_in_the_order_they_started() -> None:
    rows = step_rows(
        [
            step(1, "transform", "", None, None),
            step(2, "load", "", 0, 8),
            step(3, "load", "raw.b", 4, 8),
            step(4, "load", "raw.a", 1, 4),
        ],
        BEGIN,
        at(10),
    )
    assert [(row.name, row.depth) for row in rows] == [
        ("load", 0),
        ("raw.a", 1),
        ("raw.b", 1),
        ("transform", 0),
    ]


def test_bars_show_when_in_the_run_a_step_worked() -> None:
    done, running, waiting = step_rows(
        [
            step(1, "a", "", 0, 5),
            step(2, "b", "", 5, None),
            step(3, "c", "", None, None),
        ],
        BEGIN,
        at(10),
    )
    assert (done.left, done.width) == ("0.00%", "50.00%")
    assert (running.left, running.width, running.seconds) == ("50.00%", "50.00%", None)
    assert (waiting.left, waiting.width) == ("0.00%", "0.00%")


def test_a_bar_never_leaves_the_line() -> None:
    (row,) = step_rows([step(1, "a", "", -3, 20)], BEGIN, at(10))
    assert (row.left, row.width) == ("0.00%", "100.00%")


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
