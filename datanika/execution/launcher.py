"""From a flow run of Prefect to a process that runs it: claim, fork, hand over, wait, report."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from datanika.contracts.base import Contract
from datanika.contracts.events import RunClaim
from datanika.errors import DatanikaError, Unavailable
from datanika.execution.flow_process import BROKEN, FLOWS, PREFECT_AWAY, TENANT_FLOW, FlowJob
from datanika.execution.fork_client import FlowProcess, ForkServerClient
from datanika.execution.internal_api import InternalApi, WorkerApi
from datanika.execution.sandbox import StepLimits
from datanika.execution.worker_settings import WorkerSettings

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import State

logger = logging.getLogger(__name__)

POSTPONE_SECONDS = 5.0
EARLY_SECONDS = 10.0
"""Prefect's own workers start so much before the time."""
STOP_SECONDS = 10.0
"""How long a stopped flow process may take to kill its engine and tell Prefect."""


class LaunchEnd(StrEnum):
    CLOSED = "closed"
    """The control plane knows how the run ended."""
    REFUSED = "refused"
    """There was nothing to run: the run is over, or somebody else has it."""
    POSTPONED = "postponed"
    """It could not be started now: worker stopping, or control plane or fork server away."""
    CRASHED = "crashed"
    """The process died, or was stopped, with its run open; the control plane was told."""


class LaunchResult(Contract):
    end: LaunchEnd
    message: str = ""
    pid: int = 0
    start_at: dt.datetime | None = None
    """Of a postponed one: when to try again, if not soon."""


class Launcher:
    """Runs flow runs in forked processes, each as of now and with its own claim."""

    def __init__(self, settings: WorkerSettings, server: ForkServerClient) -> None:
        self._settings = settings
        self._server = server
        self._running: set[FlowProcess] = set()
        self._count = 0
        self._organizations: Counter[int] = Counter()
        self._stopped = False
        self.idle = asyncio.Event()
        self.idle.set()

    @property
    def running(self) -> int:
        """Flow runs at this moment, those being started included."""
        return self._count

    @property
    def organizations(self) -> Mapping[int, int]:
        """Of :attr:`running`, how many are of each organisation."""
        return self._organizations

    def problem(self) -> str | None:
        """What keeps runs from being started; None when nothing does."""
        if self._stopped:
            return "The worker is stopping."
        return self._server.problem()

    async def run(
        self,
        flow_name: str,
        flow_run: dict[str, Any],
        started: Callable[[int], None] = lambda pid: None,
    ) -> LaunchResult:
        """Run one flow run to its end. ``flow_run`` is Prefect's, as JSON.

        :raises DatanikaError: the control plane refused the claim.
        """
        if flow_name not in FLOWS:
            return LaunchResult(end=LaunchEnd.REFUSED, message=f"No such flow: {flow_name}.")
        if self._stopped:
            return LaunchResult(end=LaunchEnd.POSTPONED, message="The worker is stopping.")
        self._count += 1
        organization = flow_run["parameters"].get("org_id")
        self._organizations[organization] += 1
        self.idle.clear()
        try:
            return await self._launch(flow_name, flow_run, started)
        except Unavailable as error:
            return LaunchResult(end=LaunchEnd.POSTPONED, message=error.message)
        finally:
            self._count -= 1
            self._organizations[organization] -= 1
            self._organizations = +self._organizations
            if self._count == 0:
                self.idle.set()

    async def stop_all(self) -> None:
        """End every run now; each goes back to the control plane as crashed."""
        self._stopped = True
        for process in self._running:
            process.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self.idle.wait()
        for process in self._running:
            process.kill()

    async def kill(self, pid: int) -> bool:
        """End the flow process ``pid``; False when there is none."""
        for process in self._running:
            if process.pid == pid:
                process.stop()
                return True
        return False

    async def _launch(
        self, flow_name: str, flow_run: dict[str, Any], started: Callable[[int], None]
    ) -> LaunchResult:
        async with self._api(self._settings.worker_token.get_secret_value()) as api:
            worker_api = WorkerApi(api)
            engine = flow_name == TENANT_FLOW
            forking = asyncio.create_task(self._server.fork(engine=engine))
            try:
                claim = await self._claim_in_time(worker_api, flow_run) if engine else None
                process = await forking
            except BaseException:
                await _abandon(forking)
                raise
            if claim is not None and not claim.proceed:
                process.close()
                reason = claim.reason or "The run is over."
                end = LaunchEnd.REFUSED if claim.start_at is None else LaunchEnd.POSTPONED
                return LaunchResult(end=end, message=reason, start_at=claim.start_at)
            job = self._job(flow_name, flow_run, claim)
            return await self._run_in(process, worker_api, job, started)

    async def _run_in(
        self,
        process: FlowProcess,
        worker_api: WorkerApi,
        job: FlowJob,
        started: Callable[[int], None],
    ) -> LaunchResult:
        self._running.add(process)
        try:
            with contextlib.suppress(ConnectionError):
                await process.start(job)
            started(process.pid)
            end = await process.wait()
        finally:
            self._running.discard(process)
            process.close()
        if end.report is not None and end.report.closed:
            return LaunchResult(end=LaunchEnd.CLOSED, message=end.report.state, pid=process.pid)
        message = end.describe()
        logger.warning("Flow run %s: %s", job.flow_run["id"], message)
        if job.claim is not None:
            try:
                await worker_api.crashed(job.flow_run["id"], message)
            except DatanikaError as error:
                # The lease tells the reconciler the same a little later.
                logger.error("Could not report a crash: %s", error.code)
        return LaunchResult(end=LaunchEnd.CRASHED, message=message, pid=process.pid)

    async def _claim_in_time(self, worker_api: WorkerApi, flow_run: dict[str, Any]) -> RunClaim:
        """The claim; what is only a little early waits here, and need not be scheduled again."""
        claim = await self._claim(worker_api, flow_run)
        if claim.start_at is not None:
            early = (claim.start_at - dt.datetime.now(dt.UTC)).total_seconds()
            if early <= EARLY_SECONDS:
                await asyncio.sleep(max(0.0, early) + 0.05)
                claim = await self._claim(worker_api, flow_run)
        return claim

    async def _claim(self, worker_api: WorkerApi, flow_run: dict[str, Any]) -> RunClaim:
        parameters = flow_run["parameters"]
        run_id = parameters.get("run_id")
        return await worker_api.claim(
            flow_run["id"],
            org_id=int(parameters["org_id"]),
            pipeline_id=int(parameters["pipeline_id"]),
            run_id=None if run_id is None else int(run_id),
            # One that somebody started in Prefect has no time that a schedule meant.
            scheduled_for=flow_run["expected_start_time"] if flow_run["auto_scheduled"] else None,
        )

    def _job(self, flow_name: str, flow_run: dict[str, Any], claim: RunClaim | None) -> FlowJob:
        settings = self._settings
        auth = settings.prefect_auth_string
        return FlowJob(
            flow_name=flow_name,
            flow_run=flow_run,
            prefect_api_url=settings.prefect_api_url,
            prefect_auth_string=auth.get_secret_value() if auth else None,
            internal_url=settings.internal_url,
            claim=claim,
            worker_token=None if claim else settings.worker_token.get_secret_value(),
            limits=StepLimits(
                memory_mb=settings.step_memory_mb, cpu_seconds=settings.step_cpu_seconds
            ),
        )

    def _api(self, token: str) -> InternalApi:
        return InternalApi(self._settings.internal_url, token, patience=60.0)


async def settle(prefect: PrefectClient, flow_run_id: UUID, result: LaunchResult) -> None:
    """Give Prefect the state that the flow process could not, or was not there to, propose."""
    from prefect.exceptions import Abort, ObjectNotFound
    from prefect.states import Cancelled, Crashed, Scheduled
    from prefect.utilities.engine import propose_state

    state: State[Any]
    try:
        if result.end is LaunchEnd.REFUSED:
            state = Cancelled(message=result.message)
            await prefect.set_flow_run_state(flow_run_id, state, force=True)
        elif result.end is LaunchEnd.POSTPONED:
            soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=POSTPONE_SECONDS)
            later = result.start_at or soon
            state = Scheduled(scheduled_time=later, message=result.message)
            await prefect.set_flow_run_state(flow_run_id, state, force=True)
        elif result.end is LaunchEnd.CRASHED or result.message in (BROKEN, PREFECT_AWAY):
            state = Crashed(message="The flow process did not finish the run.")
            await propose_state(prefect, state, flow_run_id=flow_run_id)
    except (Abort, ObjectNotFound):
        # Prefect has moved it on, or forgotten it: nothing left to say.
        return


async def _abandon(forking: asyncio.Task[FlowProcess]) -> None:
    """A process that has no job ends as soon as its channel closes."""
    forking.cancel()
    with contextlib.suppress(asyncio.CancelledError, DatanikaError):
        (await forking).close()
