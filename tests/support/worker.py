"""A worker that does what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import uuid4

from sqlalchemy import select

from datanika.contracts.enums import RunState
from datanika.contracts.events import RunEvent, RunFinish
from datanika.db import TenantScope, get_session
from datanika.models import Run
from datanika.services.run_recorder import RunRecorder, claim_run


async def work(
    org_id: int, pipeline_id: int, end: RunFinish, events: Sequence[RunEvent] = ()
) -> None:
    """Wait for a run of the pipeline, claim it, report ``events``, and end it."""
    scope, run_id = TenantScope(org_id), None
    waiting = select(Run.id).where(Run.pipeline_id == pipeline_id, Run.state == RunState.QUEUED)
    while run_id is None:
        await asyncio.sleep(0.1)
        async with get_session(scope) as session:
            run_id = await session.scalar(waiting)
    async with get_session(scope) as session:
        claim = await claim_run(
            session,
            org_id=org_id,
            pipeline_id=pipeline_id,
            flow_run_id=str(uuid4()),
            run_id=run_id,
        )
    async with get_session(scope) as session:
        await RunRecorder(session, run_id, claim.attempt).record(list(events))
    async with get_session(scope) as session:
        await RunRecorder(session, run_id, claim.attempt).finish(end)
