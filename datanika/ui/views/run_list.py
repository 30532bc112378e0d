"""A run in a list, and one that waits."""

from __future__ import annotations

from dataclasses import dataclass

from datanika.models import Run
from datanika.services.queue_service import QueuedRun, WaitReason
from datanika.ui.views import iso


@dataclass(frozen=True)
class RunView:
    """A run in a list. ``error``: the first line of why it failed."""

    id: int
    pipeline: str
    state: str
    trigger: str
    started_at: str | None
    finished_at: str | None
    created_at: str | None
    rows: int | None
    error: str
    href: str


def run_view(run: Run, pipeline: str) -> RunView:
    """``pipeline`` is the pipeline's name."""
    return RunView(
        id=run.id,
        pipeline=pipeline,
        state=run.state,
        trigger=run.trigger,
        started_at=iso(run.started_at),
        finished_at=iso(run.finished_at),
        created_at=iso(run.created_at),
        rows=run.rows,
        error=(run.error_message or "").strip().partition("\n")[0][:200],
        href=f"/runs/{run.id}",
    )


@dataclass(frozen=True)
class QueueRow:
    """A run that waits. ``detail`` needs no translation: names, or how many of how many."""

    position: int
    id: int
    pipeline: str
    trigger: str
    created_at: str | None
    reason: str
    detail: str
    blocker: int
    blocker_href: str
    waits_until: str | None
    href: str


def queue_row(run: QueuedRun) -> QueueRow:
    detail = ", ".join(run.waits_for_pipelines)
    if run.reason is WaitReason.LIMIT:
        detail = f"{run.active} / {run.limit}"
    blocker = run.waits_for_run_id or 0
    return QueueRow(
        position=run.position,
        id=run.run_id,
        pipeline=run.pipeline_name,
        trigger=run.trigger,
        created_at=iso(run.created_at),
        reason=run.reason.value,
        detail=detail,
        blocker=blocker,
        blocker_href=f"/runs/{blocker}" if blocker else "",
        waits_until=iso(run.waits_until),
        href=f"/runs/{run.run_id}",
    )
