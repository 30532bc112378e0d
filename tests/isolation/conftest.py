"""The organisation that a module's tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from datanika.config import settings
from tests.isolation.callers import client
from tests.isolation.world import World, lift_limits, make_world
from tests.support.postgres import PostgresServer, migrated_database
from tests.support.redis import RunningRedis
from tests.support.tenants import access_token


@pytest.fixture(scope="module")
async def world(
    postgres_server: PostgresServer,
    migrated_template: str,
    redis_server: RunningRedis,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[World]:
    """Made once for a module: see :func:`~tests.isolation.world.undone`."""
    home = tmp_path_factory.mktemp("world") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "redis_url", SecretStr(redis_server.url))
        patch.setattr(settings, "metrics_token", SecretStr("a-scraper-s-token"))
        lift_limits(patch)
        async with migrated_database(postgres_server, migrated_template, patch, home):
            made = await make_world()
            async with client(access_token(made.owner)) as http:
                job = await http.post(f"/api/v1/connections/{made.connection_id}/test")
            made.job_id = job.json()["id"]
            yield made
