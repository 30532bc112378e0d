"""A worker for ad hoc jobs, and who asks it: API, Redis, Celery and the sandbox are real."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from datanika.config import settings
from tests.support.application import application
from tests.support.postgres import Warehouse
from tests.support.redis import RunningRedis
from tests.support.tenants import Tenant, access_token, make_tenant


@pytest.fixture
def redis(
    database: str, redis_server: RunningRedis, monkeypatch: pytest.MonkeyPatch
) -> RunningRedis:
    monkeypatch.setattr(settings, "redis_url", SecretStr(redis_server.url))
    return redis_server


@pytest.fixture
def celery_worker(
    redis: RunningRedis, warehouse: Warehouse, tmp_path: Path
) -> Iterator[Callable[[], str]]:
    """``celery -A datanika.tasks worker`` with the settings of this test; its log."""
    given = {
        "DATABASE_URL": settings.require("database_url"),
        "REDIS_URL": redis.url,
        "DATANIKA_SECRET_KEY": settings.require("secret_key"),
        "DATANIKA_ENCRYPTION_KEYS": settings.require("encryption_keys"),
        "DATANIKA_HOME": str(settings.home),
        "DATANIKA_EGRESS_ALLOW": settings.egress_allow,
    }
    settings.home.mkdir(parents=True, exist_ok=True)
    log = tmp_path / "celery.log"
    command = [sys.executable, "-m", "celery", "-A", "datanika.tasks", "worker", "-l", "info"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "-c", "1"], env={**os.environ, **given}, stdout=output, stderr=output
        )
    try:
        yield lambda: log.read_text("utf-8")
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
async def tenant(database: str) -> Tenant:
    return await make_tenant()


@pytest.fixture
async def api(tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    token = access_token(tenant.owner)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(application()),
        base_url="http://test/api/v1",
        headers={"Authorization": f"Bearer {token}"},
        timeout=60,
    ) as client:
        yield client
