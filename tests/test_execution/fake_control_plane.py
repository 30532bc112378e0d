"""A control plane of one pipeline for the data plane's tests: the internal API, in memory."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from datanika.contracts.enums import WriteDisposition
from datanika.contracts.events import RunClaim, RunFinish
from datanika.contracts.plan import Plan, PlanLoad
from datanika.contracts.spec import ConnectionRef, LoadStep, RetryPolicy, TableSpec
from datanika.contracts.steps import ResolvedConnection, ResolvedLoad

WORKER_TOKEN = "worker-token-canary-4f1"
RUN_TOKEN = "run-token-canary-9c2"
PASSWORD = "p4ss-canary-77e"
RUN_ID = 7


def load_step(key: str, depends_on: tuple[str, ...] = (), **retry: Any) -> LoadStep:
    return LoadStep(
        key=key,
        source_id=1,
        destination_id=2,
        target_schema="raw",
        depends_on=depends_on,
        tables=(TableSpec(name="t", write_disposition=WriteDisposition.REPLACE),),
        retry=RetryPolicy(**{"retries": 1, "delay_seconds": 0, "timeout_seconds": 60, **retry}),
    )


def plan_of(steps: Sequence[LoadStep]) -> Plan:
    source = ConnectionRef(id=1, name="src", kind="postgres")
    destination = ConnectionRef(id=2, name="dst", kind="duckdb")
    return Plan(
        steps=tuple(PlanLoad(step=step, source=source, destination=destination) for step in steps),
        stages=tuple((step.key,) for step in steps),
    )


class FakeControlPlane:
    """Answers like ``api/internal.py``. ``down`` makes it say 503 to everything."""

    def __init__(self, steps: Sequence[LoadStep]) -> None:
        self.plan = plan_of(steps)
        self.url = ""
        self.down = False
        self.cancel_requested = False
        self.stale = False
        self.claims: list[dict[str, Any]] = []
        self.claimed_at: list[float] = []
        self.events: list[dict[str, Any]] = []
        self.first_started_at: float | None = None
        self.batches = 0
        self.finished: list[RunFinish] = []
        self.crashed: list[str] = []
        self.maintenance: list[str] = []
        self.refuse_claims = ""
        self.start_at: dt.datetime | None = None
        """Claims are too early until then."""

    def of_type(self, kind: str, step: str | None = None) -> list[dict[str, Any]]:
        return [
            event
            for event in self.events
            if event["type"] == kind and step in (None, event["step_key"])
        ]

    def step_states(self) -> dict[str, str]:
        return {event["step_key"]: event["state"] for event in self.of_type("step_finished")}

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/internal/v1/claims", self._claim, methods=["POST"]),
                Route("/internal/v1/maintenance/{job}", self._maintenance, methods=["POST"]),
                Route(
                    "/internal/v1/runs/by-flow-run/{id}/crashed", self._crashed, methods=["POST"]
                ),
                Route("/internal/v1/runs/{id:int}/plan", self._plan),
                Route("/internal/v1/runs/{id:int}/steps/{key}", self._step),
                Route("/internal/v1/runs/{id:int}/events", self._events, methods=["POST"]),
                Route("/internal/v1/runs/{id:int}/finish", self._finish, methods=["POST"]),
            ]
        )

    def _refuse(self, request: Request, token: str) -> JSONResponse | None:
        if self.down:
            return JSONResponse({"code": "unavailable"}, 503)
        if request.headers.get("authorization") != f"Bearer {token}":
            return JSONResponse({"code": "not_authenticated"}, 401)
        if self.stale and token == RUN_TOKEN:
            return JSONResponse({"code": "stale_attempt"}, 409)
        return None

    async def _claim(self, request: Request) -> JSONResponse:
        if refused := self._refuse(request, WORKER_TOKEN):
            return refused
        body = await request.json()
        self.claims.append(body)
        early = self.start_at is not None and dt.datetime.now(dt.UTC) < self.start_at
        claim = RunClaim(
            run_id=body["run_id"] or RUN_ID,
            org_id=body["org_id"],
            pipeline_id=body["pipeline_id"],
            attempt=len(self.claims),
            token=RUN_TOKEN,
            proceed=not self.refuse_claims and not early,
            reason=self.refuse_claims or None,
            start_at=self.start_at if early else None,
        )
        return JSONResponse(claim.model_dump(mode="json"))

    async def _plan(self, request: Request) -> JSONResponse:
        refused = self._refuse(request, RUN_TOKEN)
        return refused or JSONResponse(self.plan.model_dump(mode="json"))

    async def _step(self, request: Request) -> JSONResponse:
        if refused := self._refuse(request, RUN_TOKEN):
            return refused
        planned = self.plan.get(request.path_params["key"])
        assert isinstance(planned, PlanLoad)
        secret = {"config": {"password": PASSWORD}, "secret_fields": ("password",)}
        resolved = ResolvedLoad(
            run_id=request.path_params["id"],
            attempt=len(self.claims),
            pipeline_key="p1",
            step=planned.step,
            source=ResolvedConnection(id=1, name="src", kind="postgres", **secret),
            destination=ResolvedConnection(id=2, name="dst", kind="duckdb", config={}),
        )
        return JSONResponse(resolved.model_dump(mode="json"))

    async def _events(self, request: Request) -> JSONResponse:
        if refused := self._refuse(request, RUN_TOKEN):
            return refused
        events = (await request.json())["events"]
        self.batches += 1
        if self.first_started_at is None and any(e["type"] == "step_started" for e in events):
            self.first_started_at = asyncio.get_running_loop().time()
        self.events.extend(events)
        return JSONResponse({"cancel_requested": self.cancel_requested})

    async def _finish(self, request: Request) -> JSONResponse:
        if refused := self._refuse(request, RUN_TOKEN):
            return refused
        self.finished.append(RunFinish.model_validate(await request.json()))
        return JSONResponse({})

    async def _crashed(self, request: Request) -> JSONResponse:
        if refused := self._refuse(request, WORKER_TOKEN):
            return refused
        self.crashed.append((await request.json())["message"])
        return JSONResponse({})

    async def _maintenance(self, request: Request) -> JSONResponse:
        if refused := self._refuse(request, WORKER_TOKEN):
            return refused
        self.maintenance.append(request.path_params["job"])
        return JSONResponse({"closed": 0})


@contextlib.asynccontextmanager
async def serve(plane: FakeControlPlane) -> AsyncIterator[FakeControlPlane]:
    """``plane`` on a free port of 127.0.0.1, in this event loop."""
    async with serve_app(plane.app()) as plane.url:
        yield plane


@contextlib.asynccontextmanager
async def serve_app(app: Any) -> AsyncIterator[str]:
    """An ASGI application on a free port of 127.0.0.1, in this event loop; its URL."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    # The test run owns the signals.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        listener.close()
