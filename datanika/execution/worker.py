"""The Datanika worker: a Prefect worker type that runs flows in forked, preloaded processes.

    python -m datanika.execution.worker                               drains on SIGTERM
    prefect worker start --type datanika --pool datanika              the same worker

Prefect finds it through the entry point group ``prefect.collections``, so every command of
Prefect imports this module: what is heavy is imported where it is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.abc
from prefect.workers.base import BaseJobConfiguration, BaseWorker, BaseWorkerResult

from datanika.contracts.nudge import nudge_socket
from datanika.execution.backlog import Backlog
from datanika.execution.fair_share import FairShare
from datanika.execution.sandbox import harden
from datanika.execution.work_folders import SWEEP_SECONDS, sweep
from datanika.execution.worker_settings import WorkerSettings
from datanika.execution.worker_status import WorkerMetrics, seconds_since, status_server

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import WorkerFlowRunResponse

    from datanika.execution.launcher import Launcher

if __name__ == "__main__":
    # Run the imported module, not this copy of it: the worker type registers once.
    import datanika.execution.worker as registered

    raise SystemExit(registered.main())

logger = logging.getLogger(__name__)

WORKER_TYPE = "datanika"


class DatanikaJobConfiguration(BaseJobConfiguration):
    """Nothing to configure: command, environment and entry point are not the deployment's."""

    flow_name: str = ""
    """The flow that the flow run is of; decides which of the platform's flows runs."""

    @classmethod
    async def resolve_for_flow_run(
        cls, flow_run: FlowRun, *, client: PrefectClient, **more: Any
    ) -> DatanikaJobConfiguration:
        """All that matters is the flow's name, and a flow never changes its name."""
        name = _flow_names.get(flow_run.flow_id)
        if name is None:
            name = (await client.read_flow(flow_run.flow_id)).name
            _flow_names[flow_run.flow_id] = name
        return cls(flow_name=name)


_flow_names: dict[UUID, str] = {}


class DatanikaWorkerResult(BaseWorkerResult):
    """``identifier`` is the id of the process; ``status_code`` 1 means it left its run open."""


class DatanikaWorker(BaseWorker[DatanikaJobConfiguration, Any, DatanikaWorkerResult]):
    """Claims, forks, waits. See ``launcher.py`` for the way of one run."""

    type = WORKER_TYPE
    job_configuration = DatanikaJobConfiguration
    _description = "Runs tenant pipelines in warm processes, about a second after the trigger."
    _display_name = "Datanika"

    def __init__(
        self,
        *args: Any,
        settings: WorkerSettings | None = None,
        host_module: str | None = None,
        **kwargs: Any,
    ) -> None:
        """``host_module``: where the fork server finds the engine host."""
        self._settings = settings or WorkerSettings()
        self._host_module = host_module
        if kwargs.get("limit") is None:
            kwargs["limit"] = self._settings.worker_limit
        if kwargs.get("prefetch_seconds") is None:
            # A fork is fast enough: a scheduled run starts at its time, not before.
            kwargs["prefetch_seconds"] = 0
        super().__init__(*args, **kwargs)
        self._launcher: Launcher | None = None
        self._nudged = asyncio.Event()
        self._backlog = Backlog()
        self._fair_share = FairShare()
        self.metrics = WorkerMetrics()
        self.metrics.limit.set(kwargs["limit"])

    async def setup(self) -> None:
        """Start the fork server, then connect to Prefect while it preloads."""
        from datanika.execution.fork_client import HOST_MODULE, ForkServerClient
        from datanika.execution.launcher import Launcher

        server = ForkServerClient(
            self._host_module or HOST_MODULE,
            self._settings.home,
            recycle_forks=self._settings.worker_recycle_forks,
            metrics=self.metrics,
        )
        await self._exit_stack.enter_async_context(server)
        self._launcher = Launcher(self._settings, server)
        await super().setup()

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """Take what is due; Prefect is not asked while there is no room."""
        if self.limiter.available_tokens < 1:
            return []
        if due := self._backlog.fresh():
            return await self._submit_scheduled_flow_runs(due)
        taken = await super().get_and_submit_flow_runs()
        self.metrics.poll.set_to_current_time()
        return taken

    async def _get_scheduled_flow_runs(self) -> list[WorkerFlowRunResponse]:
        due = await super()._get_scheduled_flow_runs()
        self._backlog.replace(due)
        return due

    async def _submit_scheduled_flow_runs(
        self, flow_run_response: list[WorkerFlowRunResponse]
    ) -> list[FlowRun]:
        due = [(_organization(found.flow_run), found) for found in flow_run_response]
        oldest = (found.flow_run.next_scheduled_start_time for _, found in due)
        self.metrics.queue_age.set(max(map(seconds_since, oldest), default=0.0))
        active = self._launcher.organizations if self._launcher is not None else {}
        taken = await super()._submit_scheduled_flow_runs(self._fair_share.order(due, active))
        for flow_run in taken:
            self._fair_share.served(_organization(flow_run))
        self._backlog.take_away({flow_run.id for flow_run in taken})
        return taken

    async def _submit_run(self, flow_run: FlowRun) -> None:
        """Prefect's own lets an error that it does not expect end every run of the worker."""
        try:
            await super()._submit_run(flow_run)
        except Exception as error:
            logger.warning("Prefect does not answer for run %s: %s", flow_run.id, error)
            self._submitting_flow_run_ids.discard(flow_run.id)
            self._release_limit_slot(flow_run.id)

    async def _mark_flow_run_as_cancelled(
        self, flow_run: FlowRun, state_updates: dict[str, Any] | None = None
    ) -> None:
        """Prefect's own keeps the place of a run whose deployment is gone."""
        try:
            await super()._mark_flow_run_as_cancelled(flow_run, state_updates)
        finally:
            # Where it was given back already, nothing happens.
            self._release_limit_slot(flow_run.id)

    async def _give_worker_labels_to_flow_run(self, flow_run_id: UUID) -> None:
        """Nobody reads them, and each costs the server a request."""

    async def run(
        self,
        flow_run: FlowRun,
        configuration: DatanikaJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> DatanikaWorkerResult:
        """Run one flow run to its end in a process of its own."""
        from datanika.execution.launcher import LaunchEnd, settle

        if self._launcher is None:
            raise RuntimeError("The worker has not been set up.")

        def started(pid: int) -> None:
            self.metrics.active.set(launcher.running)
            self.metrics.start.observe(seconds_since(flow_run.next_scheduled_start_time))
            if task_status is not None:
                task_status.started(pid)

        launcher = self._launcher
        try:
            result = await launcher.run(
                configuration.flow_name, flow_run.model_dump(mode="json"), started
            )
        finally:
            self.metrics.active.set(launcher.running)
            if self._backlog.may_hold_more:
                # As soon as this run's place is given back.
                asyncio.get_running_loop().call_later(0.02, self._nudged.set)
        self.metrics.ended.labels(result.end.value).inc()
        await settle(self.client, flow_run.id, result)
        if result.pid == 0:
            started(0)
        crashed = result.end is LaunchEnd.CRASHED
        return DatanikaWorkerResult(identifier=str(result.pid), status_code=int(crashed))

    async def kill_infrastructure(
        self,
        infrastructure_pid: str,
        configuration: DatanikaJobConfiguration,
        grace_seconds: int = 30,
    ) -> None:
        """Stop a flow process; Prefect asks for it when a pending run is cancelled."""
        from prefect.exceptions import InfrastructureNotFound

        if self._launcher is None or not await self._launcher.kill(int(infrastructure_pid)):
            raise InfrastructureNotFound(f"No flow process {infrastructure_pid} on this worker.")

    async def serve(self, stopping: asyncio.Event) -> None:
        """Poll until ``stopping``, then let running flows finish within the grace period.

        A poll that fails is repeated: this worker outlives restarts of Prefect, because ending
        would end its runs.
        """
        own = self._settings
        nudged, never = self._nudged, asyncio.Event()
        path = nudge_socket(own.data_home(), self._work_pool_name)
        status = status_server(
            own.worker_status_port, own.worker_status_host, self.metrics, self.problem
        )
        async with status as port, self:
            if port is not None:
                logger.info("Status at http://%s:%s/healthz", own.worker_status_host, port)
            loops = [
                asyncio.create_task(
                    _forever(self.get_and_submit_flow_runs, own.worker_poll_seconds, nudged)
                ),
                asyncio.create_task(
                    _forever(self.sync_with_backend, self.heartbeat_interval_seconds, never)
                ),
                asyncio.create_task(_listen(path, self._nudge)),
                asyncio.create_task(_forever(self._sweep_folders, SWEEP_SECONDS, never)),
            ]
            await stopping.wait()
            for loop in loops:
                loop.cancel()
            await asyncio.wait(loops)
            await self._drain()

    def _nudge(self) -> None:
        self._backlog.outdate()
        self._nudged.set()

    async def _sweep_folders(self) -> None:
        await asyncio.to_thread(sweep, self._settings.data_home() / "work")

    def problem(self) -> str | None:
        """What keeps this worker from starting runs; None when it is well."""
        if not self.is_setup or self._launcher is None:
            return "The worker is starting."
        has_room = self.limiter.available_tokens >= 1
        # A full worker does not poll.
        if has_room and not self.is_worker_still_polling(self._settings.worker_poll_seconds):
            return "Prefect has not answered a poll for a while."
        return self._launcher.problem()

    async def _drain(self) -> None:
        if self._launcher is None:
            return
        logger.info("Stopping: %s runs may finish.", self._launcher.running)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.worker_grace_seconds):
                await self._launcher.idle.wait()
        await self._launcher.stop_all()


def _organization(flow_run: FlowRun) -> int | None:
    """The organisation of a tenant's flow run; None for the platform's own."""
    found = flow_run.parameters.get("org_id")
    return found if isinstance(found, int) else None


async def _forever(work: Any, seconds: float, sooner: asyncio.Event) -> None:
    while True:
        sooner.clear()
        try:
            await work()
        except Exception as error:
            logger.warning("Prefect does not answer %s: %s", work.__name__, error)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await sooner.wait()


async def _listen(path: Path, nudge: Callable[[], None]) -> None:
    """Call ``nudge`` for every datagram on the socket ``path``."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.setblocking(False)
        try:
            _bind(listener, path)
        except OSError as error:
            logger.info("Submitted runs wait for the next poll: %s", error)
            return
        while True:
            await loop.sock_recv(listener, 16)
            nudge()


def _bind(listener: socket.socket, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of a worker before this one: a socket file outlives its process.
    path.unlink(missing_ok=True)
    listener.bind(str(path))


async def _serve(host_module: str | None) -> None:
    from prefect import settings as prefect_settings

    own = WorkerSettings()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    updates: dict[Any, Any] = {
        # Waits of 2, 4, 8 and 16 s: the next poll comes soon after Prefect is back.
        prefect_settings.PREFECT_CLIENT_MAX_RETRIES: 4,
        prefect_settings.PREFECT_CLIENT_CSRF_SUPPORT_ENABLED: False,
        prefect_settings.PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False,
    }
    with prefect_settings.temporary_settings(updates):
        worker = DatanikaWorker(work_pool_name=own.work_pool, host_module=host_module)
        await worker.serve(stopping)


def main(host_module: str | None = None) -> int:
    """Serve until SIGTERM or SIGINT. ``host_module``: as in :class:`DatanikaWorker`."""
    if not WorkerSettings().prefect_api_url:
        message = "PREFECT_API_URL is not set: where should the worker poll?"
        print(message, file=sys.stderr)  # noqa: T201
        return 2
    # Its environment and memory hold tokens, and tenant code may run as the same user.
    harden()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(host_module))
    return 0
