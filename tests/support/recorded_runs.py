"""Runs as the data plane sees them: claimed, reported, finished."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence

from sqlalchemy import select

from datanika.contracts.enums import RunState
from datanika.contracts.events import Failure, RunClaim, RunEvent, RunFinish
from datanika.db import SYSTEM, TenantScope, get_session
from datanika.models import Run, RunStep
from datanika.services.actor import Actor
from datanika.services.run_recorder import RunRecorder, claim_run
from datanika.services.run_service import RunService
from tests.support.pipelines import MadePipeline


async def trigger(actor: Actor, pipeline: MadePipeline, key: str = "k") -> int:
    async with get_session(actor.scope) as session:
        return (await RunService(session, actor).trigger(pipeline.id, key)).id


async def claim(
    actor: Actor,
    pipeline: MadePipeline,
    run_id: int | None,
    flow_run_id: str | None = None,
    scheduled_for: dt.datetime | None = None,
) -> RunClaim:
    async with get_session(actor.scope) as session:
        return await claim_run(
            session,
            org_id=actor.org_id,
            pipeline_id=pipeline.id,
            flow_run_id=flow_run_id or str(uuid.uuid4()),
            run_id=run_id,
            scheduled_for=scheduled_for,
        )


async def send(claimed: RunClaim, events: Sequence[RunEvent]) -> bool:
    async with get_session(TenantScope(claimed.org_id)) as session:
        return await RunRecorder(session, claimed.run_id, claimed.attempt).record(events)


async def finish(claimed: RunClaim, state: RunState, failure: Failure | None = None) -> None:
    async with get_session(TenantScope(claimed.org_id)) as session:
        recorder = RunRecorder(session, claimed.run_id, claimed.attempt)
        await recorder.finish(RunFinish(state=state, failure=failure))


async def run_of(run_id: int) -> Run:
    async with get_session(SYSTEM) as session:
        return (await session.execute(select(Run).where(Run.id == run_id))).scalar_one()


async def steps_of(run_id: int) -> dict[tuple[str, str], RunStep]:
    async with get_session(SYSTEM) as session:
        rows = await session.scalars(select(RunStep).where(RunStep.run_id == run_id))
        return {(row.step_key, row.node): row for row in rows}


async def claimed_run(actor: Actor, pipeline: MadePipeline) -> RunClaim:
    return await claim(actor, pipeline, await trigger(actor, pipeline))
