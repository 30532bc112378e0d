"""The ad hoc job ``datanika.test_connection``: API, Redis, a real worker, a real probe."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from datanika.api.app import create_app
from datanika.config import settings
from datanika.contracts.enums import Role
from datanika.db import get_session
from datanika.services.connection_service import ConnectionService
from tests.support.net import free_port
from tests.support.postgres import Warehouse
from tests.support.redis import RunningRedis
from tests.support.tenants import Tenant, access_token, add_member, make_tenant

PASSWORD = "canary-of-the-job-71c"


@pytest.fixture
def redis(
    database: str, redis_server: RunningRedis, monkeypatch: pytest.MonkeyPatch
) -> RunningRedis:
    monkeypatch.setattr(settings, "redis_url", SecretStr(redis_server.url))
    return redis_server


@pytest.fixture
def celery_worker(redis: RunningRedis, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """``celery -A datanika.tasks worker`` with the settings of this test; its log."""
    given = {
        "DATABASE_URL": settings.require("database_url"),
        "REDIS_URL": redis.url,
        "DATANIKA_SECRET_KEY": settings.require("secret_key"),
        "DATANIKA_ENCRYPTION_KEYS": settings.require("encryption_keys"),
        "DATANIKA_HOME": str(settings.home),
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
        transport=httpx.ASGITransport(create_app()),
        base_url="http://test/api/v1",
        headers={"Authorization": f"Bearer {token}"},
        timeout=60,
    ) as client:
        yield client


async def connect(tenant: Tenant, name: str, config: dict[str, Any]) -> int:
    async with get_session(tenant.owner.scope) as session:
        service = ConnectionService(session, tenant.owner)
        return (await service.create(name, "postgres", config)).id


async def outcome_of(api: httpx.AsyncClient, connection_id: int) -> dict[str, Any]:
    started = await api.post(f"/connections/{connection_id}/test")
    assert started.status_code == 202, started.text
    async with asyncio.timeout(120):
        while True:
            job = (await api.get(f"/jobs/{started.json()['id']}")).json()
            if job["state"] in ("succeeded", "failed"):
                return dict(job)
            await asyncio.sleep(0.2)


async def test_a_worker_tells_whether_a_connection_works(
    api: httpx.AsyncClient, tenant: Tenant, warehouse: Warehouse, celery_worker: Callable[[], str]
) -> None:
    good = await connect(tenant, "good", warehouse.config)
    bad = await connect(tenant, "bad", {**warehouse.config, "password": PASSWORD})
    assert (await outcome_of(api, good))["result"] == {"ok": True}
    refused = await outcome_of(api, bad)
    assert (refused["state"], refused["result"]["ok"]) == ("succeeded", False)
    assert refused["result"]["code"]
    assert PASSWORD not in str(refused) + celery_worker()


async def test_a_job_of_another_organisation_is_not_found(
    api: httpx.AsyncClient, tenant: Tenant, redis: RunningRedis, warehouse: Warehouse
) -> None:
    connection_id = await connect(tenant, "good", warehouse.config)
    job_id = (await api.post(f"/connections/{connection_id}/test")).json()["id"]
    assert (await api.get(f"/jobs/{job_id}")).json()["state"] == "pending"
    other = (await make_tenant("Other")).owner
    token = access_token(other)
    answer = await api.get(f"/jobs/{job_id}", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 404
    assert (await api.get(f"/jobs/{tenant.org_id}-unknown")).status_code == 404


async def test_a_viewer_cannot_test(
    api: httpx.AsyncClient, tenant: Tenant, redis: RunningRedis, warehouse: Warehouse
) -> None:
    connection_id = await connect(tenant, "good", warehouse.config)
    viewer = await add_member(tenant.org_id, Role.VIEWER)
    token = access_token(viewer)
    answer = await api.post(
        f"/connections/{connection_id}/test", headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 403


async def test_without_redis_only_jobs_stop_and_say_so(
    api: httpx.AsyncClient,
    tenant: Tenant,
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "redis_url", SecretStr(f"redis://127.0.0.1:{free_port()}/0"))
    connection_id = await connect(tenant, "good", warehouse.config)
    answer = await api.post(f"/connections/{connection_id}/test")
    assert (answer.status_code, answer.json()["code"]) == (503, "jobs_unavailable")
    assert (await api.get("/connections")).status_code == 200


def test_importing_the_tasks_needs_no_redis_but_using_them_says_what_is_missing() -> None:
    code = (
        "from datanika.errors import ConfigError\n"
        "from datanika.tasks import app\n"
        "try: app.tasks\n"
        "except ConfigError as error: print(error)\n"
    )
    environment = {
        name: value for name, value in os.environ.items() if name not in ("REDIS_URL",)
    } | {"DATANIKA_HOME": "/nonexistent"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "REDIS_URL is not set.\n", done.stderr
