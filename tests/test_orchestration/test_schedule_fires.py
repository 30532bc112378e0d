"""A schedule fires: Prefect's own scheduler creates the run, our worker executes it.

This guards a silent version clash: with SQLAlchemy 2.1 Prefect's scheduler raises on its bulk
insert, no scheduled run is ever created, and nothing else looks wrong.
"""

from __future__ import annotations

import datetime as dt
import uuid
from pathlib import Path

import pytest

from datanika.compiler import is_fire
from datanika.contracts.enums import RunState
from datanika.contracts.schedule import ScheduleSpec
from datanika.orchestration.gateway import PrefectGateway
from tests.test_execution.fake_control_plane import FakeControlPlane, load_step, serve
from tests.test_execution.running_worker import (
    PrefectServer,
    deploy,
    final_state,
    point_at,
    running_worker,
    until,
)


async def test_a_scheduled_run_is_created_by_prefect_and_executed_by_our_worker(
    prefect_server: PrefectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(prefect_server, monkeypatch)
    monkeypatch.setenv("DATANIKA_HOME", str(tmp_path))
    pipeline_id = uuid.uuid4().int % 10**9
    async with (
        serve(FakeControlPlane([load_step("ok")])) as plane,
        PrefectGateway() as gateway,
    ):
        await gateway.ensure_work_pool()
        async with running_worker(prefect_server, plane.url, tmp_path):
            every_second = ScheduleSpec(interval_seconds=1)
            deployment_id = await deploy(gateway, pipeline_id, schedules=(every_second,))
            try:
                await until(lambda: plane.finished, 120)
            finally:
                await gateway.delete_deployment(deployment_id)
            claim = plane.claims[0]
            await final_state(gateway, claim["flow_run_id"])

    assert claim["run_id"] is None, "nobody triggered it"
    assert claim["pipeline_id"] == pipeline_id
    time = dt.datetime.fromisoformat(claim["scheduled_for"])
    assert is_fire(every_second, time), "the time that the schedule meant, not the worker's"
    assert plane.finished[0].state is RunState.SUCCEEDED
