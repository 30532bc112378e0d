"""F3: PostgreSQL is shut down immediately under load, and comes back: requests are answered with
503 and Retry-After, and nothing is half done."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select

from datanika.api.app import create_app
from datanika.api.rate_limit import RateLimiter
from datanika.contracts.api import ConnectionIn
from datanika.db import SYSTEM, get_session
from datanika.models import AuditLog, Connection, Run
from datanika.runtime import databases
from datanika.runtime.postgres import system_user
from tests.faults.invariants import Place, check_invariants
from tests.support.pipelines import CANARY, make_pipeline
from tests.support.postgres import (
    PostgresServer,
    make_template,
    migrated_database,
    run_cluster,
    stop_cluster,
)
from tests.support.processes import bound_to_us
from tests.support.tenants import Tenant, access_token, make_tenant

CALLERS = 12
BEFORE, AFTER = 1.0, 2.0
"""Seconds of load."""


@dataclass
class Restartable:
    """A PostgreSQL of this file's own."""

    server: PostgresServer
    process: subprocess.Popen[bytes]
    folder: Path

    def restart(self) -> None:
        """As ``pg_ctl restart -m immediate``."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(20)
        with (self.folder / "postgres.log").open("ab") as log:
            self.process = subprocess.Popen(
                bound_to_us(self.server.cluster.command(), signal.SIGINT, system_user()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
        self.server.cluster.wait_ready()


@pytest.fixture
def postgres() -> Iterator[Restartable]:
    folder = Path(tempfile.mkdtemp(prefix="datanika-test-pg-"))
    cluster, process = run_cluster(folder, durable=True)
    owner, app = secrets.token_hex(8), secrets.token_hex(8)
    with databases.cursor(cluster.admin_url) as cur:
        databases.ensure_application_roles(cur, owner, app)
    one = Restartable(PostgresServer(cluster, owner, app), process, folder)
    try:
        yield one
    finally:
        stop_cluster(one.process)
        shutil.rmtree(folder)


@pytest.fixture
async def tenant(
    postgres: Restartable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Tenant]:
    template = make_template(postgres.server)
    async with migrated_database(postgres.server, template, monkeypatch, tmp_path / "home"):
        yield await make_tenant()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_restart_under_load_answers_503_and_leaves_nothing_half_done(
    postgres: Restartable, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("datanika.api.transaction.tenants", RateLimiter(1_000_000))
    pipeline = await make_pipeline(tenant.owner)
    answers: Counter[int] = Counter()
    done: dict[str, int] = {}
    over = asyncio.Event()
    token = access_token(tenant.owner)
    api = httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(), raise_app_exceptions=False),
        base_url="http://datanika.test",
        headers={"Authorization": f"Bearer {token}"},
        timeout=60,
    )

    async def write(path: str, key: str, body: dict[str, object] | None) -> int:
        answer = await api.post(path, json=body, headers={"Idempotency-Key": key})
        answers[answer.status_code] += 1
        assert answer.status_code in (201, 202, 503), answer.text
        if answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) >= 1
            assert answer.json()["code"] == "database_unavailable"
        return answer.status_code

    async def caller(number: int) -> None:
        """Makes one thing after the other, and repeats a request until it is done."""
        count = 0
        while not over.is_set():
            count += 1
            key = f"k{number}-{count}"
            path, body = f"/api/v1/pipelines/{pipeline.id}/runs", None
            if count % 2:
                given = ConnectionIn(name=f"c {key}", kind="files", config={"format": "csv"})
                path, body = "/api/v1/connections", given.model_dump(mode="json")
            while await write(path, key, body) == 503:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            done[key] = count % 2
            assert (await api.get("/api/v1/runs?limit=1")).status_code in (200, 503)

    async with api:
        callers = [asyncio.create_task(caller(number)) for number in range(CALLERS)]
        await asyncio.sleep(BEFORE)
        await asyncio.to_thread(postgres.restart)
        await asyncio.sleep(AFTER)
        over.set()
        await asyncio.gather(*callers)
    assert answers[503] > 0, "the load felt the restart"
    async with get_session(SYSTEM) as session:
        runs = list(await session.scalars(select(Run.idempotency_key)))
        named = list(
            await session.scalars(select(Connection.name).where(Connection.name.like("c k%")))
        )
        audited: dict[str, int] = {}
        for action in ("run.triggered", "connection.created"):
            query = select(func.count()).select_from(AuditLog).where(AuditLog.action == action)
            audited[action] = await session.scalar(query) or 0
    assert sorted(runs) == sorted(key for key, is_connection in done.items() if not is_connection)
    assert sorted(named) == sorted(
        f"c {key}" for key, is_connection in done.items() if is_connection
    )
    assert audited == {
        "run.triggered": len(runs),
        # Two are the pipeline's own.
        "connection.created": len(named) + 2,
    }
    place = Place(postgres.server.admin_url, tmp_path / "home", canaries=[CANARY])
    await check_invariants(place)
