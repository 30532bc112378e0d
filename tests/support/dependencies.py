"""Pipelines that depend on each other, and runs of them."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import select, update

from datanika.contracts.enums import RunState
from datanika.contracts.events import RunClaim
from datanika.db import SYSTEM, get_session
from datanika.models import Pipeline, Run
from datanika.services.actor import Actor
from datanika.services.dependency_service import DependencyService
from datanika.services.run_queue import take_place
from datanika.services.run_recorder import claim_run
from datanika.services.run_service import RunService
from tests.support.channels import end_run


async def depend(actor: Actor, pipeline_id: int, upstream_id: int, **how: Any) -> int:
    """Let one pipeline need another; the dependency's id."""
    async with get_session(actor.scope) as session:
        row = await DependencyService(session, actor).create(pipeline_id, upstream_id, **how)
        return int(row.id)


async def needs_fresh(
    actor: Actor, pipeline_id: int, upstream_id: int, within: int = 3600, wait: int = 600
) -> int:
    """A dependency that starts nothing; the dependency's id."""
    return await depend(
        actor, pipeline_id, upstream_id, starts_run=False, within_seconds=within, wait_seconds=wait
    )


async def succeed(actor: Actor, pipeline_id: int) -> int:
    """A run that succeeds; its id."""
    return await end_run(actor, pipeline_id, RunState.SUCCEEDED)


async def age(run_id: int, **by: int) -> None:
    """Let a run have ended (and begun) so much earlier."""
    earlier = dt.timedelta(**by)
    async with get_session(SYSTEM) as session:
        values = {"finished_at": Run.finished_at - earlier, "created_at": Run.created_at - earlier}
        await session.execute(update(Run).where(Run.id == run_id).values(values))


async def runs_of(pipeline_id: int, trigger: str | None = None) -> list[Run]:
    """The pipeline's runs, the oldest first."""
    query = select(Run).where(Run.pipeline_id == pipeline_id).order_by(Run.id)
    if trigger is not None:
        query = query.where(Run.trigger == trigger)
    async with get_session(SYSTEM) as session:
        return list(await session.scalars(query))


async def run_of(run_id: int) -> Run:
    async with get_session(SYSTEM) as session:
        return await session.get_one(Run, run_id)


async def change(pipeline_id: int, **values: Any) -> None:
    """Change columns of a pipeline."""
    async with get_session(SYSTEM) as session:
        await session.execute(update(Pipeline).where(Pipeline.id == pipeline_id).values(values))


async def trigger(actor: Actor, pipeline_id: int, *, ignore_dependencies: bool = False) -> Run:
    async with get_session(actor.scope) as session:
        return await RunService(session, actor).trigger(
            pipeline_id, uuid.uuid4().hex, ignore_dependencies=ignore_dependencies
        )


async def place(run_id: int) -> bool:
    """Whether the run may be submitted now; it has its place then."""
    async with get_session(SYSTEM) as session:
        return await take_place(session, run_id) is not None


async def claim(
    actor: Actor, pipeline_id: int, run_id: int | None = None, flow_run_id: str | None = None
) -> RunClaim:
    """As a worker does; without ``run_id`` for Prefect's schedule."""
    async with get_session(actor.scope) as session:
        return await claim_run(
            session,
            org_id=actor.org_id,
            pipeline_id=pipeline_id,
            flow_run_id=flow_run_id or str(uuid.uuid4()),
            run_id=run_id,
        )
