"""The platform for runs in which nothing is faked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from datanika.config import settings
from datanika.orchestration.gateway import PrefectGateway
from tests.support.application import application
from tests.support.postgres import PostgresServer
from tests.support.prefect import RunningPrefect, use_new_ids
from tests.test_execution.fake_control_plane import serve_app
from tests.test_execution.running_worker import point_at, running_worker

Start = Callable[[], AbstractAsyncContextManager[str]]


@pytest.fixture
async def start(
    database: str,
    postgres_server: PostgresServer,
    prefect_server: RunningPrefect,
    monkeypatch: pytest.MonkeyPatch,
) -> Start:
    """``async with start() as url``: the API, and a worker with the real engines."""
    use_new_ids(postgres_server.admin_url)
    point_at(prefect_server, monkeypatch)
    monkeypatch.setenv("DATANIKA_HOME", str(settings.home))
    async with PrefectGateway() as gateway:
        await gateway.ensure_work_pool()

    @asynccontextmanager
    async def started() -> AsyncIterator[str]:
        async with (
            serve_app(application()) as url,
            running_worker(
                prefect_server,
                url,
                settings.home,
                token=settings.require("worker_token"),
                engine="datanika.execution.engine_host",
            ),
        ):
            yield url

    return started
