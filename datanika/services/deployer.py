"""Brings pipelines and runs to Prefect, after the transaction that changed them.

Nothing here is needed for the change to count: with Prefect down it waits in the database
(``deployed_hash`` empty, ``flow_run_id`` empty) and the reconciler comes back to it.
"""

from __future__ import annotations

import datetime as dt
import logging

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.enums import RunState
from datanika.contracts.events import Failure, utcnow
from datanika.db import SYSTEM, get_session
from datanika.errors import ConfigError, NotFound, Unavailable
from datanika.models import Organization, Pipeline, PipelineVersion, Run, Schedule
from datanika.orchestration.deployments import DeploymentRequest
from datanika.orchestration.gateway import PrefectGateway
from datanika.services.run_lifecycle import close_run
from datanika.services.run_queue import give_place_back, startable_runs, take_place
from datanika.services.run_rows import lock_run, state_of
from datanika.services.schedule_service import schedule_spec
from datanika.services.schedule_windows import deployed_spec, near_shifts
from datanika.services.scheduled_run import accept_postponed

logger = logging.getLogger(__name__)

PIPELINE_GONE = Failure(
    code="pipeline_deleted", message="The pipeline was deleted before the run started."
)
_ROUNDS = 5
"""How often a deployment follows a pipeline that changes while it is deployed."""
MOST_AT_ONCE = 50
"""How many waiting runs the end of one may start; the reconciler starts the others."""


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
        now = utcnow()
        async with get_session(SYSTEM) as session:
            pipeline = await _pipeline(session, pipeline_id)
            request = await _request(session, pipeline, now)
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
            if await _request(session, pipeline, now) == request:
                if pipeline.deployed_at is not None and request is not None:
                    await accept_postponed(session, pipeline, pipeline.deployed_at, now)
                pipeline.deployed_at = now
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

    A pipeline's runs go one after the other, and an organisation's within its limit: until its
    turn a run waits.
    """
    async with get_session(SYSTEM) as session:
        run = await take_place(session, run_id)
        if run is None:
            return False
        if run.flow_run_id is not None:
            run.lease_expires_at = None
            return True
        pipeline = await _pipeline(session, run.pipeline_id)
        if await _is_gone(session, pipeline):
            await close_run(session, run, RunState.CANCELLED, PIPELINE_GONE)
            return False
    try:
        flow_run_id = await _create_flow_run(prefect, run, pipeline.deployment_id)
    except BaseException:
        await _wait_again(run_id)
        raise
    if flow_run_id is None:
        await _wait_again(run_id)
        return False
    return await _remember(prefect, run, flow_run_id)


async def submit_next(org_id: int) -> None:
    """A run of the organisation ended: start what waited for it, or for a place."""
    async with get_session(SYSTEM) as session:
        waiting = await startable_runs(session, org_id=org_id, limit=MOST_AT_ONCE)
    for run_id in waiting:
        await submit_run(run_id)


async def _create_flow_run(
    prefect: PrefectGateway, run: Run, deployment_id: str | None
) -> str | None:
    """The id of the flow run; None where the pipeline is deleted meanwhile."""
    if deployment_id is None:
        deployment_id = await deploy_pipeline(prefect, run.pipeline_id)
    if deployment_id is None:
        return None
    try:
        return await prefect.submit(deployment_id, run.id, run.attempt)
    except NotFound:
        # Somebody deleted it in Prefect, or Prefect's database is a new one.
        deployment_id = await deploy_pipeline(prefect, run.pipeline_id)
        if deployment_id is None:
            return None
        return await prefect.submit(deployment_id, run.id, run.attempt)


async def _wait_again(run_id: int) -> None:
    async with get_session(SYSTEM) as session:
        await give_place_back(session, run_id)


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
        if current is not None and current.state == RunState.QUEUED.value:
            current.lease_expires_at = None
    if not fresh:
        await prefect.cancel(flow_run_id)
    return fresh


async def _is_gone(session: AsyncSession, pipeline: Pipeline) -> bool:
    """Whether the pipeline was deleted, or its organisation."""
    lives = await session.scalar(
        select(Organization.id).where(
            Organization.id == pipeline.org_id, Organization.deleted_at.is_(None)
        )
    )
    return pipeline.deleted_at is not None or lives is None


async def _pipeline(session: AsyncSession, pipeline_id: int, *, lock: bool = False) -> Pipeline:
    query = select(Pipeline).where(Pipeline.id == pipeline_id)
    found = await session.scalar(query.with_for_update(key_share=True) if lock else query)
    if found is None:
        raise NotFound("There is no such pipeline.", code="pipeline_not_found")
    return found


async def _request(
    session: AsyncSession, pipeline: Pipeline, now: dt.datetime
) -> DeploymentRequest | None:
    """What Prefect should have of the pipeline at ``now``; None when it is deleted."""
    version = await session.get(PipelineVersion, pipeline.current_version_id)
    if version is None or await _is_gone(session, pipeline):
        return None
    schedules = await session.scalars(
        select(Schedule)
        .where(Schedule.pipeline_id == pipeline.id, Schedule.deleted_at.is_(None))
        .order_by(Schedule.id)
    )
    specs = tuple(deployed_spec(schedule_spec(schedule), now) for schedule in schedules)
    return DeploymentRequest(
        org_id=pipeline.org_id,
        pipeline_id=pipeline.id,
        name=pipeline.name,
        plan_hash=version.spec_hash,
        schedules=specs,
        near_shifts=near_shifts(specs, now),
        paused=pipeline.is_paused,
    )
