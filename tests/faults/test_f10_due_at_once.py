"""F10: what is due at the same moment makes exactly that many runs, none twice.

``DATANIKA_FAULT_DUE`` pipelines in ten organisations; 500, and how fair it is, is what
``tests.benchmarks.scale`` measures.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from datanika.api.app import create_app
from datanika.config import settings
from datanika.contracts.enums import RunTrigger
from datanika.contracts.schedule import ScheduleSpec
from datanika.db import SYSTEM, get_session
from datanika.models import Run
from datanika.orchestration.gateway import PrefectGateway
from datanika.services.deployer import deploy_pipeline
from datanika.services.schedule_service import ScheduleService
from tests.faults.invariants import Place, check_invariants, read_flow_runs
from tests.support.pipelines import CANARY, make_pipeline
from tests.support.postgres import PostgresServer
from tests.support.prefect import use_new_ids
from tests.support.tenants import make_tenant
from tests.test_execution.running_worker import point_at

DUE = int(os.environ.get("DATANIKA_FAULT_DUE", "100"))
ORGANISATIONS = 10
EVERY_SECONDS = 600
AT_ONCE = 8


async def test_exactly_as_many_runs_as_are_due(
    database: str,
    postgres_server: PostgresServer,
    prefect_server: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    use_new_ids(postgres_server.admin_url)
    point_at(prefect_server, monkeypatch)
    async with PrefectGateway() as prefect:
        await prefect.ensure_work_pool()
        org_of = await _schedule(prefect)
    due = await _due_together(len(org_of))
    api = httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app()),
        base_url="http://datanika.test",
        headers={"Authorization": f"Bearer {settings.require('worker_token')}"},
        timeout=120,
    )
    room = asyncio.Semaphore(AT_ONCE)

    async def claim(flow_run: dict[str, Any]) -> int:
        body = {"flow_run_id": flow_run["id"], "run_id": None} | {
            name: flow_run["parameters"][name] for name in ("org_id", "pipeline_id")
        }
        async with room:
            answer = await api.post("/internal/v1/claims", json=body)
        assert answer.status_code == 200, answer.text
        return int(answer.json()["run_id"])

    async with api:
        # Each twice: a worker repeats a claim whose answer it did not get.
        claimed = await asyncio.gather(*(claim(one) for one in due for _ in range(2)))
    async with get_session(SYSTEM) as session:
        runs = (await session.scalars(select(Run).order_by(Run.id))).all()
    assert len(runs) == len(due) == DUE
    assert {run.trigger for run in runs} == {RunTrigger.SCHEDULE}
    assert Counter(run.pipeline_id for run in runs) == dict.fromkeys(org_of, 1)
    assert all(org_of[run.pipeline_id] == run.org_id for run in runs)
    assert set(claimed) - {0} <= {run.id for run in runs}
    place = Place(postgres_server.admin_url, tmp_path / "home", canaries=[CANARY])
    await check_invariants(place)


async def _schedule(prefect: PrefectGateway) -> dict[int, int]:
    """Pipelines that are due together; their organisations."""
    org_of: dict[int, int] = {}
    for number in range(ORGANISATIONS):
        actor = (await make_tenant(f"Due {number}")).owner
        for one in range(DUE // ORGANISATIONS):
            pipeline = await make_pipeline(actor, f"due{one}")
            async with get_session(actor.scope) as session:
                spec = ScheduleSpec(interval_seconds=EVERY_SECONDS)
                await ScheduleService(session, actor).create(pipeline.id, spec)
            org_of[pipeline.id] = actor.org_id
    room = asyncio.Semaphore(AT_ONCE)

    async def deploy(pipeline_id: int) -> None:
        async with room:
            await deploy_pipeline(prefect, pipeline_id)

    await asyncio.gather(*(deploy(pipeline_id) for pipeline_id in org_of))
    return org_of


async def _due_together(count: int) -> list[dict[str, Any]]:
    """The flow runs of the first moment for which Prefect's scheduler has made all of them."""
    deadline = time.monotonic() + 120
    while True:
        by_moment: dict[str, list[dict[str, Any]]] = {}
        for flow_run in (await read_flow_runs()).values():
            by_moment.setdefault(flow_run["expected_start_time"], []).append(flow_run)
        for moment in sorted(by_moment):
            if len({one["deployment_id"] for one in by_moment[moment]}) == count:
                return by_moment[moment]
        assert time.monotonic() < deadline, {key: len(by_moment[key]) for key in by_moment}
        await asyncio.sleep(1)
