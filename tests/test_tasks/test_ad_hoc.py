"""Ad hoc jobs from end to end: API, Redis, a real worker, a real sandbox."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import func, select, text, update

from datanika.config import settings
from datanika.contracts.ad_hoc import AdHocAnswer, RowsResult
from datanika.contracts.enums import Role
from datanika.db import SYSTEM, get_session
from datanika.models import Job, Membership
from datanika.services.actor import Actor
from datanika.services.connection_service import ConnectionService
from datanika.services.job_service import finish_job
from tests.support.net import free_port
from tests.support.postgres import Warehouse
from tests.support.redis import RunningRedis
from tests.support.tenants import Tenant, access_token, add_member, make_tenant

PASSWORD = "canary-of-the-job-71c"


def as_actor(actor: Actor) -> dict[str, str]:
    return {"Authorization": f"Bearer {access_token(actor)}"}


async def connect(tenant: Tenant, name: str, config: dict[str, Any]) -> int:
    async with get_session(tenant.owner.scope) as session:
        service = ConnectionService(session, tenant.owner)
        return (await service.create(name, "postgres", config)).id


async def done(
    api: httpx.AsyncClient, path: str, body: dict[str, Any] | None = None, **headers: str
) -> dict[str, Any]:
    """The finished job of a POST that waits for it."""
    answer = await api.post(f"{path}?wait=60", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_a_worker_tells_whether_a_connection_works(
    api: httpx.AsyncClient, tenant: Tenant, warehouse: Warehouse, celery_worker: Callable[[], str]
) -> None:
    good = await connect(tenant, "good", warehouse.config)
    bad = await connect(tenant, "bad", {**warehouse.config, "password": PASSWORD})
    fine = await done(api, f"/connections/{good}/test")
    assert (fine["action"], fine["resource_id"], fine["result"]["ok"]) == (
        "test_connection", good, True,
    )  # fmt: skip
    refused = await done(api, f"/connections/{bad}/test")
    assert (refused["state"], refused["result"]["ok"]) == ("succeeded", False)
    assert refused["result"]["code"] == "authentication_failed"
    unsaved = {"kind": "postgres", "config": {**warehouse.config, "password": PASSWORD}}
    assert (await done(api, "/connections/test", unsaved))["result"]["ok"] is False
    unsaved["config"] = warehouse.config
    assert (await done(api, "/connections/test", unsaved))["result"]["ok"] is True
    assert PASSWORD not in str(refused) + celery_worker()


async def test_a_worker_looks_reads_and_compiles(
    api: httpx.AsyncClient, tenant: Tenant, warehouse: Warehouse, celery_worker: Callable[[], str]
) -> None:
    warehouse.query("CREATE SCHEMA raw CREATE TABLE orders (id int PRIMARY KEY, note text)")
    warehouse.query(f"INSERT INTO raw.orders VALUES (1, '{warehouse.password}'), (2, 'b')")
    at = f"/connections/{await connect(tenant, 'good', warehouse.config)}"
    found = (await done(api, f"{at}/introspect", {"schema_name": "raw"}))["result"]
    assert [(table["name"], table["primary_key"]) for table in found["tables"]] == [
        ("orders", ["id"])
    ]
    shown = (await done(api, f"{at}/preview", {"table": "orders", "schema_name": "raw"}))["result"]
    # The connection's own password is masked wherever it appears.
    assert shown["rows"] == [[1, "•••"], [2, "b"]]
    asked = await done(api, f"{at}/query", {"sql": "select count(*) as n from raw.orders"})
    assert (asked["result"]["columns"][0]["name"], asked["result"]["rows"]) == ("n", [[2]])
    changed = await done(api, f"{at}/query", {"sql": "delete from raw.orders"})
    assert (changed["state"], changed["failure"]["code"]) == ("failed", "query_not_read_only")
    body = {
        "name": "stg",
        "destination_id": int(at.split("/")[-1]),
        "sql": "select id from {{ source('raw', 'orders') }} order by id",
    }
    made = await api.post("/transformations", json=body)
    model = f"/transformations/{made.json()['id']}"
    compiled = (await done(api, f"{model}/compile"))["result"]
    assert '"raw"."orders"' in compiled["sql"]
    previewed = (await done(api, f"{model}/preview", {"limit": 1}))["result"]
    assert (previewed["rows"], previewed["is_truncated"]) == ([[1]], True)
    assert warehouse.query("SELECT count(*) FROM raw.orders") == [(2,)]
    assert not warehouse.query("SELECT 1 FROM pg_namespace WHERE nspname = 'analytics'")
    entries = (await api.get("/audit?limit=500")).json()["items"]
    queried = next(entry for entry in entries if entry["action"] == "connection.queried")
    assert queried["new"]["sql"] == "delete from raw.orders"
    assert len(queried["new"]["sql_sha256"]) == 64


async def test_what_is_asked_and_found_is_not_in_redis_and_encrypted_in_the_row(
    api: httpx.AsyncClient, tenant: Tenant, warehouse: Warehouse, redis: RunningRedis
) -> None:
    import redis as redis_client

    config = {**warehouse.config, "password": PASSWORD}
    connection_id = await connect(tenant, "good", config)
    await api.post("/connections/test", json={"kind": "postgres", "config": config})
    sql = "select 'canary-sql-91'"
    await api.post(f"/connections/{connection_id}/query", json={"sql": sql})
    with redis_client.Redis.from_url(redis.url) as client:
        queued = b"".join(client.lrange("datanika", 0, -1))  # type: ignore[arg-type]
        client.flushall()
    assert queued.count(b"datanika.query_connection") == 1
    async with get_session(SYSTEM) as session:
        stored = str((await session.execute(text("SELECT * FROM jobs"))).all())
    for canary in (PASSWORD, "canary-sql-91"):
        assert canary not in stored
        assert canary.encode() not in queued


async def test_the_same_key_gives_the_same_job(
    api: httpx.AsyncClient, tenant: Tenant, warehouse: Warehouse, redis: RunningRedis
) -> None:
    path = f"/connections/{await connect(tenant, 'good', warehouse.config)}/query"
    key = {"Idempotency-Key": "once"}
    body = {"sql": "select 1"}
    answers = await asyncio.gather(*(api.post(path, json=body, headers=key) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 19
    other = await api.post(path, json={"sql": "select 2"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_job_of_another_organisation_is_not_found(
    api: httpx.AsyncClient, tenant: Tenant, redis: RunningRedis, warehouse: Warehouse
) -> None:
    connection_id = await connect(tenant, "good", warehouse.config)
    job_id = (await api.post(f"/connections/{connection_id}/test")).json()["id"]
    assert (await api.get(f"/jobs/{job_id}")).json()["state"] == "pending"
    other = as_actor((await make_tenant("Other")).owner)
    answer = await api.get(f"/jobs/{job_id}", headers=other)
    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")
    for action in ("test", "introspect", "query", "preview"):
        body = {"sql": "select 1"} if action == "query" else {"table": "t"}
        path = f"/connections/{connection_id}/{action}"
        answer = await api.post(path, json=body if action[0] in "qp" else None, headers=other)
        assert answer.status_code == 404, action


async def test_a_result_is_for_those_who_may_do_what_the_job_did(
    api: httpx.AsyncClient, tenant: Tenant, redis: RunningRedis, warehouse: Warehouse
) -> None:
    connection_id = await connect(tenant, "good", warehouse.config)
    editor = await add_member(tenant.org_id, Role.EDITOR)
    path = f"/connections/{connection_id}/query"
    job = await api.post(path, json={"sql": "select 1"}, headers=as_actor(editor))
    mine = f"/jobs/{job.json()['id']}"
    assert (await api.get(mine, headers=as_actor(editor))).status_code == 200
    async with get_session(SYSTEM) as session:
        await session.execute(
            update(Membership)
            .where(Membership.user_id == editor.user_id)
            .values(role=Role.VIEWER.value)
        )
    assert (await api.get(mine, headers=as_actor(editor))).status_code == 403
    key = {"name": "k", "scopes": ["connection:test", "job:read"]}
    bearer = (await api.post("/api-keys", json=key)).json()["key"]
    async with get_session(SYSTEM) as session:
        found = AdHocAnswer(result=RowsResult(rows=(("a row",),)))
        await finish_job(session, job.json()["id"], found)
    answer = await api.get(mine, headers={"Authorization": f"Bearer {bearer}"})
    assert (answer.status_code, answer.json()["is_withheld"]) == (200, True)
    assert "a row" not in answer.text
    assert (await api.get(mine)).json()["result"]["rows"] == [["a row"]]


async def test_a_worker_does_nothing_for_somebody_who_lost_the_role(
    api: httpx.AsyncClient, tenant: Tenant, warehouse: Warehouse, redis: RunningRedis
) -> None:
    connection_id = await connect(tenant, "good", warehouse.config)
    editor = await add_member(tenant.org_id, Role.EDITOR)
    path = f"/connections/{connection_id}/query"
    job = await api.post(path, json={"sql": "select 1"}, headers=as_actor(editor))
    async with get_session(SYSTEM) as session:
        await session.execute(
            update(Membership)
            .where(Membership.user_id == editor.user_id)
            .values(role=Role.VIEWER.value)
        )
    await asyncio.to_thread(run_here, tenant.org_id, job.json()["id"])
    ended = (await api.get(f"/jobs/{job.json()['id']}")).json()
    assert (ended["state"], ended["failure"]["code"]) == ("failed", "permission_denied")


def run_here(org_id: int, job_id: int) -> None:
    from datanika.tasks.ad_hoc import run_job

    asyncio.run(run_job(org_id, job_id))


async def test_waiting_holds_no_transaction(
    api: httpx.AsyncClient, tenant: Tenant, warehouse: Warehouse, redis: RunningRedis
) -> None:
    connection_id = await connect(tenant, "good", warehouse.config)
    waiting = asyncio.create_task(api.post(f"/connections/{connection_id}/test?wait=2"))
    await asyncio.sleep(1)
    seen = 0
    for _ in range(20):
        async with get_session(SYSTEM) as session:
            seen += await session.scalar(
                text(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                    "AND pid <> pg_backend_pid() AND xact_start < now() - interval '0.5 seconds'"
                )
            )
        await asyncio.sleep(0.02)
    assert seen == 0
    answer = await waiting
    assert (answer.status_code, answer.json()["state"]) == (202, "pending")


async def test_a_viewer_cannot_test(
    api: httpx.AsyncClient, tenant: Tenant, redis: RunningRedis, warehouse: Warehouse
) -> None:
    connection_id = await connect(tenant, "good", warehouse.config)
    viewer = await add_member(tenant.org_id, Role.VIEWER)
    for path in (f"/connections/{connection_id}/test", "/connections/test"):
        assert (await api.post(path, headers=as_actor(viewer))).status_code == 403


async def test_without_redis_only_jobs_stop_and_say_so(
    api: httpx.AsyncClient,
    tenant: Tenant,
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "redis_url", SecretStr(f"redis://127.0.0.1:{free_port()}/0"))
    connection_id = await connect(tenant, "good", warehouse.config)
    key = {"Idempotency-Key": "once"}
    for _ in range(2):
        answer = await api.post(f"/connections/{connection_id}/test", headers=key)
        assert (answer.status_code, answer.json()["code"]) == (503, "jobs_unavailable")
    async with get_session(SYSTEM) as session:
        assert await session.scalar(select(func.count(Job.id))) == 0
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
