"""The worker's side of the fork server: start it, ask it for processes, learn of their ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from datanika.errors import Unavailable
from datanika.execution.flow_process import FlowJob, FlowReport, read_report
from datanika.execution.forkserver import clean_environment
from datanika.execution.worker_status import WorkerMetrics

logger = logging.getLogger(__name__)

HOST_MODULE = "datanika.execution.engine_host"
READY_SECONDS = 120.0
EXIT_SECONDS = 10.0
MAX_LINE = 64 * 1024
PRELOADED = ("datanika", "prefect", "dlt", "dbt-core")
_DIED = Unavailable("The fork server has just died.")


@dataclass(frozen=True)
class FlowEnd:
    """How a flow process ended. ``report`` is None when it died before it could say."""

    report: FlowReport | None
    status: int | None

    def describe(self) -> str:
        """For people: what happened to a process that left its run open."""
        if self.status is not None and self.status < 0:
            with contextlib.suppress(ValueError):
                return f"The flow process was killed by {signal.Signals(-self.status).name}."
        if self.report is not None and self.report.message:
            return self.report.message
        return f"The flow process ended with status {self.status} and left its run open."


class FlowProcess:
    """A forked process that waits for its job, or runs it."""

    def __init__(
        self,
        pid: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        exited: asyncio.Future[int | None],
    ) -> None:
        self.pid = pid
        self._reader = reader
        self._writer = writer
        self._exited = exited

    async def start(self, job: FlowJob) -> None:
        """Hand over the job, secrets and all."""
        self._writer.write(job.model_dump_json().encode() + b"\n")
        await self._writer.drain()

    def stop(self) -> None:
        """Ask it to stop: it ends its engine and leaves the run to another attempt."""
        if not self._writer.is_closing() and self._writer.can_write_eof():
            with contextlib.suppress(OSError):
                self._writer.write_eof()

    def kill(self) -> None:
        """End it now. Safe from reused process ids: an open channel means it lives."""
        if not self._reader.at_eof():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def wait(self) -> FlowEnd:
        """Until the process is gone. The channel's end is the proof, so this needs no parent."""
        report = None
        with contextlib.suppress(ConnectionError, ValueError):
            while line := await self._reader.readline():
                report = read_report(line) or report
        status: int | None = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EXIT_SECONDS):
                status = await self._exited
        self.close()
        return FlowEnd(report, status)

    def close(self) -> None:
        self._writer.close()


class ForkServerProcess:
    """One fork server, from its start until its last flow process has ended."""

    def __init__(self, host_module: str, environment: dict[str, str]) -> None:
        """Start it. Preloading takes seconds; see :meth:`ready`."""
        self.code = InstalledCode()
        self.forks = 0
        self._waiting: dict[int, asyncio.Future[tuple[int, asyncio.Future[int | None]]]] = {}
        self._exits: dict[int, asyncio.Future[int | None]] = {}
        self._retired = False
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # Not through asyncio: its child watcher would reap what the server reports.
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    # No module of the present folder is ever imported.
                    "-P",
                    "-m",
                    "datanika.execution.forkserver",
                    str(theirs.fileno()),
                    host_module,
                ],
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        ours.setblocking(False)
        self._control: socket.socket | None = ours
        loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = loop.create_future()
        loop.add_reader(ours, self._listen)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def lives(self) -> bool:
        """Whether it can still be asked for processes."""
        return self._control is not None and self._process.poll() is None

    @property
    def is_ready(self) -> bool:
        """Whether it has preloaded."""
        return self._ready.done() and self._ready.exception() is None

    async def ready(self) -> None:
        """Until it has preloaded; raises :class:`Unavailable` when it does not come to it."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                await asyncio.shield(self._ready)
        except TimeoutError:
            raise Unavailable("The fork server did not get ready.") from None

    async def fork(self, *, engine: bool) -> FlowProcess:
        """A clean process that waits for its job; raises :class:`Unavailable`."""
        await self.ready()
        if self._control is None:
            raise _DIED
        self.forks += 1
        number = self.forks
        forked = self._waiting[number] = asyncio.get_running_loop().create_future()
        ours, theirs = socket.socketpair()
        try:
            order = json.dumps({"fork": number, "engine": engine}).encode()
            socket.send_fds(self._control, [order], [theirs.fileno()])
            theirs.close()
            pid, exited = await forked
        except OSError:
            ours.close()
            raise _DIED from None
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            self._waiting.pop(number, None)
        ours.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=ours, limit=MAX_LINE)
        return FlowProcess(pid, reader, writer, exited)

    def retire(self) -> None:
        """Let it end after the last of its flow processes."""
        self._retired = True
        self._end_if_idle()

    async def stop(self) -> None:
        """End it now; its flow processes see that their worker goes."""
        self._lose()
        self._process.terminate()
        await asyncio.to_thread(self._process.wait)

    def _end_if_idle(self) -> None:
        if self._retired and not self._exits and not self._waiting and self._control is not None:
            # It has no children: it ends by itself when its socket closes.
            self._lose()

    def _listen(self) -> None:
        if self._control is None:
            return
        try:
            data = self._control.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            logger.error("The fork server is gone.")
            self._lose()
            return
        message = json.loads(data)
        if "ready" in message:
            if not self._ready.done():
                self._ready.set_result(None)
        elif "forked" in message:
            pid = message["pid"]
            exited = self._exits[pid] = asyncio.get_running_loop().create_future()
            forked = self._waiting.get(message["forked"])
            if forked is not None and not forked.done():
                forked.set_result((pid, exited))
        elif (ended := self._exits.pop(message["exited"], None)) is not None:
            ended.set_result(message["status"])
            self._end_if_idle()

    def _lose(self) -> None:
        """Close our end: nobody waits for it any more."""
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
            self._control = None
            threading.Thread(target=self._process.wait, name="reaper", daemon=True).start()
        futures: list[asyncio.Future[Any]] = [self._ready, *self._waiting.values()]
        for waiting in futures:
            if not waiting.done():
                waiting.set_exception(_DIED)
                # Marked as seen: nobody may be waiting for it.
                waiting.exception()
        for exited in self._exits.values():
            if not exited.done():
                exited.set_result(None)
        self._exits.clear()


class ForkServerClient:
    """Keeps one fork server running. Flow processes outlive it: they need only the worker."""

    def __init__(
        self,
        host_module: str = HOST_MODULE,
        home: Path | None = None,
        *,
        recycle_forks: int | None = None,
        metrics: WorkerMetrics | None = None,
    ) -> None:
        """``home``: the data folder of everything below; default as everywhere.

        :param recycle_forks: a new server takes over after so many forks; None: never.
        """
        self._host_module = host_module
        self._recycle_forks = recycle_forks
        self._metrics = metrics
        self._environment = clean_environment()
        if home is not None:
            self._environment["DATANIKA_HOME"] = str(home)
        self._server: ForkServerProcess | None = None
        self._retired: list[ForkServerProcess] = []
        self._starting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._current()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for server in (self._server, *self._retired):
            if server is not None and server.lives:
                await server.stop()

    @property
    def pid(self) -> int | None:
        return self._server.pid if self._server else None

    def problem(self) -> str | None:
        """Why nothing can be forked at this moment; None when it can."""
        if self._server is None or not self._server.lives:
            return "The fork server is gone; the next run starts another."
        return None if self._server.is_ready else "The fork server is warming up."

    async def ready(self) -> None:
        """Until the server has preloaded; seconds after a start, else at once."""
        await (await self._current()).ready()

    async def fork(self, *, engine: bool) -> FlowProcess:
        """A clean process that waits for its job; ``engine``: with an engine host beside it.

        :raises Unavailable: the fork server died; it is started again by the next call.
        """
        process = await (await self._current()).fork(engine=engine)
        if self._metrics is not None:
            self._metrics.forks.inc()
        return process

    async def _current(self) -> ForkServerProcess:
        """The server to ask: a new one where there is none, or where the old one has forked
        enough, or where its code is no longer what is installed."""
        async with self._starting:
            server = self._server
            if server is not None and server.lives:
                worn_out = self._recycle_forks is not None and server.forks >= self._recycle_forks
                if not worn_out and server.code.is_current():
                    return server
                logger.info("The fork server is %s.", "worn out" if worn_out else "out of date")
                server.retire()
                self._retired = [*(one for one in self._retired if one.lives), server]
            self._server = ForkServerProcess(self._host_module, self._environment)
            if self._metrics is not None:
                self._metrics.fork_servers.inc()
            return self._server


class InstalledCode:
    """The installed packages that a server preloads, as they are now."""

    def __init__(self) -> None:
        self._folders = [_metadata_folder(name) for name in PRELOADED]
        self._times = self._modified()

    def is_current(self) -> bool:
        """False after an upgrade: the folder of a package's metadata is another one, or newer."""
        return self._modified() == self._times

    def _modified(self) -> list[int]:
        times = []
        for folder in self._folders:
            try:
                times.append(folder.stat().st_mtime_ns)
            except OSError:
                times.append(0)
        return times


def _metadata_folder(package: str) -> Path:
    found = distribution(package)
    name = f"{package.replace('-', '_')}-{found.version}.dist-info"
    return Path(str(found.locate_file(name)))
