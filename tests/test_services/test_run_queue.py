"""Who starts first: fair between organisations, and one run of a pipeline at a time."""

from __future__ import annotations

from collections import Counter

import pytest
from sqlalchemy import insert, update

from datanika.contracts.enums import RunState
from datanika.contracts.events import utcnow
from datanika.db import SYSTEM, get_session
from datanika.models import Pipeline, PipelineVersion, Run
from datanika.services.run_queue import startable_runs
from tests.support.tenants import make_tenant

pytestmark = pytest.mark.usefixtures("database")
ORGANISATIONS = 20


def jain(shares: list[int]) -> float:
    """Jain's fairness index: 1 where all have the same, 1/n where one has everything."""
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))


async def fill(org_id: int, runs: int) -> None:
    """So many pipelines of the organisation, each with a run that waits."""
    async with get_session(SYSTEM) as session:
        rows = [{"org_id": org_id, "name": f"p{number}"} for number in range(runs)]
        pipelines = list(await session.scalars(insert(Pipeline).returning(Pipeline.id), rows))
        versions = list(
            await session.scalars(
                insert(PipelineVersion).returning(PipelineVersion.id, sort_by_parameter_order=True),
                [
                    {"org_id": org_id, "pipeline_id": one, "number": 1, "spec": {}, "spec_hash": ""}
                    for one in pipelines
                ],
            )
        )
        await session.execute(
            insert(Run),
            [
                {
                    "org_id": org_id,
                    "pipeline_id": pipeline,
                    "pipeline_version_id": version,
                    "state": RunState.QUEUED.value,
                    "trigger": "schedule",
                    "idempotency_key": "k",
                    "plan": {},
                    "plan_hash": "",
                    "overrides": {},
                }
                for pipeline, version in zip(pipelines, versions, strict=True)
            ],
        )


async def start(ids: list[int]) -> None:
    async with get_session(SYSTEM) as session:
        for run_id in ids:
            await session.execute(
                update(Run)
                .where(Run.id == run_id)
                .values(state=RunState.RUNNING.value, flow_run_id=f"f{run_id}")
            )


async def end_all() -> None:
    async with get_session(SYSTEM) as session:
        await session.execute(
            update(Run)
            .where(Run.state == RunState.RUNNING.value)
            .values(state=RunState.SUCCEEDED.value, finished_at=utcnow())
        )


async def test_twenty_organisations_with_unequal_queues_get_equal_shares() -> None:
    """The busiest has eighty times as much as the least busy, and came first."""
    sizes = [160, 80, 40, 20] + [4 + number % 3 for number in range(ORGANISATIONS - 4)]
    orgs = {}
    for size in sizes:
        tenant = await make_tenant()
        orgs[tenant.org_id] = size
        await fill(tenant.org_id, size)
    served: Counter[int] = Counter()
    # While everybody still waits: rounds of fifty, as a worker with so many places takes them.
    for _ in range(2):
        async with get_session(SYSTEM) as session:
            ids = list(await startable_runs(session, limit=40))
            of = dict(
                (await session.execute(Run.__table__.select().with_only_columns(
                    Run.id, Run.org_id).where(Run.id.in_(ids)))).tuples().all()
            )  # fmt: skip
        assert len(ids) == 40
        served.update(of.values())
        await start(ids)
        await end_all()
    shares = [served[org_id] for org_id in orgs]
    assert jain(shares) >= 0.9, shares
    assert min(shares) == max(shares) == 4
    # What the small ones leave, the busy ones get: nothing is kept free for nobody.
    for _ in range(40):
        async with get_session(SYSTEM) as session:
            ids = list(await startable_runs(session, limit=40))
        served[0] += len(ids)
        await start(ids)
        await end_all()
    assert sum(served.values()) == sum(sizes)


def test_the_index_is_one_for_equals_and_small_for_a_monopoly() -> None:
    assert jain([3, 3, 3]) == 1
    assert jain([30, 0, 0]) == pytest.approx(1 / 3)
