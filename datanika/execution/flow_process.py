"""One flow run in its own process: forked clean, then told its secrets over a pipe.

The order is the protection. The engine host is forked off first, while this process knows
nothing; only then does the job arrive, with the Prefect credentials and the run's token. So no
process that runs tenant work ever held a secret of the platform.

The channel is a stream socket of JSON lines. The worker writes the :class:`FlowJob`, this process
writes a :class:`FlowReport`; end of file in either direction means that the other one died.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import logging
import socket
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field

from datanika.contracts.base import Contract
from datanika.contracts.enums import RunState
from datanika.contracts.events import RunClaim, RunFinish
from datanika.errors import DatanikaError
from datanika.execution.internal_api import InternalApi, WorkerApi
from datanika.execution.run_client import RunClient, StopReason
from datanika.execution.run_session import EngineHost, RunSession, use_session, use_worker_api
from datanika.execution.sandbox import StepLimits, harden

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

logger = logging.getLogger(__name__)

PREFECT_POLL_SECONDS = 5.0
"""How soon a cancel in the Prefect UI is seen."""
DRAIN_SECONDS = 10.0
PREFECT_RETRIES = 6
"""Prefect's client waits 2, 4, 8 … seconds between tries: together about two minutes."""

BROKEN = "broken"
"""In place of a state: the flow did not come far enough for Prefect to know how it ended."""
PREFECT_AWAY = "prefect away"
"""In place of a state: Prefect stopped answering, and the flow could not go on without it."""
CANCELLED = "cancelled"
_UNFINISHED = {
    BROKEN: "The run ended because of an error inside Datanika.",
    "failed": "The run ended because of an error inside Datanika.",
    PREFECT_AWAY: "Prefect stopped answering.",
    "crashed": "Prefect stopped answering.",
}
"""What is said of an attempt whose flow ended in a state without closing its run."""
TENANT_FLOW = "tenant-pipeline"
FLOWS = {
    TENANT_FLOW: "flows.tenant_pipeline:tenant_pipeline",
    "datanika-reconcile": "flows.maintenance:reconcile",
    "datanika-sweep": "flows.maintenance:sweep",
    "datanika-retention": "flows.maintenance:retention",
}
"""The only code a Datanika worker runs. A deployment's own entry point, pull steps, command and
environment are not looked at, so whoever can write to Prefect cannot run code on a worker."""


class FlowJob(Contract):
    """What a flow process has to know, credentials included; it only ever travels on a pipe."""

    flow_name: str
    flow_run: dict[str, Any] = Field(description="Prefect's flow run as JSON.")
    prefect_api_url: str
    prefect_auth_string: str | None = Field(repr=False)
    internal_url: str
    claim: RunClaim | None = Field(default=None, description="Tenant flows only.")
    worker_token: str | None = Field(default=None, repr=False, description="Maintenance only.")
    limits: StepLimits = Field(default_factory=StepLimits, description="Of each engine child.")


class FlowReport(Contract):
    """How a flow process ended. ``closed``: the control plane knows the end of the run."""

    closed: bool
    state: str
    message: str = ""


def main(channel: socket.socket, host: EngineHost | None) -> int:
    """Run one job from ``channel``; the process' exit code."""
    # Tenant code may run as the same user: it must not read this process' memory.
    harden()
    line = channel.makefile("rb", buffering=0).readline()
    if not line:
        return 0
    job = FlowJob.model_validate_json(line)
    report = asyncio.run(_execute(job, channel, host))
    drain_prefect()
    with contextlib.suppress(OSError):
        channel.setblocking(True)
        channel.sendall(report.model_dump_json().encode() + b"\n")
    return 0 if report.closed else 1


async def _execute(job: FlowJob, channel: socket.socket, host: EngineHost | None) -> FlowReport:
    from prefect import settings

    # The environment was read when prefect was imported, long before this job existed.
    updates: dict[Any, Any] = {
        settings.PREFECT_API_URL: job.prefect_api_url,
        settings.PREFECT_API_AUTH_STRING: job.prefect_auth_string,
        settings.PREFECT_CLIENT_MAX_RETRIES: PREFECT_RETRIES,
        settings.PREFECT_CLIENT_CSRF_SUPPORT_ENABLED: False,
        settings.PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False,
        settings.PREFECT_LOGGING_LEVEL: "INFO",
    }
    with settings.temporary_settings(updates):
        if job.flow_name == TENANT_FLOW:
            return await _run_pipeline(job, channel, host)
        return await _run_maintenance(job)


async def _run_pipeline(
    job: FlowJob, channel: socket.socket, host: EngineHost | None
) -> FlowReport:
    if job.claim is None or host is None:
        raise ValueError("A tenant flow needs a claim and an engine host.")
    async with (
        InternalApi(job.internal_url, job.claim.token) as api,
        RunClient(job.claim, api) as client,
    ):
        watchers = [
            asyncio.create_task(_watch_worker(channel, client)),
            asyncio.create_task(_watch_prefect(str(job.flow_run["id"]), client)),
        ]
        try:
            with use_session(RunSession(client, host, job.limits)):
                state = await _run_flow(job)
            if not client.finished and state == CANCELLED:
                await _close_cancelled(client)
        finally:
            for watcher in watchers:
                watcher.cancel()
        # A flow that could not say how its run ended has lost its attempt, and not the run: the
        # launcher reports it as crashed.
        closed = client.finished or client.stop_reason is StopReason.SUPERSEDED
        message = _UNFINISHED.get(state, "") if not closed else ""
        return FlowReport(closed=closed, state=state, message=message)


async def _run_maintenance(job: FlowJob) -> FlowReport:
    if job.worker_token is None:
        raise ValueError("Maintenance needs the worker's token.")
    async with InternalApi(job.internal_url, job.worker_token) as api:
        with use_worker_api(WorkerApi(api)):
            return FlowReport(closed=True, state=await _run_flow(job))


async def _run_flow(job: FlowJob) -> str:
    """Let Prefect's engine run the flow run; the name of the state it ended in."""
    from prefect.client.schemas.objects import FlowRun
    from prefect.exceptions import Abort, Pause
    from prefect.flow_engine import run_flow

    module, _, name = FLOWS[job.flow_name].partition(":")
    flow = getattr(importlib.import_module(module), name)
    flow_run = FlowRun.model_validate(job.flow_run)
    try:
        running = cast(
            "Awaitable[State[Any]]", run_flow(flow, flow_run=flow_run, return_type="state")
        )
        state = await running
    except (Abort, Pause):
        # Prefect refused to start it: most likely it was cancelled a moment ago.
        return CANCELLED
    except Exception as error:
        # Prefect already has the failure. The text may quote anything: only the type is logged.
        logger.error("Flow run %s ended with %s", job.flow_run["id"], type(error).__name__)
        return PREFECT_AWAY if _is_prefect_away(error) else BROKEN
    return str(state.type.value).lower()


def _is_prefect_away(error: BaseException) -> bool:
    """Whether Prefect could not be reached, or was starting or stopping."""
    import httpx

    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= 500
    wrapped = isinstance(error, RuntimeError) and "Failed to reach API" in str(error)
    return wrapped or isinstance(error, httpx.TransportError)


async def _close_cancelled(client: RunClient) -> None:
    """Close a run whose flow Prefect refused to start: it was cancelled there."""
    if client.stop_reason in (StopReason.WORKER_GONE, StopReason.SUPERSEDED):
        return
    with contextlib.suppress(DatanikaError):
        await client.finish(RunFinish(state=RunState.CANCELLED))


async def _watch_worker(channel: socket.socket, client: RunClient) -> None:
    """The channel ends when the worker dies: then this process must not live on."""
    channel.setblocking(False)
    with contextlib.suppress(OSError):
        while await asyncio.get_running_loop().sock_recv(channel, 1024):
            pass
    client.stop(StopReason.WORKER_GONE)


async def _watch_prefect(flow_run_id: str, client: RunClient) -> None:
    """A run that somebody cancels in Prefect is cancelled here too."""
    from uuid import UUID

    from prefect.client.orchestration import get_client

    async with get_client() as prefect:
        while True:
            await asyncio.sleep(PREFECT_POLL_SECONDS)
            try:
                flow_run = await prefect.read_flow_run(UUID(flow_run_id))
            except Exception as error:
                logger.warning("Prefect does not answer: %s", type(error).__name__)
                continue
            state = flow_run.state
            if state is not None and (state.is_cancelling() or state.is_final()):
                client.stop(StopReason.CANCELLED)
                return


def drain_prefect() -> None:
    """Send Prefect the log lines and task states that its threads still hold."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    EventsWorker.drain_all(timeout=DRAIN_SECONDS)
    APILogWorker.drain_all(timeout=DRAIN_SECONDS)


def read_report(line: bytes) -> FlowReport | None:
    """The report in a line of the channel; None when the process died without one."""
    try:
        return FlowReport.model_validate(json.loads(line))
    except ValueError:
        return None
