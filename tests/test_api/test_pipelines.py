"""Connections, transformations, pipelines, schedules and triggering, over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from datanika.contracts.enums import Role
from datanika.db import SYSTEM, get_session
from datanika.models import AuditLog, Pipeline, Run
from tests.support.pipelines import CANARY, MadePipeline, make_pipeline, two_steps
from tests.support.tenants import Tenant, add_member
from tests.test_api.conftest import ANY, Connect


@pytest.fixture
async def made(tenant: Tenant) -> MadePipeline:
    return await make_pipeline(tenant.owner)


async def test_a_whole_pipeline_is_made_over_http(api: httpx.AsyncClient) -> None:
    source = await api.post(
        "/api/v1/connections",
        json={"name": "files", "kind": "files", "config": {"format": "csv"}},
    )
    config = {"host": "db.example.com", "database": "w", "user": "u", "password": CANARY}
    target = await api.post(
        "/api/v1/connections", json={"name": "w", "kind": "postgres", "config": config}
    )
    assert (source.status_code, target.status_code) == (201, 201), target.text
    assert target.json()["secrets"] == ["password"]
    ids = source.json()["id"], target.json()["id"]
    model = {"name": "stg", "destination_id": ids[1], "sql": "select 1 as id"}
    transformation = await api.post("/api/v1/transformations", json=model)
    assert transformation.status_code == 201, transformation.text
    spec = two_steps(*ids).model_dump(mode="json")
    pipeline = await api.post("/api/v1/pipelines", json={"name": "orders", "spec": spec})
    assert pipeline.status_code == 201, pipeline.text
    assert (pipeline.json()["version"], pipeline.json()["is_deployed"]) == (1, False)
    schedule = await api.post(
        "/api/v1/schedules",
        json={"pipeline_id": pipeline.json()["id"], "cron": "0 6 * * *", "timezone": "UTC"},
    )
    assert schedule.status_code == 201, schedule.text
    for path in ("connections", "transformations", "pipelines", "schedules"):
        listed = await api.get(f"/api/v1/{path}")
        assert len(listed.json()["items"]) == (2 if path == "connections" else 1)
    assert CANARY not in (await api.get("/api/v1/audit?limit=500")).text


async def test_the_plan_comes_as_data_in_words_and_as_a_graph(
    api: httpx.AsyncClient, made: MadePipeline
) -> None:
    plan = (await api.get(f"/api/v1/pipelines/{made.id}/plan")).json()
    assert plan["plan"]["stages"] == [["load"], ["transform"]]
    assert "Pipeline orders: 2 steps" in plan["text"]
    assert plan["mermaid"].startswith(("graph", "flowchart"))
    again = (await api.get(f"/api/v1/pipelines/{made.id}/plan")).json()
    assert again["hash"] == plan["hash"]


async def test_an_error_in_a_specification_names_the_step(
    api: httpx.AsyncClient, made: MadePipeline
) -> None:
    spec = two_steps(made.source_id, made.destination_id).model_dump(mode="json")
    spec["steps"][0]["depends_on"] = ["transform"]
    answer = await api.post("/api/v1/pipelines", json={"name": "circle", "spec": spec})
    assert (answer.status_code, answer.json()["code"]) == (422, "step_cycle")
    spec["steps"][0].update(depends_on=[], source_id=999)
    answer = await api.patch(f"/api/v1/pipelines/{made.id}", json={"spec": spec}, headers=ANY)
    assert (answer.status_code, answer.json()["field"]) == (422, "steps.0.source_id")


async def test_a_changed_specification_is_a_new_version_and_an_equal_one_is_not(
    api: httpx.AsyncClient, made: MadePipeline
) -> None:
    path = f"/api/v1/pipelines/{made.id}"
    same = two_steps(made.source_id, made.destination_id).model_dump(mode="json")
    other = two_steps(made.source_id, made.destination_id, "bronze").model_dump(mode="json")
    assert (await api.patch(path, json={"spec": same}, headers=ANY)).json()["version"] == 1
    tag = (await api.get(path)).headers["etag"]
    changed = await api.patch(path, json={"spec": other}, headers={"If-Match": tag})
    assert (changed.json()["version"], changed.headers["etag"]) == (2, '"3"')
    stale = await api.patch(path, json={"name": "x"}, headers={"If-Match": tag})
    assert (stale.status_code, stale.json()["code"]) == (412, "stale_revision")
    blind = await api.patch(path, json={"name": "x"})
    assert (blind.status_code, blind.json()["code"]) == (428, "precondition_required")


async def test_a_name_is_taken_until_its_pipeline_is_deleted(
    api: httpx.AsyncClient, made: MadePipeline
) -> None:
    spec = two_steps(made.source_id, made.destination_id).model_dump(mode="json")
    taken = await api.post("/api/v1/pipelines", json={"name": "orders", "spec": spec})
    assert (taken.status_code, taken.json()["code"]) == (409, "name_taken")
    assert (await api.delete(f"/api/v1/pipelines/{made.id}")).status_code == 204
    assert (await api.get(f"/api/v1/pipelines/{made.id}")).status_code == 404
    spec["steps"][0]["target_schema"] = "bronze"
    again = await api.post("/api/v1/pipelines", json={"name": "orders", "spec": spec})
    assert again.status_code == 201, again.text


async def test_lists_come_in_pages(api: httpx.AsyncClient, tenant: Tenant) -> None:
    for name in ("a", "b", "c"):
        await make_pipeline(tenant.owner, name)
    first = (await api.get("/api/v1/pipelines?limit=2")).json()
    second = (await api.get(f"/api/v1/pipelines?limit=2&cursor={first['next_cursor']}")).json()
    assert [item["name"] for item in first["items"] + second["items"]] == ["a", "b", "c"]
    assert second["next_cursor"] is None
    found = (await api.get("/api/v1/pipelines?name=b")).json()["items"]
    assert [item["name"] for item in found] == ["b"]


async def test_a_schedule_is_checked_and_changes_the_deployment(
    api: httpx.AsyncClient, made: MadePipeline
) -> None:
    async with get_session(SYSTEM) as session:
        (await session.get_one(Pipeline, made.id)).deployed_hash = "old"
    wrong: list[dict[str, Any]] = [
        {"cron": "every day"},
        {"cron": "0 6 * * *", "interval_seconds": 60},
        {"cron": "0 6 * * *", "timezone": "Mars/Olympus"},
        {},
    ]
    for body in wrong:
        answer = await api.post("/api/v1/schedules", json={"pipeline_id": made.id, **body})
        assert answer.status_code == 422, body
        assert answer.json()["field"]
    right = {"pipeline_id": made.id, "cron": "0 6 * * *", "timezone": "Europe/Berlin"}
    schedule = (await api.post("/api/v1/schedules", json=right)).json()
    async with get_session(SYSTEM) as session:
        assert (await session.get_one(Pipeline, made.id)).deployed_hash is None
    path = f"/api/v1/schedules/{schedule['id']}"
    changed = (await api.patch(path, json={"interval_seconds": 60}, headers=ANY)).json()
    assert (changed["cron"], changed["interval_seconds"]) == (None, 60)
    assert changed["timezone"] == "Europe/Berlin"
    assert (await api.delete(path)).status_code == 204
    assert (await api.get(path)).status_code == 404


async def test_of_twenty_triggers_with_one_key_there_is_one_run(
    api: httpx.AsyncClient, made: MadePipeline
) -> None:
    path = f"/api/v1/pipelines/{made.id}/runs"
    answers = await asyncio.gather(
        *(api.post(path, headers={"Idempotency-Key": "nightly"}) for _ in range(20))
    )
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    async with get_session(SYSTEM) as session:
        assert await session.scalar(select(func.count(Run.id))) == 1
        entries = select(func.count(AuditLog.id)).where(AuditLog.action == "run.triggered")
        assert await session.scalar(entries) == 1


async def test_a_key_that_may_only_trigger_triggers(
    api: httpx.AsyncClient, connect: Connect, made: MadePipeline
) -> None:
    body = {"name": "trigger", "scopes": ["run:trigger"]}
    key = connect(bearer=(await api.post("/api/v1/api-keys", json=body)).json()["key"])
    assert (await key.post(f"/api/v1/pipelines/{made.id}/runs")).status_code == 202
    assert (await key.get(f"/api/v1/pipelines/{made.id}")).status_code == 403


async def test_without_a_key_every_trigger_is_a_run(
    api: httpx.AsyncClient, made: MadePipeline
) -> None:
    path = f"/api/v1/pipelines/{made.id}/runs"
    first, second = await api.post(path), await api.post(path)
    assert first.json()["id"] != second.json()["id"]
    assert first.headers["location"] == f"/api/v1/runs/{first.json()['id']}"
    too_long = await api.post(path, headers={"Idempotency-Key": "x" * 256})
    assert too_long.status_code == 422


async def test_waiting_answers_with_the_run_as_it_is_then(
    api: httpx.AsyncClient, made: MadePipeline
) -> None:
    answer = await api.post(f"/api/v1/pipelines/{made.id}/runs?wait=0.3")
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")


async def test_a_viewer_looks_but_neither_triggers_nor_cancels(
    api: httpx.AsyncClient, connect: Connect, tenant: Tenant, made: MadePipeline
) -> None:
    run = (await api.post(f"/api/v1/pipelines/{made.id}/runs")).json()
    viewer = connect(await add_member(tenant.org_id, Role.VIEWER))
    for path in (f"/api/v1/runs/{run['id']}", f"/api/v1/runs/{run['id']}/steps", "/api/v1/runs"):
        assert (await viewer.get(path)).status_code == 200
    for path in (f"/api/v1/pipelines/{made.id}/runs", f"/api/v1/runs/{run['id']}/cancel"):
        assert (await viewer.post(path)).status_code == 403
    assert (await viewer.get("/api/v1/audit")).status_code == 403


async def test_a_waiting_run_is_cancelled_at_once_and_twice_is_fine(
    api: httpx.AsyncClient, made: MadePipeline
) -> None:
    run = (await api.post(f"/api/v1/pipelines/{made.id}/runs")).json()
    for _ in range(2):
        cancelled = await api.post(f"/api/v1/runs/{run['id']}/cancel")
        assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    steps = (await api.get(f"/api/v1/runs/{run['id']}/steps")).json()["items"]
    assert {step["state"] for step in steps} == {"cancelled"}


async def test_a_connection_in_use_stays(api: httpx.AsyncClient, made: MadePipeline) -> None:
    answer = await api.delete(f"/api/v1/connections/{made.source_id}")
    assert (answer.status_code, answer.json()["code"]) == (409, "connection_in_use")


async def test_a_secret_is_in_no_answer(api: httpx.AsyncClient, made: MadePipeline) -> None:
    """Every readable route, with the canary stored in a connection that a run uses."""
    run = (await api.post(f"/api/v1/pipelines/{made.id}/runs")).json()
    patched = await api.patch(
        f"/api/v1/connections/{made.destination_id}", json={"description": "changed"}, headers=ANY
    )
    answers = [
        patched,
        *[
            await api.get(f"/api/v1/{path}")
            for path in (
                "connections",
                f"connections/{made.destination_id}",
                f"pipelines/{made.id}",
                f"pipelines/{made.id}/plan",
                "transformations",
                f"runs/{run['id']}",
                f"runs/{run['id']}/steps",
                f"runs/{run['id']}/logs",
                "catalog",
                "audit?limit=500",
                "auth/me",
            )
        ],
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert CANARY not in answer.text
    assert patched.json()["secrets"] == ["password"]
