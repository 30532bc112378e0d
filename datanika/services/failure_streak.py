"""A pipeline that fails again and again: first somebody is told, then it is paused.

Counted are runs that failed. One that was cancelled, skipped or found its upstream stale says
nothing about the pipeline; one that succeeded starts the count anew.
"""

from __future__ import annotations

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.config import settings
from datanika.contracts.enums import RunState
from datanika.models import Pipeline, Run
from datanika.services.audit_service import SystemActor, record
from datanika.services.notification_events import notify_failing, notify_switched

TOO_MANY_FAILURES = "too_many_failures"


async def count_result(session: AsyncSession, run: Run) -> None:
    """Count a run that has just ended; the caller has locked its pipeline where it succeeded or
    failed."""
    if run.state == RunState.SUCCEEDED.value:
        await _set_count(session, run, 0)
    elif run.state == RunState.FAILED.value:
        pipeline = await _set_count(session, run, Pipeline.consecutive_failures + 1)
        if pipeline is None or pipeline.deleted_at is not None:
            return
        if pipeline.consecutive_failures == settings.failures_until_warning:
            await notify_failing(session, pipeline, run)
        if pipeline.consecutive_failures >= settings.failures_until_pause:
            await _pause(session, pipeline)


async def _set_count(session: AsyncSession, run: Run, count: object) -> Pipeline | None:
    """The pipeline with the new count; None where that changes nothing. Nobody edited it."""
    found: Pipeline | None = await session.scalar(
        update(Pipeline)
        .where(
            Pipeline.org_id == run.org_id,
            Pipeline.id == run.pipeline_id,
            Pipeline.consecutive_failures != count,
        )
        .values(consecutive_failures=count, updated_at=Pipeline.updated_at)
        .returning(Pipeline)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    return found


async def _pause(session: AsyncSession, pipeline: Pipeline) -> None:
    """Stop schedules and upstreams from starting it; Prefect learns it from the reconciler."""
    if pipeline.is_paused:
        return
    old = {"is_paused": False, "revision": pipeline.revision}
    pipeline.is_paused = True
    pipeline.pause_code = TOO_MANY_FAILURES
    pipeline.pause_reason = (
        f"Its last {pipeline.consecutive_failures} runs failed. Mend it, try it by hand, and "
        "resume it."
    )
    pipeline.revision += 1
    pipeline.deployed_hash = None
    await session.flush()
    await notify_switched(session, pipeline, paused=True)
    await record(
        session,
        SystemActor(pipeline.org_id),
        "pipeline.paused",
        "pipeline",
        pipeline.id,
        old=old,
        new={
            "is_paused": True,
            "revision": pipeline.revision,
            "pause_code": pipeline.pause_code,
            "pause_reason": pipeline.pause_reason,
        },
    )
