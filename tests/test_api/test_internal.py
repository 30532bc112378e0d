"""The workers' API: who may ask what with which token, and a run's way through it."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from datanika.config import settings
from datanika.contracts.enums import RunState, StepState
from datanika.contracts.events import NodeFinished, RunFinish, StepFinished, StepStarted
from datanika.db import SYSTEM, get_session
from datanika.models import AuditLog, Run, RunStep
from datanika.security import create_run_token
from tests.support.pipelines import CANARY, MadePipeline, make_pipeline
from tests.support.tenants import Tenant, access_token
from tests.test_api.conftest import Connect

RUN_ROUTES = [("GET", "plan"), ("GET", "steps/load"), ("POST", "events"), ("POST", "finish")]
WORKER_ROUTES = [
    "claims",
    "maintenance/reconcile",
    "maintenance/retention",
    "maintenance/sweep",
    "runs/by-flow-run/00000000-0000-4000-8000-000000000000/crashed",
]


@pytest.fixture
async def made(tenant: Tenant) -> MadePipeline:
    return await make_pipeline(tenant.owner)


@pytest.fixture
def worker(connect: Connect, database: str) -> httpx.AsyncClient:
    return connect(bearer=settings.require("worker_token"))


async def start(
    api: httpx.AsyncClient, worker: httpx.AsyncClient, made: MadePipeline, tenant: Tenant
) -> dict[str, Any]:
    """Trigger and claim a run: the claim."""
    run = (await api.post(f"/api/v1/pipelines/{made.id}/runs")).json()
    body = {
        "flow_run_id": str(uuid.uuid4()),
        "org_id": tenant.org_id,
        "pipeline_id": made.id,
        "run_id": run["id"],
    }
    answer = await worker.post("/internal/v1/claims", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json()) | {"flow_run_id": body["flow_run_id"]}


def dumped(*events: Any) -> dict[str, Any]:
    return {"events": [event.model_dump(mode="json") for event in events]}


async def test_a_run_goes_its_way(
    api: httpx.AsyncClient,
    worker: httpx.AsyncClient,
    connect: Connect,
    made: MadePipeline,
    tenant: Tenant,
) -> None:
    claim = await start(api, worker, made, tenant)
    flow = connect(bearer=claim["token"])
    path = f"/internal/v1/runs/{claim['run_id']}"
    plan = (await flow.get(f"{path}/plan")).json()
    assert [step["step"]["key"] for step in plan["steps"]] == ["load", "transform"]
    step = (await flow.get(f"{path}/steps/load")).json()
    assert step["destination"]["config"]["password"] == CANARY
    node = NodeFinished(
        step_key="load", node="raw.orders", name="orders\0", resource_type="table",
        state=StepState.SUCCEEDED, rows=3, relation="raw.orders", details={"note": "a\0b"},
    )  # fmt: skip
    answer = await flow.post(
        f"{path}/events",
        json=dumped(
            StepStarted(step_key="load", attempt=1),
            node,
            StepFinished(step_key="load", state=StepState.SUCCEEDED, rows=3),
        ),
    )
    assert answer.json() == {"cancel_requested": False}, answer.text
    public = f"/api/v1/runs/{claim['run_id']}"
    assert (await api.get(public)).json()["state"] == "running"
    assert (await api.post(f"{public}/cancel")).json()["state"] == "cancelling"
    heartbeat = await flow.post(f"{path}/events", json={"events": []})
    assert heartbeat.json() == {"cancel_requested": True}
    end = RunFinish(state=RunState.CANCELLED).model_dump(mode="json")
    assert (await flow.post(f"{path}/finish", json=end)).status_code == 200
    run = (await api.get(public)).json()
    assert (run["state"], run["rows"], run["attempt"]) == ("cancelled", 3, 1)
    late = await flow.post(f"{path}/events", json={"events": []})
    assert (late.status_code, late.json()["code"]) == (409, "stale_attempt")
    catalog = (await api.get("/api/v1/catalog")).json()["items"]
    assert [(entry["schema_name"], entry["name"]) for entry in catalog] == [("raw", "orders")]


@pytest.mark.parametrize(("method", "route"), RUN_ROUTES)
async def test_a_run_is_open_to_its_own_token_only(
    api: httpx.AsyncClient,
    worker: httpx.AsyncClient,
    connect: Connect,
    made: MadePipeline,
    tenant: Tenant,
    method: str,
    route: str,
) -> None:
    claim = await start(api, worker, made, tenant)
    run_id, org_id = claim["run_id"], tenant.org_id
    path = f"/internal/v1/runs/{run_id}/{route}"
    expired = create_run_token(run_id, org_id, 1, dt.timedelta(seconds=-60))
    wrong = {
        None: 401,
        "nonsense": 401,
        settings.require("worker_token"): 401,
        access_token(tenant.owner): 401,
        expired: 401,
        create_run_token(run_id + 1, org_id, 1): 403,
        create_run_token(run_id, org_id + 1, 1): 409,
        create_run_token(run_id, org_id, 2): 409,
    }
    body = {"events": []} if route == "events" else {"state": "succeeded"}
    for token, status in wrong.items():
        answer = await connect(bearer=token).request(
            method, path, json=body if method == "POST" else None
        )
        assert answer.status_code == status, (token, answer.text)
        assert CANARY not in answer.text


@pytest.mark.parametrize("route", WORKER_ROUTES)
async def test_the_workers_routes_are_open_to_the_workers_token_only(
    connect: Connect, tenant: Tenant, route: str
) -> None:
    for token in (
        None,
        "nonsense",
        access_token(tenant.owner),
        create_run_token(1, tenant.org_id, 1),
    ):
        answer = await connect(bearer=token).post(f"/internal/v1/{route}", json={})
        assert answer.status_code == 401, (token, answer.text)


async def test_a_run_token_opens_nothing_public(connect: Connect, tenant: Tenant) -> None:
    flow = connect(bearer=create_run_token(1, tenant.org_id, 1))
    assert (await flow.get("/api/v1/runs")).status_code == 401


async def test_a_crash_gives_the_run_another_attempt_until_there_are_none(
    api: httpx.AsyncClient,
    worker: httpx.AsyncClient,
    made: MadePipeline,
    tenant: Tenant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "max_attempts", 2)
    claim = await start(api, worker, made, tenant)
    body = {
        "flow_run_id": claim["flow_run_id"],
        "org_id": tenant.org_id,
        "pipeline_id": made.id,
        "run_id": claim["run_id"],
    }
    states = []
    for _ in range(2):
        crash = f"/internal/v1/runs/by-flow-run/{body['flow_run_id']}/crashed"
        answer = await worker.post(crash, json={"message": "It was killed by signal 9."})
        assert answer.json() == {"run_id": claim["run_id"]}
        run = (await api.get(f"/api/v1/runs/{claim['run_id']}")).json()
        states.append((run["state"], run["flow_run_id"] is None, run["error_code"]))
        body["flow_run_id"] = str(uuid.uuid4())
        await worker.post("/internal/v1/claims", json=body)
    assert states == [("queued", True, None), ("failed", False, "run_lost")]
    assert "signal 9" in run["error_message"]
    again = await worker.post(crash, json={"message": "twice"})
    assert again.json() == {"run_id": None}


async def test_a_scheduled_run_is_in_the_audit_log(
    worker: httpx.AsyncClient, made: MadePipeline, tenant: Tenant
) -> None:
    body = {
        "flow_run_id": str(uuid.uuid4()),
        "org_id": tenant.org_id,
        "pipeline_id": made.id,
        "run_id": None,
    }
    claim = (await worker.post("/internal/v1/claims", json=body)).json()
    async with get_session(SYSTEM) as session:
        entry = await session.scalar(
            select(AuditLog).where(
                AuditLog.resource_type == "run", AuditLog.resource_id == claim["run_id"]
            )
        )
    assert entry is not None
    assert (entry.actor, entry.action) == ("scheduler", "run.triggered")


async def test_events_that_are_none_are_refused_without_being_quoted(
    api: httpx.AsyncClient,
    worker: httpx.AsyncClient,
    connect: Connect,
    made: MadePipeline,
    tenant: Tenant,
) -> None:
    claim = await start(api, worker, made, tenant)
    path = f"/internal/v1/runs/{claim['run_id']}/events"
    answer = await connect(bearer=claim["token"]).post(
        path, json={"events": [{"type": "no-such-type", "step_key": CANARY}]}
    )
    assert answer.status_code == 422
    assert CANARY not in answer.text


async def test_retention_deletes_old_log_lines_only(
    api: httpx.AsyncClient,
    worker: httpx.AsyncClient,
    connect: Connect,
    made: MadePipeline,
    tenant: Tenant,
) -> None:
    ids = []
    for _ in range(2):
        claim = await start(api, worker, made, tenant)
        flow = connect(bearer=claim["token"])
        path = f"/internal/v1/runs/{claim['run_id']}"
        log = {"type": "log", "step_key": "load", "message": "hello"}
        assert (await flow.post(f"{path}/events", json={"events": [log]})).status_code == 200
        await flow.post(f"{path}/finish", json={"state": "succeeded"})
        ids.append(claim["run_id"])
    async with get_session(SYSTEM) as session:
        old = await session.get_one(Run, ids[0])
        old.finished_at = dt.datetime.now(dt.UTC) - dt.timedelta(days=91)
    answer = await worker.post("/internal/v1/maintenance/retention")
    assert answer.json()["log_lines"] == 1
    left = [len((await api.get(f"/api/v1/runs/{i}/logs")).json()["items"]) for i in ids]
    assert left == [0, 1]
    async with get_session(SYSTEM) as session:
        assert (await session.scalars(select(RunStep).where(RunStep.run_id == ids[0]))).all()
