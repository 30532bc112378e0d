"""Heals what crashed between two steps of a run's way. Safe to run at any time, anywhere.

Prefect down: deployments and submissions wait for the next pass. A process that is gone: its lease
ends, and its run gets another attempt or is failed with the code ``run_lost``.
"""

from __future__ import annotations

import datetime as dt
import logging

from sqlalchemy import and_, or_, select, text, update

from datanika.contracts.enums import RunState
from datanika.contracts.events import utcnow
from datanika.db import SYSTEM, get_session
from datanika.errors import ConfigError, DatanikaError, Unavailable
from datanika.models import Organization, Pipeline, Run
from datanika.orchestration.gateway import FlowRunState, PrefectGateway
from datanika.services.deployer import deploy_pipeline, submit
from datanika.services.freshness import lock_pipelines, stale_failure, stale_upstreams
from datanika.services.run_lifecycle import LEASE, close_run, lock_run, lose_attempt, state_of
from datanika.services.run_queue import startable_runs
from datanika.services.schedule_windows import is_outdated

logger = logging.getLogger(__name__)

LOCK = 0x6461_7461_6E69_6B61
"""Key of the advisory lock: one reconciler at a time, whatever the number of web processes."""

BATCH = 200
_LEASED = (RunState.STARTING.value, RunState.RUNNING.value, RunState.CANCELLING.value)


async def reconcile() -> dict[str, int]:
    """One pass; how many were ``lost``, ``stale``, ``deployed``, ``submitted``, ``closed``.

    Empty when another process is at it.
    """
    async with get_session(SYSTEM) as lock:
        if not await lock.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": LOCK}):
            return {}
        counts = {"lost": await _lose_expired(), "stale": await _end_stale()}
        counts |= {"deployed": 0, "submitted": 0, "closed": 0}
        try:
            async with PrefectGateway() as prefect:
                counts["deployed"] = await _deploy(prefect)
                counts["closed"] = await _close_ended(prefect)
                counts["submitted"] = await _submit(prefect)
        except (Unavailable, ConfigError) as error:
            logger.warning("Prefect's part of the reconciliation waits: %s", error)
        return counts


async def renew_leases() -> None:
    """Give running attempts the time to be heard again, after nobody could hear them.

    For whoever starts to reconcile after the web process or the database was away.
    """
    async with get_session(SYSTEM) as session:
        await session.execute(
            update(Run)
            .where(Run.state.in_(_LEASED), Run.lease_expires_at < utcnow() + LEASE)
            .values(lease_expires_at=utcnow() + LEASE)
            .execution_options(synchronize_session=False)
        )


async def report_crash(flow_run_id: str, message: str) -> int | None:
    """A worker saw a flow's process end without finishing its run; the run's id if it was open."""
    async with get_session(SYSTEM) as session:
        run_id = await session.scalar(select(Run.id).where(Run.flow_run_id == flow_run_id))
        run = await lock_run(session, run_id) if run_id is not None else None
        if run is None or run.flow_run_id != flow_run_id or state_of(run).is_final:
            return None
        await lose_attempt(session, run, message)
        return run.id


async def _lose_expired() -> int:
    async with get_session(SYSTEM) as session:
        query = select(Run.id).where(
            Run.state.in_(_LEASED),
            or_(Run.lease_expires_at < utcnow(), Run.lease_expires_at.is_(None)),
        )
        ids = list(await session.scalars(query.limit(BATCH)))
    for run_id in ids:
        async with get_session(SYSTEM) as session:
            run = await lock_run(session, run_id)
            # It may have been heard while the lock was waited for.
            expired = run is not None and (
                run.lease_expires_at is None or run.lease_expires_at < utcnow()
            )
            if run is not None and expired and run.state in _LEASED:
                state = await lose_attempt(session, run, "Its worker was not heard any more.")
                logger.warning("Run %s lost attempt %s, now %s", run.id, run.attempt, state)
    return len(ids)


async def _end_stale() -> int:
    """End the runs that have waited long enough for what they depend on."""
    async with get_session(SYSTEM) as session:
        query = select(Run.id, Run.pipeline_id).where(
            Run.state == RunState.QUEUED.value, Run.waits_until < utcnow()
        )
        waiting = (await session.execute(query.order_by(Run.waits_until).limit(BATCH))).all()
    ended = 0
    for row in waiting:
        async with get_session(SYSTEM) as session:
            await lock_pipelines(session, [row.pipeline_id])
            run = await lock_run(session, row.id)
            if run is None or run.state != RunState.QUEUED.value or run.waits_until is None:
                continue
            stale = await stale_upstreams(session, run.org_id, run.pipeline_id)
            if not stale:
                # What it depended on was deleted, or is asked less of.
                run.waits_until = None
            elif run.waits_until < utcnow():
                await close_run(session, run, RunState.UPSTREAM_STALE, stale_failure(stale))
                ended += 1
    return ended


async def _deploy(prefect: PrefectGateway) -> int:
    async with get_session(SYSTEM) as session:
        lives = and_(Pipeline.deleted_at.is_(None), Organization.deleted_at.is_(None))
        query = (
            select(Pipeline.id)
            .join(Organization, Organization.id == Pipeline.org_id)
            .where(
                or_(
                    and_(
                        Pipeline.deployed_hash.is_(None),
                        or_(lives, Pipeline.deployment_id.is_not(None)),
                    ),
                    and_(Pipeline.deployed_hash.is_not(None), lives, is_outdated(utcnow())),
                )
            )
        )
        ids = list(await session.scalars(query.order_by(Pipeline.updated_at).limit(BATCH)))
    return sum([await _one(deploy_pipeline(prefect, pipeline_id)) for pipeline_id in ids])


async def _submit(prefect: PrefectGateway) -> int:
    async with get_session(SYSTEM) as session:
        ids = await startable_runs(session, limit=BATCH)
    return sum([await _one(submit(prefect, run_id)) for run_id in ids])


async def _one(work: object) -> int:
    """1 if it was done. One tenant's trouble does not stop the others; Prefect's does."""
    try:
        return 1 if await work else 0  # type: ignore[misc]
    except Unavailable:
        raise
    except DatanikaError as error:
        logger.error("Reconciliation: %s", error)
        return 0


async def _close_ended(prefect: PrefectGateway) -> int:
    """Runs that no worker has claimed, and whose flow run is over or gone.

    A claimed run says itself how it ended, or its lease does.
    """
    async with get_session(SYSTEM) as session:
        query = select(Run.id, Run.flow_run_id).where(
            Run.state == RunState.QUEUED.value,
            Run.flow_run_id.is_not(None),
            # Prefect may not show yet what it has just been given.
            Run.updated_at < utcnow() - dt.timedelta(seconds=5),
        )
        waiting = {row.flow_run_id: row.id for row in await session.execute(query.limit(BATCH))}
    if not waiting:
        return 0
    states = await prefect.read_states(list(waiting))
    closed = 0
    for flow_run_id, run_id in waiting.items():
        state = states.get(flow_run_id)
        if state is None or state.is_final:
            closed += await _close_unclaimed(run_id, flow_run_id, state)
    return closed


async def _close_unclaimed(run_id: int, flow_run_id: str, state: FlowRunState | None) -> int:
    async with get_session(SYSTEM) as session:
        run = await lock_run(session, run_id)
        if run is None or run.flow_run_id != flow_run_id or run.state != RunState.QUEUED.value:
            return 0
        if state is not None and state.type == "CANCELLED":
            await close_run(session, run, RunState.CANCELLED)
            return 1
        # It never began, but the next flow run needs a key of its own.
        run.attempt += 1
        await lose_attempt(session, run, "Prefect ended it before a worker had it.")
        return 1
