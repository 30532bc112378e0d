"""What a worker tells whoever watches it."""

from __future__ import annotations

import httpx

from datanika.execution.worker_status import WorkerMetrics, status_server


async def test_health_and_metrics_are_served() -> None:
    metrics = WorkerMetrics()
    metrics.forks.inc()
    wrong: str | None = None
    async with (
        status_server(0, "127.0.0.1", metrics, lambda: wrong) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        assert (await client.get("/healthz")).text == "ok"
        wrong = "Prefect has not answered a poll for a while."
        answer = await client.get("/healthz")
        assert (answer.status_code, answer.text) == (503, wrong)
        assert "datanika_worker_forks_total 1.0" in (await client.get("/metrics")).text


async def test_without_a_port_nothing_is_served() -> None:
    async with status_server(None, "127.0.0.1", WorkerMetrics(), lambda: None) as port:
        assert port is None
