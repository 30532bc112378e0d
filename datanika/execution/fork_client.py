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
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from datanika.errors import Unavailable
from datanika.execution.flow_process import FlowJob, FlowReport, read_report
from datanika.execution.forkserver import clean_environment

logger = logging.getLogger(__name__)

HOST_MODULE = "datanika.execution.engine_host"
READY_SECONDS = 120.0
EXIT_SECONDS = 10.0
MAX_LINE = 64 * 1024
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


class ForkServerClient:
    """Keeps one fork server running. Flow processes outlive it: they need only the worker."""

    def __init__(self, host_module: str = HOST_MODULE, home: Path | None = None) -> None:
        """``home``: the data folder of everything below; default as everywhere."""
        self._host_module = host_module
        self._environment = clean_environment()
        if home is not None:
            self._environment["DATANIKA_HOME"] = str(home)
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._ready: asyncio.Future[None] | None = None
        self._forks: dict[int, asyncio.Future[tuple[int, asyncio.Future[int | None]]]] = {}
        self._exits: dict[int, asyncio.Future[int | None]] = {}
        self._count = 0
        self._starting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._ensure()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lose()
        if self._process is not None:
            self._process.terminate()
            await asyncio.to_thread(self._process.wait)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def ready(self) -> None:
        """Until it has preloaded; seconds after a start, else at once."""
        await self._ensure()
        if self._ready is None:
            raise _DIED
        try:
            async with asyncio.timeout(READY_SECONDS):
                await asyncio.shield(self._ready)
        except TimeoutError:
            raise Unavailable("The fork server did not get ready.") from None

    async def fork(self, *, engine: bool) -> FlowProcess:
        """A clean process that waits for its job; ``engine``: with an engine host beside it.

        :raises Unavailable: the fork server died; it is started again by the next call.
        """
        await self.ready()
        control = self._control
        if control is None:
            raise _DIED
        self._count += 1
        number = self._count
        forked = self._forks[number] = asyncio.get_running_loop().create_future()
        ours, theirs = socket.socketpair()
        try:
            order = json.dumps({"fork": number, "engine": engine}).encode()
            socket.send_fds(control, [order], [theirs.fileno()])
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
            self._forks.pop(number, None)
        ours.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=ours, limit=MAX_LINE)
        return FlowProcess(pid, reader, writer, exited)

    async def _ensure(self) -> None:
        async with self._starting:
            if self._process is not None and self._process.poll() is None and self._control:
                return
            self._lose()
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                # Not through asyncio: its child watcher would reap what the server reports.
                self._process = subprocess.Popen(  # noqa: ASYNC220
                    [
                        sys.executable,
                        # No module of the present folder is ever imported.
                        "-P",
                        "-m",
                        "datanika.execution.forkserver",
                        str(theirs.fileno()),
                        self._host_module,
                    ],
                    env=self._environment,
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
            ours.setblocking(False)
            self._control = ours
            self._ready = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().add_reader(ours, self._listen)

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
            if self._ready is not None and not self._ready.done():
                self._ready.set_result(None)
        elif "forked" in message:
            pid = message["pid"]
            exited = self._exits[pid] = asyncio.get_running_loop().create_future()
            forked = self._forks.get(message["forked"])
            if forked is not None and not forked.done():
                forked.set_result((pid, exited))
        elif (ended := self._exits.pop(message["exited"], None)) is not None:
            ended.set_result(message["status"])

    def _lose(self) -> None:
        """Forget a server: nobody waits for it any more, and its end of the socket closes."""
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
            self._control = None
        for waiting in (self._ready, *self._forks.values()):
            if waiting is not None and not waiting.done():
                waiting.set_exception(_DIED)
                # Marked as seen: nobody may be waiting for it.
                waiting.exception()
        for exited in self._exits.values():
            exited.set_result(None)
        self._exits.clear()
