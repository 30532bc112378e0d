"""Heals what crashed between two steps of a run's way. Safe to run at any time, anywhere.

Prefect down: deployments and submissions wait for the next pass. A process that is gone: its lease
ends, and its run gets another attempt or is failed with the code ``run_lost``. What is rarer is
swept once an hour: see ``orphans.py``.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from sqlalchemy import and_, func, or_, select, text, update

from datanika.contracts.enums import RunState
from datanika.contracts.events import utcnow
from datanika.db import SYSTEM, get_session
from datanika.errors import ConfigError, DatanikaError, Unavailable
from datanika.models import Organization, Pipeline, Run
from datanika.orchestration.gateway import FlowRunState, PrefectGateway
from datanika.orchestration.sweeper import PrefectSweeper
from datanika.services.deployer import deploy_pipeline, submit
from datanika.services.each import do_each
from datanika.services.freshness import lock_pipelines, stale_failure, stale_upstreams
from datanika.services.run_lifecycle import LEASE, close_run, lose_attempt
from datanika.services.run_queue import startable_runs
from datanika.services.run_rows import LEASED_STATES, lock_run, state_of
from datanika.services.schedule_windows import is_outdated

logger = logging.getLogger(__name__)

LOCK = 0x6461_7461_6E69_6B61
"""Key of the advisory lock: one reconciler at a time, whatever the number of web processes."""

BATCH = 200
DEPLOY_BATCH = 48
DEPLOY_SECONDS = 6.0
SUBMIT_SECONDS = 6.0
"""A pass is short, whatever there is to do: the next one follows at once, and hears who is lost."""
IN_FLIGHT = 8
"""Requests to Prefect at the same time: more do not make its server faster."""
STATES = 1000
"""How many waiting runs are compared with Prefect in a pass."""
PENDING = dt.timedelta(seconds=60)
"""A worker has a flow run for so long at most before it claims its run."""


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
            async with PrefectSweeper() as prefect:
                counts["deployed"] = await _deploy(prefect)
                counts["closed"] = await _close_ended(prefect) + await _free_pending(prefect)
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
            .where(Run.state.in_(LEASED_STATES), Run.lease_expires_at < utcnow() + LEASE)
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
            Run.state.in_(LEASED_STATES),
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
            if run is not None and expired and run.state in LEASED_STATES:
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
    deployed, tried, end = 0, set[int](), time.monotonic() + DEPLOY_SECONDS
    while time.monotonic() < end:
        ids = await _undeployed(tried)
        if not ids:
            break
        tried |= set(ids)
        await prefect.learn_deployments(ids)
        deployed += await _do(lambda pipeline: deploy_pipeline(prefect, pipeline), ids, end)
    return deployed


async def _undeployed(tried: set[int]) -> Sequence[int]:
    """Some of the pipelines that Prefect does not have as they are.

    In no order: what Prefect refuses must not keep the others waiting.
    """
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
            .where(Pipeline.id.not_in(tried))
        )
        return (await session.scalars(query.order_by(func.random()).limit(DEPLOY_BATCH))).all()


async def _submit(prefect: PrefectGateway) -> int:
    async with get_session(SYSTEM) as session:
        ids = await startable_runs(session, limit=BATCH)
    return await _do(lambda run: submit(prefect, run), ids, time.monotonic() + SUBMIT_SECONDS)


async def _do(work: Callable[[int], Awaitable[object]], ids: Sequence[int], end: float) -> int:
    """How many were done until ``end``. One tenant's trouble does not stop the others; Prefect's
    does."""

    async def one(number: int) -> bool:
        try:
            return bool(await work(number))
        except Unavailable:
            raise
        except DatanikaError as error:
            logger.error("Reconciliation: %s", error)
            return False

    return await do_each(one, ids, at_once=IN_FLIGHT, until=end)


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
        # In no order: those that wait for a worker must not hide those that nobody will ever take.
        some = query.order_by(func.random()).limit(STATES)
        waiting = {row.flow_run_id: row.id for row in await session.execute(some)}
    if not waiting:
        return 0
    states = await prefect.read_states(list(waiting))
    closed = 0
    for flow_run_id, run_id in waiting.items():
        state = states.get(flow_run_id)
        if state is None or state.is_final:
            closed += await _close_unclaimed(run_id, flow_run_id, state)
    return closed


async def _free_pending(prefect: PrefectSweeper) -> int:
    """Flow runs that a worker has taken and not claimed: it died in between."""
    now = utcnow()
    taken = [
        one for one in await prefect.open_flow_runs(["PENDING"], now) if one.since < now - PENDING
    ]
    if not taken:
        return 0
    async with get_session(SYSTEM) as session:
        query = select(Run.flow_run_id, Run.id, Run.state)
        rows = await session.execute(query.where(Run.flow_run_id.in_([one.id for one in taken])))
        runs = {row.flow_run_id: row for row in rows}
    freed = 0
    for one in taken:
        run = runs.get(one.id)
        if run is not None and run.state in LEASED_STATES:
            # Prefect has not heard of it yet.
            continue
        if run is None and one.run_id is None and one.has_deployment:
            await prefect.give_back(one.id, "The worker that had it is gone.")
        else:
            if run is not None:
                await _close_unclaimed(run.id, one.id, None)
            await prefect.end_flow_run(one.id, "The worker that had it is gone.")
        freed += 1
    return freed


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
