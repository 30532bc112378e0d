"""A POST sent twice works once; two changes of one state do not both happen."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, text, update

from datanika.contracts.enums import Role
from datanika.db import SYSTEM, get_session
from datanika.models import AuditLog, Base, Connection, IdempotencyKey, Pipeline
from datanika.services.retention import delete_old
from tests.support.pipelines import CANARY, MadePipeline, make_pipeline, two_steps
from tests.support.tenants import Tenant, add_member
from tests.test_api.conftest import Connect

KEY = {"Idempotency-Key": "3d0b6b7e"}
CONNECTION = {
    "name": "dwh",
    "kind": "postgres",
    "config": {"host": "db.example.com", "database": "w", "user": "u", "password": CANARY},
}


@pytest.fixture
async def made(tenant: Tenant) -> MadePipeline:
    return await make_pipeline(tenant.owner)


async def count(model: type[Base]) -> int:
    async with get_session(SYSTEM) as session:
        return await session.scalar(select(func.count()).select_from(model)) or 0


@pytest.mark.parametrize("what", ["connections", "pipelines"])
async def test_fifty_identical_posts_at_once_make_one_row(
    api: httpx.AsyncClient, made: MadePipeline, what: str
) -> None:
    spec = two_steps(made.source_id, made.destination_id, "bronze").model_dump(mode="json")
    body = CONNECTION if what == "connections" else {"name": "more", "spec": spec}
    model = Connection if what == "connections" else Pipeline
    before = await count(model)
    path = f"/api/v1/{what}"
    answers = await asyncio.gather(*(api.post(path, json=body, headers=KEY) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {201}, answers[0].text
    assert len({answer.text for answer in answers}) == 1
    assert {answer.headers["etag"] for answer in answers} == {'"1"'}
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 49
    assert await count(model) == before + 1
    async with get_session(SYSTEM) as session:
        made_entries = select(func.count(AuditLog.id)).where(
            AuditLog.action == f"{what[:-1]}.created",
            AuditLog.resource_id == answers[0].json()["id"],
        )
        assert await session.scalar(made_entries) == 1


async def test_a_key_is_for_one_request(api: httpx.AsyncClient) -> None:
    assert (await api.post("/api/v1/connections", json=CONNECTION, headers=KEY)).is_success
    other = {**CONNECTION, "name": "other"}
    reused = await api.post("/api/v1/connections", json=other, headers=KEY)
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
    assert reused.json()["field"] == "Idempotency-Key"
    assert await count(Connection) == 1


async def test_another_persons_key_is_another_key(
    api: httpx.AsyncClient, connect: Connect, tenant: Tenant
) -> None:
    colleague = connect(await add_member(tenant.org_id, Role.EDITOR))
    mine = await api.post("/api/v1/connections", json=CONNECTION, headers=KEY)
    theirs = await colleague.post(
        "/api/v1/connections", json={**CONNECTION, "name": "theirs"}, headers=KEY
    )
    assert (mine.status_code, theirs.status_code) == (201, 201)
    assert "idempotency-replayed" not in theirs.headers
    scopes = {"name": "k", "scopes": ["connection:write"]}
    bearer = (await api.post("/api/v1/api-keys", json=scopes)).json()["key"]
    program = await connect(bearer=bearer).post(
        "/api/v1/connections", json={**CONNECTION, "name": "programs"}, headers=KEY
    )
    assert program.status_code == 201


async def test_a_replay_still_needs_the_permission(
    api: httpx.AsyncClient, connect: Connect, tenant: Tenant
) -> None:
    editor = await add_member(tenant.org_id, Role.EDITOR)
    client = connect(editor)
    assert (await client.post("/api/v1/connections", json=CONNECTION, headers=KEY)).is_success
    async with get_session(SYSTEM) as session:
        await session.execute(
            text("UPDATE memberships SET role = 'viewer' WHERE user_id = :id"),
            {"id": editor.user_id},
        )
    again = await client.post("/api/v1/connections", json=CONNECTION, headers=KEY)
    assert again.status_code == 403


async def test_a_failed_first_try_leaves_the_key_free(api: httpx.AsyncClient) -> None:
    wrong = {**CONNECTION, "kind": "nothing"}
    assert (await api.post("/api/v1/connections", json=wrong, headers=KEY)).status_code == 422
    assert (await api.post("/api/v1/connections", json=CONNECTION, headers=KEY)).status_code == 201


async def test_a_key_of_another_route_is_another_key(
    api: httpx.AsyncClient, made: MadePipeline
) -> None:
    assert (await api.post("/api/v1/connections", json=CONNECTION, headers=KEY)).is_success
    paused = await api.post(f"/api/v1/pipelines/{made.id}/pause", headers=KEY)
    assert paused.json()["is_paused"] is True
    resumed = await api.post(f"/api/v1/pipelines/{made.id}/resume", headers=KEY)
    assert resumed.json()["is_paused"] is False


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
async def test_a_key_has_a_shape(api: httpx.AsyncClient, key: str) -> None:
    answer = await api.post(
        "/api/v1/connections", json=CONNECTION, headers={"Idempotency-Key": key}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_invalid")


async def test_a_kept_answer_is_encrypted(api: httpx.AsyncClient) -> None:
    body = {"name": "nightly", "scopes": ["run:read"]}
    first = await api.post("/api/v1/api-keys", json=body, headers=KEY)
    again = await api.post("/api/v1/api-keys", json=body, headers=KEY)
    assert again.json()["key"] == first.json()["key"]
    async with get_session(SYSTEM) as session:
        stored = str((await session.execute(text("SELECT * FROM idempotency_keys"))).all())
    assert first.json()["key"] not in stored
    assert "nightly" not in stored


async def test_an_expired_key_is_free_and_deleted_by_retention(api: httpx.AsyncClient) -> None:
    assert (await api.post("/api/v1/connections", json=CONNECTION, headers=KEY)).is_success
    async with get_session(SYSTEM) as session:
        past = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
        await session.execute(update(IdempotencyKey).values(expires_at=past))
    again = {**CONNECTION, "name": "again"}
    assert (await api.post("/api/v1/connections", json=again, headers=KEY)).status_code == 201
    assert (await delete_old())["idempotency_keys"] == 0
    async with get_session(SYSTEM) as session:
        await session.execute(update(IdempotencyKey).values(expires_at=past))
    assert (await delete_old())["idempotency_keys"] == 1
    assert await count(IdempotencyKey) == 0


PATCHES: dict[str, dict[str, Any]] = {
    "connections": {"description": "changed by {}"},
    "pipelines": {"description": "changed by {}"},
    "transformations": {"description": "changed by {}"},
    "schedules": {"timezone": "Europe/{}"},
    "notification-channels": {"name": "changed by {}"},
}
NAMES = ("Berlin", "Paris")


@pytest.mark.parametrize("what", PATCHES)
async def test_of_two_changes_of_one_state_exactly_one_happens(
    api: httpx.AsyncClient, made: MadePipeline, what: str
) -> None:
    await api.post("/api/v1/schedules", json={"pipeline_id": made.id, "cron": "0 6 * * *"})
    hook = {"kind": "webhook", "config": {"url": "https://hooks.example.com/x"}}
    channel = {"name": "ops", "events": ["run.failed"], **hook}
    await api.post("/api/v1/notification-channels", json=channel)
    thing = (await api.get(f"/api/v1/{what}")).json()["items"][0]
    path = f"/api/v1/{what}/{thing['id']}"
    tag = (await api.get(path)).headers["etag"]
    whole = thing["spec"] if what == "transformations" else {}
    bodies = [
        {**whole, **{key: value.format(name) for key, value in PATCHES[what].items()}}
        for name in NAMES
    ]
    answers = await asyncio.gather(
        *(api.patch(path, json=body, headers={"If-Match": tag}) for body in bodies)
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412], answers[0].text
    lost = next(answer for answer in answers if answer.status_code == 412)
    assert lost.json()["code"] == "stale_revision"
    [won] = [body for body, answer in zip(bodies, answers, strict=True) if answer.is_success]
    now = await api.get(path)
    key = next(iter(PATCHES[what]))
    assert now.json()[key] == won[key]
    assert now.headers["etag"] != tag


async def test_every_patchable_resource_is_tried(api: httpx.AsyncClient) -> None:
    document = (await api.get("/api/v1/openapi.json")).json()
    patched = {path.split("/")[3] for path, methods in document["paths"].items()
               if "patch" in methods and "{" in path}  # fmt: skip
    assert patched - TRIED_ELSEWHERE == set(PATCHES)


TRIED_ELSEWHERE = {"members"}
"""In ``test_organizations.py``: a member's id is another one."""
