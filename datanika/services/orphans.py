"""What Prefect has and nobody owns, looked for once an hour.

Everything is left alone for an hour: a row may be about to be written for it.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.enums import RunState
from datanika.contracts.events import utcnow
from datanika.db import SYSTEM, get_session
from datanika.errors import ConfigError, Unavailable
from datanika.models import Organization, Pipeline, Run
from datanika.orchestration.sweeper import DeploymentFound, FlowRunFound, PrefectSweeper

logger = logging.getLogger(__name__)

LOCK = 0x6461_7461_6F72_7068
"""Key of the advisory lock: one process sweeps at a time."""
AGE = dt.timedelta(hours=1)
MOST = 100
"""How many of each are ended in a sweep; the next one goes on."""
OPEN = ("SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING")
NOBODY = "No run of the platform belongs to it."


async def sweep_orphans(age: dt.timedelta = AGE) -> dict[str, int]:
    """Delete the deployments of pipelines that are gone, and end the flow runs of no run.

    Empty when another process is at it.
    """
    async with get_session(SYSTEM) as lock:
        if not await lock.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": LOCK}):
            return {}
        counts, before = {"deployments": 0, "flow_runs": 0}, utcnow() - age
        try:
            async with PrefectSweeper() as prefect:
                for deployment in await _ownerless(prefect, before):
                    await prefect.delete_deployment(deployment.id)
                    counts["deployments"] += 1
                    await _stay(lock)
                for flow_run in await _abandoned(prefect, before):
                    await prefect.end_flow_run(flow_run.id, NOBODY)
                    counts["flow_runs"] += 1
                    await _stay(lock)
        except (Unavailable, ConfigError) as error:
            logger.warning("The search for orphans in Prefect ends: %s", error)
        if any(counts.values()):
            logger.warning("Orphans in Prefect ended: %s", counts)
        return counts


async def _ownerless(prefect: PrefectSweeper, before: dt.datetime) -> list[DeploymentFound]:
    found = [one for one in await prefect.read_deployments() if one.created < before]
    live = await _live_pipelines(one.pipeline_id for one in found)
    return [one for one in found if one.pipeline_id not in live][:MOST]


async def _abandoned(prefect: PrefectSweeper, before: dt.datetime) -> list[FlowRunFound]:
    """Those that no run has, or whose run ended long ago. What a schedule made of a live pipeline
    has no run before a worker takes it, and waits for that as long as it must."""
    waiting = await prefect.open_flow_runs(OPEN, due_before=before)
    found = [one for one in waiting if one.since < before]
    async with get_session(SYSTEM) as session:
        query = select(Run.flow_run_id, Run.state, Run.finished_at)
        rows = await session.execute(query.where(Run.flow_run_id.in_([one.id for one in found])))
        runs = {row.flow_run_id: row for row in rows}
    live = await _live_pipelines(one.pipeline_id for one in found)

    def is_abandoned(one: FlowRunFound) -> bool:
        run = runs.get(one.id)
        if run is not None:
            over = RunState(run.state).is_final
            return bool(over and (run.finished_at is None or run.finished_at < before))
        scheduled = one.run_id is None and one.has_deployment and one.pipeline_id in live
        return not (scheduled and one.type in ("SCHEDULED", "PENDING"))

    return [one for one in found if is_abandoned(one)][:MOST]


async def _live_pipelines(ids: Iterable[int | None]) -> set[int]:
    """Which of these exist; one that was deleted a moment ago is the reconciler's."""
    asked = {number for number in ids if number is not None and number < 2**63}
    async with get_session(SYSTEM) as session:
        query = (
            select(Pipeline.id)
            .join(Organization, Organization.id == Pipeline.org_id)
            .where(Pipeline.id.in_(asked))
            .where(Pipeline.deleted_at.is_(None), Organization.deleted_at.is_(None))
        )
        return set(await session.scalars(query))


async def _stay(lock: AsyncSession) -> None:
    # An idle transaction would be ended after some minutes.
    await lock.execute(select(func.now()))
