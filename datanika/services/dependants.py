"""What a success starts: runs of the pipelines that depend on it, in the transaction in which it
is recorded, so that none is lost and none doubled.

The pipelines concerned are locked first, all at once: of two upstreams of one pipeline that
succeed at the same time, the second sees the first's success.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.enums import RunState, RunTrigger
from datanika.contracts.events import utcnow
from datanika.contracts.overrides import RunOverrides
from datanika.models import Pipeline, Run
from datanika.services.freshness import (
    dependencies_on,
    lock_pipelines,
    release_waiting,
    upstreams_of,
)
from datanika.services.unattended_run import accept_unattended


async def lock_with_dependants(
    session: AsyncSession, run: Run, target: RunState
) -> Mapping[int, Pipeline]:
    """The pipelines that change when ``run`` becomes ``target``, locked: its own, and after a
    success of all its steps those that depend on it."""
    if target not in (RunState.SUCCEEDED, RunState.FAILED):
        return {}
    ids = {run.pipeline_id}
    if target is RunState.SUCCEEDED and not RunOverrides.model_validate(run.overrides).is_partial:
        ids |= {
            one.pipeline_id for one in await dependencies_on(session, run.org_id, run.pipeline_id)
        }
    return await lock_pipelines(session, ids)


async def start_dependants(
    session: AsyncSession, run: Run, pipelines: Mapping[int, Pipeline]
) -> None:
    """Release what waited for the success of ``run``, and start what it starts; ``pipelines`` is
    from :func:`lock_with_dependants`."""
    await session.flush()
    # One that came after the lock was taken is not of this success.
    found = [
        one
        for one in await dependencies_on(session, run.org_id, run.pipeline_id)
        if one.pipeline_id in pipelines
    ]
    waiting = [one.pipeline_id for one in found if one.within_seconds is not None]
    if waiting:
        await release_waiting(session, run.org_id, waiting)
    for one in found:
        if one.starts_run:
            await _start(session, run, pipelines[one.pipeline_id])


async def _start(session: AsyncSession, run: Run, pipeline: Pipeline) -> None:
    """A run of ``pipeline``, if the others that start it have succeeded since its last one."""
    last = await session.scalar(
        select(func.max(Run.created_at)).where(
            Run.org_id == run.org_id,
            Run.pipeline_id == pipeline.id,
            Run.trigger == RunTrigger.DEPENDENCY.value,
        )
    )
    successes: list[dt.datetime] = []
    for upstream in await upstreams_of(session, run.org_id, pipeline.id):
        at = upstream.last_success_at
        if not upstream.starts_run:
            continue
        if upstream.pipeline_id != run.pipeline_id and (
            at is None or (last is not None and at <= last)
        ):
            return
        successes.append(at or utcnow())
    await accept_unattended(
        session,
        pipeline,
        RunTrigger.DEPENDENCY,
        f"dependency-{run.id}",
        # Not before any success that it stands for, whatever the clocks of two machines say.
        accepted_at=max(utcnow(), *successes),
        actor="dependency",
    )
