"""What a worker tells whoever watches it: ``/healthz`` and ``/metrics`` on a port of its own.

Labels are closed vocabularies: never a tenant, a name or an id.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Callable
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.process_collector import ProcessCollector

_START_BUCKETS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class WorkerMetrics:
    """One worker's figures since it started."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.active = Gauge(
            "datanika_worker_active_runs", "Runs at this moment.", registry=self.registry
        )
        self.limit = Gauge(
            "datanika_worker_limit", "Runs that may be active at once.", registry=self.registry
        )
        self.forks = Counter(
            "datanika_worker_forks_total", "Processes forked for runs.", registry=self.registry
        )
        self.fork_servers = Counter(
            "datanika_worker_fork_servers_total",
            "Fork servers started: the first, and one for each recycling, upgrade or crash.",
            registry=self.registry,
        )
        self.ended = Counter(
            "datanika_worker_runs_total",
            "Runs that ended here: closed, refused, postponed, crashed.",
            ("end",),
            registry=self.registry,
        )
        self.queue_age = Gauge(
            "datanika_worker_queue_age_seconds",
            "How long the oldest due run that was seen at the last poll has waited.",
            registry=self.registry,
        )
        self.start = Histogram(
            "datanika_worker_start_seconds",
            "From the time that a run was due until its process had its job.",
            buckets=_START_BUCKETS,
            registry=self.registry,
        )
        self.poll = Gauge(
            "datanika_worker_last_poll_timestamp_seconds",
            "When Prefect last answered a poll.",
            registry=self.registry,
        )


def seconds_since(moment: dt.datetime | None) -> float:
    """How long ago; 0 for none, and for the future."""
    if moment is None:
        return 0.0
    return max(0.0, (dt.datetime.now(dt.UTC) - moment).total_seconds())


@contextlib.asynccontextmanager
async def status_server(
    port: int | None, host: str, metrics: WorkerMetrics, problem: Callable[[], str | None]
) -> AsyncIterator[int | None]:
    """Serve until the block ends, and yield the port: 0 takes a free one, None serves nothing.

    ``problem`` says what is wrong with the worker: then ``/healthz`` answers 503 with it.
    """
    if port is None:
        yield None
        return
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Route

    async def healthz(_: Request) -> Response:
        wrong = problem()
        return PlainTextResponse(wrong or "ok", 503 if wrong else 200)

    async def show(_: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    app = Starlette(routes=[Route("/healthz", healthz), Route("/metrics", show)])
    config = uvicorn.Config(app, host=host, port=port, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    # The worker has signal handlers of its own.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    serving = asyncio.create_task(server.serve())
    try:
        while not server.started and not serving.done():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        if serving.done():
            serving.result()
        sockets: list[Any] = [one for each in server.servers for one in each.sockets]
        yield int(sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        await serving
