"""F4: without Redis only ad hoc jobs stop, and say so; logins, pages and pipelines go on.

That the UI and whole runs go on is also what ``chaos.py`` and ``test_kill_any_process.py`` show.
"""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import select

from datanika.api.app import create_app
from datanika.config import settings
from datanika.contracts.enums import RunState
from datanika.contracts.events import RunFinish
from datanika.db import SYSTEM, get_session
from datanika.models import Job
from datanika.services import readiness
from datanika.services.reconciler import reconcile
from tests.faults.invariants import Place, check_invariants
from tests.support.accounts import PASSWORD, make_person
from tests.support.net import free_port
from tests.support.pipelines import CANARY, make_pipeline
from tests.support.postgres import PostgresServer
from tests.support.worker import work


async def test_only_ad_hoc_jobs_stop_and_say_so(
    database: str, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(settings, "redis_url", SecretStr(f"redis://127.0.0.1:{free_port()}/0"))
    monkeypatch.setattr(readiness, "_last", None)
    person = await make_person()
    pipeline = await make_pipeline(person.owner)
    api = httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app()), base_url="http://datanika.test", timeout=60
    )
    async with api:
        given = {"email": person.owner.email, "password": PASSWORD}
        login = await api.post("/api/v1/auth/login", json=given)
        assert login.status_code == 200, login.text
        api.headers["Authorization"] = f"Bearer {login.json()['access_token']}"

        began = time.monotonic()
        job = await api.post(f"/api/v1/connections/{pipeline.destination_id}/test")
        assert job.status_code == 503
        assert job.json()["code"] == "jobs_unavailable"
        assert "Redis" in job.json()["hint"]
        assert "Retry-After" in job.headers
        assert time.monotonic() - began < 10
        async with get_session(SYSTEM) as session:
            waiting = select(Job.id).where(Job.finished_at.is_(None), Job.deleted_at.is_(None))
            assert list(await session.scalars(waiting)) == [], "nothing waits for ever"

        ready = await api.get("/readyz")
        assert (ready.status_code, ready.json()["redis"]) == (200, "down")
        assert (await api.get("/api/v1/pipelines")).status_code == 200
        schedule = {"pipeline_id": pipeline.id, "interval_seconds": 3600}
        assert (await api.post("/api/v1/schedules", json=schedule)).status_code == 201
        run = await api.post(f"/api/v1/pipelines/{pipeline.id}/runs")
        assert run.status_code == 202
        await reconcile()
        await work(person.org_id, pipeline.id, RunFinish(state=RunState.SUCCEEDED))
        ended = await api.get(f"/api/v1/runs/{run.json()['id']}")
        assert ended.json()["state"] == RunState.SUCCEEDED
    place = Place(postgres_server.admin_url, tmp_path / "home", canaries=[CANARY])
    await check_invariants(place)
