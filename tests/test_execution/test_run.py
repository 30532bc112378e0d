"""``python -m datanika.execution.run``: what process, Docker and Kubernetes pools start."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from datanika.contracts.enums import RunState
from datanika.execution.run import run_flow_run
from datanika.execution.worker_settings import WorkerSettings
from datanika.orchestration.gateway import PrefectGateway
from tests.test_execution.fake_control_plane import (
    WORKER_TOKEN,
    FakeControlPlane,
    load_step,
    plan_of,
    serve,
)
from tests.test_execution.running_worker import (
    FAKE_ENGINE,
    PrefectServer,
    deploy,
    final_state,
    point_at,
)


@pytest.fixture
async def plane(
    prefect_server: PrefectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[FakeControlPlane]:
    point_at(prefect_server, monkeypatch)
    monkeypatch.setenv("DATANIKA_HOME", str(tmp_path))
    async with serve(FakeControlPlane([load_step("ok")])) as served:
        yield served


async def run_one(plane: FakeControlPlane, server: PrefectServer) -> tuple[int, str]:
    """Exit status, and Prefect's final state."""
    own = WorkerSettings(
        internal_url=plane.url,
        worker_token=SecretStr(WORKER_TOKEN),
        prefect_api_url=server.api_url,
        prefect_auth_string=SecretStr(server.auth_string),
    )
    async with PrefectGateway() as gateway:
        await gateway.ensure_work_pool()
        deployment_id = await deploy(gateway, pipeline_id=uuid.uuid4().int % 10**9)
        flow_run_id = await gateway.submit(deployment_id, uuid.uuid4().int % 10**9)
        status = await run_flow_run(uuid.UUID(flow_run_id), own, FAKE_ENGINE)
        return status, (await final_state(gateway, flow_run_id)).type


async def test_a_flow_run_is_run_to_its_end(
    plane: FakeControlPlane, prefect_server: PrefectServer
) -> None:
    assert await run_one(plane, prefect_server) == (0, "COMPLETED")
    assert [end.state for end in plane.finished] == [RunState.SUCCEEDED]


async def test_a_death_is_reported_and_shown_in_the_exit_status(
    plane: FakeControlPlane, prefect_server: PrefectServer
) -> None:
    plane.plan = plan_of([load_step("dies")])

    assert await run_one(plane, prefect_server) == (1, "CRASHED")
    assert plane.crashed == ["The flow process was killed by SIGKILL."]


def test_no_flow_run_is_a_usage_error() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "datanika.execution.run", "nonsense"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "PREFECT__FLOW_RUN_ID" in done.stderr
