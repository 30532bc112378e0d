"""Metrics are for the operator, cost next to nothing, and say nothing about any tenant."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from datanika.api.metrics import RequestMetrics
from datanika.api.routes import RouteTable
from datanika.config import settings
from datanika.contracts.enums import RunState
from datanika.db import SYSTEM, dispose_engine, get_session
from datanika.models import Run
from datanika.services.run_lifecycle import close_run
from datanika.services.run_service import RunService
from tests.support.application import application
from tests.support.net import free_port
from tests.support.pipelines import make_pipeline
from tests.support.tenants import Tenant
from tests.test_api.conftest import Connect

LABELS = {
    "method",
    "route",
    "status",
    "state",
    "outcome",
    "kind",
    "le",
    "version",
    "python",
    "reason",
}


def client_at(address: str, **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(application(), client=(address, 1234))
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", headers=headers)


def value(text: str, name: str, **labels: str) -> float:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return float(sample.value)
    return 0.0


@pytest.mark.parametrize(
    ("address", "status"),
    [("127.0.0.1", 200), ("::1", 200), ("::ffff:127.0.0.1", 200), ("10.1.2.3", 403), ("", 403)],
)
async def test_without_a_token_only_this_machine_may_ask(
    database: str, address: str, status: int
) -> None:
    answer = await client_at(address).get("/metrics")
    assert answer.status_code == status
    assert ("datanika_build_info" in answer.text) is (status == 200)


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
async def test_a_proxy_on_this_machine_does_not_speak_for_it(database: str, header: str) -> None:
    answer = await client_at("127.0.0.1", **{header: "for=203.0.113.9"}).get("/metrics")
    assert (answer.status_code, answer.json()["code"]) == (403, "metrics_local_only")


async def test_with_a_token_nobody_gets_in_without_it(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "metrics_token", SecretStr("let-me-scrape"))
    for bearer, status in (("let-me-scrape", 200), ("let-me-scrapf", 401), ("", 401)):
        client = client_at("10.1.2.3", Authorization=f"Bearer {bearer}")
        assert (await client.get("/metrics")).status_code == status
    assert (await client_at("127.0.0.1").get("/metrics")).status_code == 401


async def test_requests_are_counted_by_template_and_no_label_names_anybody(
    connect: Connect, tenant: Tenant
) -> None:
    api = connect(tenant.owner)
    made = await make_pipeline(tenant.owner)
    route = "/api/v1/pipelines/{pipeline_id}"
    before = (await connect().get("/metrics")).text
    assert (await api.get(f"/api/v1/pipelines/{made.id}")).status_code == 200
    assert (await api.get("/api/v1/pipelines/999999")).status_code == 404
    assert (await api.get("/api/v1/nothing/at/all")).status_code == 404
    await api.request("WEIRD", "/api/v1/runs")
    text = (await connect().get("/metrics")).text

    def grown(name: str = "datanika_http_requests_total", **labels: str) -> float:
        return value(text, name, **labels) - value(before, name, **labels)

    assert grown(method="GET", route=route, status="200") == 1
    assert grown(method="GET", route=route, status="404") == 1
    assert grown(method="GET", route="other", status="404") == 1
    assert grown(method="other", route="other", status="405") == 1
    assert grown("datanika_http_request_seconds_count", method="GET", route=route) == 2
    labels = {
        label
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        for label in sample.labels
    }
    assert labels <= LABELS
    assert "WEIRD" not in text and "999999" not in text


async def test_runs_and_their_queue_are_figures(connect: Connect, tenant: Tenant) -> None:
    made = await make_pipeline(tenant.owner)
    finished = "datanika_runs_finished_total"
    before = (await connect().get("/metrics")).text
    async with get_session(tenant.owner.scope) as session:
        run_id = (await RunService(session, tenant.owner).trigger(made.id, "k")).id
    text = (await connect().get("/metrics")).text
    queued = "datanika_runs"
    assert value(text, queued, state="queued") == value(before, queued, state="queued") + 1
    assert value(text, "datanika_queue_age_seconds") > 0
    # Nobody started Prefect for this test.
    assert value(text, "datanika_queue_runs", reason="prefect_unavailable") == 1
    assert value(text, "datanika_queue_wait_seconds", reason="prefect_unavailable") > 0
    assert value(text, "datanika_queue_runs", reason="waits_for_run") == 0
    assert value(text, "datanika_database_up") == 1
    assert value(text, "datanika_database_connections_max") == 30
    with pytest.raises(ZeroDivisionError):
        async with get_session(SYSTEM) as session:
            await close_run(session, await session.get_one(Run, run_id), RunState.CANCELLED)
            raise ZeroDivisionError
    text = (await connect().get("/metrics")).text
    assert value(text, finished, state="cancelled") == value(before, finished, state="cancelled")
    async with get_session(SYSTEM) as session:
        await close_run(session, await session.get_one(Run, run_id), RunState.CANCELLED)
    text = (await connect().get("/metrics")).text
    assert (
        value(text, finished, state="cancelled") == value(before, finished, state="cancelled") + 1
    )


@pytest.fixture
async def no_database(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    await dispose_engine()
    away = f"postgresql://nobody:x@127.0.0.1:{free_port()}/nothing"
    monkeypatch.setattr(settings, "database_url", SecretStr(away))
    yield
    await dispose_engine()


async def test_without_a_database_there_are_still_metrics(no_database: None) -> None:
    answer = await client_at("127.0.0.1").get("/metrics")
    assert answer.status_code == 200
    assert value(answer.text, "datanika_database_up") == 0


async def test_counting_a_request_costs_less_than_fifty_microseconds() -> None:
    async def nothing(scope, receive, send):  # type: ignore[no-untyped-def]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: object) -> None:
        """The server's end."""

    counted = RequestMetrics(nothing, RouteTable())
    scope = {"type": "http", "path": "/api/v1/runs", "method": "GET"}

    async def best(app) -> float:  # type: ignore[no-untyped-def]
        times = []
        for _ in range(20):
            began = time.perf_counter()
            for _ in range(200):
                await app(scope, None, send)
            times.append((time.perf_counter() - began) / 200)
        return min(times)

    cost = await best(counted) - await best(nothing)
    print(f"metrics cost {cost * 1e6:.1f} us a request")
    assert cost < 50e-6
