"""A real worker in this event loop with a real fork server; the engine is faked unless named."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Protocol

import pytest
from prefect import settings as prefect_settings
from pydantic import SecretStr

from datanika.config import settings
from datanika.execution.worker import DatanikaWorker
from datanika.execution.worker_settings import WorkerSettings
from datanika.orchestration.gateway import DeploymentRequest, FlowRunState, PrefectGateway
from tests.test_execution.fake_control_plane import WORKER_TOKEN

FAKE_ENGINE = "tests.test_execution.fake_engine"


class PrefectServer(Protocol):
    api_url: str
    auth_string: str


def point_at(server: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the control plane's settings name this Prefect server and a pool of its own."""
    monkeypatch.setattr(settings, "prefect_api_url", server.api_url)
    monkeypatch.setattr(settings, "prefect_api_auth_string", SecretStr(server.auth_string))
    monkeypatch.setattr(settings, "work_pool", f"pool-{uuid.uuid4().hex[:8]}")


@contextlib.contextmanager
def prefect_client_settings(server: PrefectServer) -> Any:
    """What ``python -m datanika.execution.worker`` reads from the environment."""
    updates: dict[Any, Any] = {
        prefect_settings.PREFECT_API_URL: server.api_url,
        prefect_settings.PREFECT_API_AUTH_STRING: server.auth_string,
        prefect_settings.PREFECT_CLIENT_CSRF_SUPPORT_ENABLED: False,
        prefect_settings.PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False,
    }
    with prefect_settings.temporary_settings(updates):
        yield


@contextlib.asynccontextmanager
async def running_worker(
    server: PrefectServer,
    internal_url: str,
    home: Path,
    *,
    token: str = WORKER_TOKEN,
    engine: str = FAKE_ENGINE,
    **own: Any,
) -> AsyncIterator[DatanikaWorker]:
    """A worker of ``settings.work_pool`` that is ready to fork."""
    worker_settings = WorkerSettings(
        internal_url=internal_url,
        worker_token=SecretStr(token),
        prefect_api_url=server.api_url,
        prefect_auth_string=SecretStr(server.auth_string),
        home=home,
        **{"worker_poll_seconds": 0.2, "worker_grace_seconds": 0, **own},
    )
    stopping = asyncio.Event()
    with prefect_client_settings(server):
        worker = DatanikaWorker(
            work_pool_name=settings.work_pool, settings=worker_settings, host_module=engine
        )
        serving = asyncio.create_task(worker.serve(stopping))
        try:
            await until(lambda: worker.is_setup or serving.done(), 60)
            assert worker._launcher is not None
            await worker._launcher._server.ready()
            yield worker
        finally:
            stopping.set()
            await serving


async def deploy(gateway: PrefectGateway, pipeline_id: int = 3, **more: Any) -> str:
    request = DeploymentRequest(
        org_id=1, pipeline_id=pipeline_id, name="flights", plan_hash="h", **more
    )
    return await gateway.deploy(request)


async def until(true: Callable[[], object], seconds: float = 60) -> None:
    """Wait for a condition of this process; TimeoutError."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def final_state(
    gateway: PrefectGateway, flow_run_id: str, seconds: float = 60
) -> FlowRunState:
    """Prefect's final state of a flow run."""
    async with asyncio.timeout(seconds):
        while True:
            state = (await gateway.read_states([flow_run_id]))[flow_run_id]
            if state.is_final:
                return state
            await asyncio.sleep(0.1)
