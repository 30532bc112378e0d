"""Brings pipelines and runs to Prefect, after the transaction that changed them.

Nothing here is needed for the change to count: with Prefect down it waits in the database
(``deployed_hash`` empty, ``flow_run_id`` empty) and the reconciler comes back to it.
"""

from __future__ import annotations

import logging

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.enums import RunState
from datanika.contracts.events import Failure
from datanika.db import SYSTEM, get_session
from datanika.errors import ConfigError, NotFound, Unavailable
from datanika.models import Pipeline, PipelineVersion, Run, Schedule
from datanika.orchestration.deployments import DeploymentRequest
from datanika.orchestration.gateway import PrefectGateway
from datanika.services.run_lifecycle import FINAL_STATES, close_run, lock_run, state_of
from datanika.services.schedule_service import schedule_spec

logger = logging.getLogger(__name__)

PIPELINE_GONE = Failure(
    code="pipeline_deleted", message="The pipeline was deleted before the run started."
)
_ROUNDS = 5
"""How often a deployment follows a pipeline that changes while it is deployed."""


async def deploy_after_commit(pipeline_id: int) -> None:
    """Deploy now if Prefect can be reached; otherwise leave it to the reconciler."""
    try:
        async with PrefectGateway() as prefect:
            await deploy_pipeline(prefect, pipeline_id)
    except (Unavailable, ConfigError) as error:
        logger.info("Pipeline %s is deployed later: %s", pipeline_id, error)


async def deploy_pipeline(prefect: PrefectGateway, pipeline_id: int) -> str | None:
    """Make Prefect have the pipeline as it is now; the deployment's id, None for a deleted one."""
    for _ in range(_ROUNDS):
        async with get_session(SYSTEM) as session:
            pipeline = await _pipeline(session, pipeline_id)
            request = await _request(session, pipeline)
        if request is None:
            if pipeline.deployment_id is None:
                return None
            await prefect.delete_deployment(pipeline.deployment_id)
            deployment_id = None
        else:
            deployment_id = await prefect.deploy(request)
        async with get_session(SYSTEM) as session:
            pipeline = await _pipeline(session, pipeline_id, lock=True)
            pipeline.deployment_id = deployment_id
            if await _request(session, pipeline) == request:
                pipeline.deployed_hash = request.as_deployment().version if request else None
                return deployment_id
    return deployment_id


async def submit_run(run_id: int) -> None:
    """Start the run in Prefect if it may start now and Prefect can be reached."""
    try:
        async with PrefectGateway() as prefect:
            await submit(prefect, run_id)
    except (Unavailable, ConfigError) as error:
        logger.info("Run %s is submitted later: %s", run_id, error)


async def submit(prefect: PrefectGateway, run_id: int) -> bool:
    """Create the run's flow run; whether there is one now.

    A pipeline's runs go one after the other: a run waits for the older ones.
    """
    async with get_session(SYSTEM) as session:
        run = await session.get(Run, run_id)
        if run is None or run.state != RunState.QUEUED.value or await _must_wait(session, run):
            return False
        if run.flow_run_id is not None:
            return True
        pipeline = await _pipeline(session, run.pipeline_id)
        if pipeline.deleted_at is not None:
            locked = await lock_run(session, run_id)
            if locked is not None and locked.state == RunState.QUEUED.value:
                await close_run(session, locked, RunState.CANCELLED, PIPELINE_GONE)
            return False
    deployment_id = pipeline.deployment_id
    if deployment_id is None:
        deployment_id = await deploy_pipeline(prefect, pipeline.id)
    if deployment_id is None:
        return False
    try:
        flow_run_id = await prefect.submit(deployment_id, run_id, run.attempt)
    except NotFound:
        # Somebody deleted it in Prefect, or Prefect's database is a new one.
        deployment_id = await deploy_pipeline(prefect, pipeline.id)
        if deployment_id is None:
            return False
        flow_run_id = await prefect.submit(deployment_id, run_id, run.attempt)
    return await _remember(prefect, run, flow_run_id)


async def submit_next(pipeline_id: int) -> None:
    """A run of the pipeline ended: start the one that waited for it."""
    async with get_session(SYSTEM) as session:
        waiting = await session.scalar(
            select(Run.id)
            .where(Run.pipeline_id == pipeline_id, Run.state == RunState.QUEUED.value)
            .order_by(Run.id)
            .limit(1)
        )
    if waiting is not None:
        await submit_run(waiting)


async def cancel_flow_run(flow_run_id: str) -> None:
    """Ask Prefect to stop the flow run; a running flow learns it from its events as well."""
    try:
        async with PrefectGateway() as prefect:
            await prefect.cancel(flow_run_id)
    except (Unavailable, ConfigError) as error:
        logger.info("Prefect could not be told to cancel %s: %s", flow_run_id, error)


async def _remember(prefect: PrefectGateway, run: Run, flow_run_id: str) -> bool:
    async with get_session(SYSTEM) as session:
        current = await lock_run(session, run.id)
        fresh = (
            current is not None
            and not state_of(current).is_final
            and (current.attempt == run.attempt or current.flow_run_id == flow_run_id)
        )
        if current is not None and fresh and current.flow_run_id is None:
            current.flow_run_id = flow_run_id
    if not fresh:
        await prefect.cancel(flow_run_id)
    return fresh


async def _must_wait(session: AsyncSession, run: Run) -> bool:
    older = await session.scalar(
        select(Run.id)
        .where(
            Run.pipeline_id == run.pipeline_id,
            Run.id < run.id,
            Run.state.not_in(FINAL_STATES),
        )
        .limit(1)
    )
    return older is not None


async def _pipeline(session: AsyncSession, pipeline_id: int, *, lock: bool = False) -> Pipeline:
    query = select(Pipeline).where(Pipeline.id == pipeline_id)
    found = await session.scalar(query.with_for_update(key_share=True) if lock else query)
    if found is None:
        raise NotFound("There is no such pipeline.", code="pipeline_not_found")
    return found


async def _request(session: AsyncSession, pipeline: Pipeline) -> DeploymentRequest | None:
    """What Prefect should have of the pipeline; None when it is deleted."""
    version = await session.get(PipelineVersion, pipeline.current_version_id)
    if pipeline.deleted_at is not None or version is None:
        return None
    schedules = await session.scalars(
        select(Schedule)
        .where(Schedule.pipeline_id == pipeline.id, Schedule.deleted_at.is_(None))
        .order_by(Schedule.id)
    )
    return DeploymentRequest(
        org_id=pipeline.org_id,
        pipeline_id=pipeline.id,
        name=pipeline.name,
        plan_hash=version.spec_hash,
        schedules=tuple(schedule_spec(schedule) for schedule in schedules),
        paused=pipeline.is_paused,
    )
