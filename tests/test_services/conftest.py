"""Who calls a service, a pipeline of theirs, and the Prefect that has its deployments."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from datanika.orchestration.sweeper import PrefectSweeper
from datanika.services.actor import Actor
from tests.support.pipelines import MadePipeline, make_pipeline
from tests.support.postgres import PostgresServer
from tests.support.prefect import RunningPrefect, use_new_ids
from tests.support.tenants import make_tenant
from tests.test_execution.running_worker import point_at


@pytest.fixture
async def actor(database: str) -> Actor:
    return (await make_tenant()).owner


@pytest.fixture
async def pipeline(actor: Actor) -> MadePipeline:
    return await make_pipeline(actor)


@pytest.fixture
async def prefect(
    database: str,
    postgres_server: PostgresServer,
    prefect_server: RunningPrefect,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[PrefectSweeper]:
    """A real Prefect, to which the settings point."""
    use_new_ids(postgres_server.admin_url)
    point_at(prefect_server, monkeypatch)
    async with PrefectSweeper() as sweeper:
        await sweeper.ensure_work_pool()
        yield sweeper
