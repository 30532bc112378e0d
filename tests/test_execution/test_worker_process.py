"""The worker as a process: what SIGTERM and SIGKILL leave behind, and where a run goes then."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from datanika.config import settings
from datanika.orchestration.gateway import PrefectGateway
from tests.test_execution.fake_control_plane import (
    WORKER_TOKEN,
    FakeControlPlane,
    load_step,
    serve,
)
from tests.test_execution.running_worker import (
    FAKE_ENGINE,
    PrefectServer,
    deploy,
    final_state,
    point_at,
    until,
)

SERVE = f"""
from datanika.execution import worker
raise SystemExit(worker.main({FAKE_ENGINE!r}))
"""


class WorkerProcess:
    """A worker process, the control plane it talks to, and one run that it is executing."""

    def __init__(self, process: subprocess.Popen[bytes], plane: FakeControlPlane) -> None:
        self.process, self.plane = process, plane
        self.flow_run_id = ""

    def flow_pid(self) -> int:
        return int(self.plane.of_type("log")[0]["message"].removeprefix("pid "))

    def fork_server_pid(self) -> int:
        [child] = (
            Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        )
        return int(child)


@pytest.fixture
async def busy(
    prefect_server: PrefectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[WorkerProcess]:
    point_at(prefect_server, monkeypatch)
    async with (
        serve(FakeControlPlane([load_step("slow")])) as plane,
        PrefectGateway() as gateway,
    ):
        await gateway.ensure_work_pool()
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "PREFECT_API_URL": prefect_server.api_url,
            "PREFECT_API_AUTH_STRING": prefect_server.auth_string,
            "DATANIKA_INTERNAL_URL": plane.url,
            "DATANIKA_WORKER_TOKEN": WORKER_TOKEN,
            "DATANIKA_HOME": str(tmp_path),
            "DATANIKA_WORK_POOL": settings.work_pool,
            "DATANIKA_WORKER_POLL_SECONDS": "0.2",
            "DATANIKA_WORKER_GRACE_SECONDS": "8",
        }
        process = subprocess.Popen([sys.executable, "-c", SERVE], env=environment)  # noqa: ASYNC220
        try:
            running = WorkerProcess(process, plane)
            deployment_id = await deploy(gateway, pipeline_id=uuid.uuid4().int % 10**9)
            running.flow_run_id = await gateway.submit(deployment_id, uuid.uuid4().int % 10**9)
            await until(lambda: plane.of_type("node_started"), 90)
            yield running
        finally:
            process.kill()
            await asyncio.to_thread(process.wait)


def gone(pid: int) -> bool:
    """Whether no such process runs (a zombie does not run)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def test_a_killed_worker_leaves_no_process_and_no_running_flow(busy: WorkerProcess) -> None:
    flow, server = busy.flow_pid(), busy.fork_server_pid()
    assert not gone(flow)
    assert not gone(server)

    busy.process.kill()

    await until(lambda: gone(flow) and gone(server), 30)
    async with PrefectGateway() as gateway:
        assert (await final_state(gateway, busy.flow_run_id)).type == "CRASHED"
    assert not busy.plane.finished, "the control plane gives the run to another worker"


async def test_a_stopped_worker_hands_long_runs_back(busy: WorkerProcess) -> None:
    flow, server = busy.flow_pid(), busy.fork_server_pid()

    busy.process.send_signal(signal.SIGTERM)

    assert await asyncio.to_thread(busy.process.wait, 40) == 0
    await until(lambda: gone(flow) and gone(server), 30)
    assert len(busy.plane.crashed) == 1
    assert not busy.plane.finished
    async with PrefectGateway() as gateway:
        assert (await final_state(gateway, busy.flow_run_id)).type == "CRASHED"


async def test_a_stopped_worker_lets_short_runs_finish(busy: WorkerProcess) -> None:
    busy.process.send_signal(signal.SIGTERM)
    busy.plane.cancel_requested = True

    assert await asyncio.to_thread(busy.process.wait, 40) == 0
    assert not busy.plane.crashed
    assert len(busy.plane.finished) == 1


async def test_a_frozen_flow_process_does_not_outlive_the_fork_server(busy: WorkerProcess) -> None:
    flow, server = busy.flow_pid(), busy.fork_server_pid()
    os.kill(flow, signal.SIGSTOP)

    busy.process.kill()

    await until(lambda: gone(flow) and gone(server), 60)
