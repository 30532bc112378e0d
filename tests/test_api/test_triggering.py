"""Runs are started once, retried after a failure, and waited for without holding anything."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from sqlalchemy import func, select, text, update

from datanika.contracts.enums import Role, RunState
from datanika.db import SYSTEM, get_session
from datanika.models import AuditLog, Run
from tests.support.pipelines import MadePipeline, make_pipeline
from tests.support.tenants import Tenant, add_member, make_tenant
from tests.test_api.conftest import Connect

KEY = {"Idempotency-Key": "nightly"}


@pytest.fixture
async def made(tenant: Tenant) -> MadePipeline:
    return await make_pipeline(tenant.owner)


async def end(run_id: int, state: RunState) -> None:
    async with get_session(SYSTEM) as session:
        await session.execute(update(Run).where(Run.id == run_id).values(state=state.value))


async def test_fifty_identical_posts_at_once_are_one_run(
    api: httpx.AsyncClient, made: MadePipeline
) -> None:
    path = f"/api/v1/pipelines/{made.id}/runs"
    answers = await asyncio.gather(*(api.post(path, headers=KEY) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    async with get_session(SYSTEM) as session:
        assert await session.scalar(select(func.count(Run.id))) == 1
        entries = select(func.count(AuditLog.id)).where(AuditLog.action == "run.triggered")
        assert await session.scalar(entries) == 1


async def test_waiting_holds_no_transaction(api: httpx.AsyncClient, made: MadePipeline) -> None:
    waiting = asyncio.create_task(api.post(f"/api/v1/pipelines/{made.id}/runs?wait=2"))
    await asyncio.sleep(1)
    old = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND xact_start < now() - interval '0.5 seconds'"
    )
    for _ in range(20):
        async with get_session(SYSTEM) as session:
            assert await session.scalar(text(old)) == 0
        await asyncio.sleep(0.02)
    assert (await waiting).json()["state"] == "queued"


async def test_a_key_that_may_only_trigger_may_wait(
    api: httpx.AsyncClient, connect: Connect, made: MadePipeline
) -> None:
    body = {"name": "trigger", "scopes": ["run:trigger"]}
    key = connect(bearer=(await api.post("/api/v1/api-keys", json=body)).json()["key"])
    answer = await key.post(f"/api/v1/pipelines/{made.id}/runs?wait=0.2")
    assert answer.status_code == 202, answer.text


async def test_a_failed_run_is_retried_with_the_plan_it_had(
    api: httpx.AsyncClient, made: MadePipeline
) -> None:
    failed = (await api.post(f"/api/v1/pipelines/{made.id}/runs")).json()
    await end(failed["id"], RunState.FAILED)
    other = {"name": "stg_more", "destination_id": made.destination_id, "sql": "select 1 as id"}
    await api.post("/api/v1/transformations", json=other)
    path = f"/api/v1/runs/{failed['id']}/retry"
    answers = await asyncio.gather(
        *(api.post(path, json={"from_failure": False}, headers=KEY) for _ in range(20))
    )
    assert {answer.status_code for answer in answers} == {202}, answers[0].text
    [run_id] = {answer.json()["id"] for answer in answers}
    run = (await api.get(f"/api/v1/runs/{run_id}")).json()
    assert (run["trigger"], run["retry_of"], run["state"]) == ("retry", failed["id"], "queued")
    assert run["plan_hash"] == failed["plan_hash"]
    assert run["pipeline_version_id"] == failed["pipeline_version_id"]
    now = (await api.get(f"/api/v1/pipelines/{made.id}/plan")).json()
    assert now["hash"] != run["plan_hash"]
    plan = (await api.get(f"/api/v1/runs/{run_id}/plan")).json()
    assert (plan["hash"], plan["plan"]["stages"]) == (run["plan_hash"], [["load"], ["transform"]])
    steps = (await api.get(f"/api/v1/runs/{run_id}/steps")).json()["items"]
    assert {step["state"] for step in steps} == {"pending"}
    another = (await api.post(path)).json()
    assert another["id"] != run_id


@pytest.mark.parametrize(
    "state", [RunState.QUEUED, RunState.RUNNING, RunState.CANCELLING, RunState.SUCCEEDED]
)
async def test_only_a_run_that_is_over_and_did_not_succeed_is_retried(
    api: httpx.AsyncClient, made: MadePipeline, state: RunState
) -> None:
    run = (await api.post(f"/api/v1/pipelines/{made.id}/runs")).json()
    await end(run["id"], state)
    answer = await api.post(f"/api/v1/runs/{run['id']}/retry")
    assert (answer.status_code, answer.json()["code"]) == (409, "run_not_retryable")


@pytest.mark.parametrize("state", [RunState.CANCELLED, RunState.SKIPPED, RunState.UPSTREAM_STALE])
async def test_what_did_not_come_to_its_end_is_retried(
    api: httpx.AsyncClient, made: MadePipeline, state: RunState
) -> None:
    run = (await api.post(f"/api/v1/pipelines/{made.id}/runs")).json()
    await end(run["id"], state)
    assert (await api.post(f"/api/v1/runs/{run['id']}/retry")).status_code == 202


async def test_who_may_not_trigger_does_not_retry(
    api: httpx.AsyncClient, connect: Connect, tenant: Tenant, made: MadePipeline
) -> None:
    run = (await api.post(f"/api/v1/pipelines/{made.id}/runs")).json()
    await end(run["id"], RunState.FAILED)
    path = f"/api/v1/runs/{run['id']}"
    viewer = connect(await add_member(tenant.org_id, Role.VIEWER))
    assert (await viewer.post(f"{path}/retry")).status_code == 403
    assert (await viewer.get(f"{path}/plan")).status_code == 200
    other = connect((await make_tenant("Other")).owner)
    assert (await other.post(f"{path}/retry")).status_code == 404
    assert (await other.get(f"{path}/plan")).status_code == 404
    await api.delete(f"/api/v1/pipelines/{made.id}")
    assert (await api.post(f"{path}/retry")).status_code == 404


async def test_what_is_changed_for_a_run_is_applied_shown_and_audited(
    api: httpx.AsyncClient, made: MadePipeline
) -> None:
    path = f"/api/v1/pipelines/{made.id}/runs"
    changed = {"steps": ["transform"], "full_refresh": True}
    run = (await api.post(path, json=changed)).json()
    assert {name: run["overrides"][name] for name in changed} == changed
    plan = (await api.get(f"/api/v1/runs/{run['id']}/plan")).json()["plan"]
    assert plan["stages"] == [["transform"]]
    assert plan["steps"][0]["step"]["full_refresh"] is True
    steps = (await api.get(f"/api/v1/runs/{run['id']}/steps")).json()["items"]
    assert {step["step_key"]: step["state"] for step in steps} == {
        "transform": "pending",
        "load": "skipped",
    }
    async with get_session(SYSTEM) as session:
        entry = await session.scalar(select(AuditLog).where(AuditLog.action == "run.triggered"))
        assert entry is not None and entry.new is not None
        assert entry.new["overrides"] == changed
    plain = (await api.post(path)).json()
    assert not any(plain["overrides"].values())


async def test_dbt_does_something_else_in_a_schema_of_ones_own(
    api: httpx.AsyncClient, made: MadePipeline, tenant: Tenant
) -> None:
    asked = {"command": "run", "select": ["orders+"], "defer": True, "threads": 3}
    run = (await api.post(f"/api/v1/pipelines/{made.id}/runs", json=asked)).json()
    assert {name: run["overrides"][name] for name in asked} == asked
    [planned] = (await api.get(f"/api/v1/runs/{run['id']}/plan")).json()["plan"]["steps"]
    assert planned["step"]["default_schema"] == f"dev_u{tenant.owner.user_id}"
    assert planned["production_schema"] == "analytics"
    assert (planned["step"]["command"], planned["step"]["threads"]) == ("run", 3)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"steps": ["load", "nope"]}, "steps.1"),
        ({"steps": []}, "steps"),
        ({"step": ["load"]}, "step"),
    ],
)
async def test_a_step_that_does_not_exist_is_named(
    api: httpx.AsyncClient, made: MadePipeline, body: dict[str, list[str]], field: str
) -> None:
    answer = await api.post(f"/api/v1/pipelines/{made.id}/runs", json=body)
    assert answer.status_code == 422
    problem = answer.json()
    fields = [problem.get("field"), *(one["field"] for one in problem.get("errors") or ())]
    assert field in fields, problem
