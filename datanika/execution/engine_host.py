"""The engine host: forks one engine child per step, and cleans up after each.

    flow process ──control── engine host ──fork── engine child
          └───────────channel (the step in, events out)──────┘

The host is forked before its process knows any secret, passes the channel's descriptor on to the
child and never reads from it: credentials go from the flow process to the child only. When the
flow process ends (the control socket closes) or a step is cancelled, the host kills the child's
process group and removes its folder.

In a process that was not preloaded with a clean environment (``python -m``, tests) the host is
exec'd instead of forked, so that even ``/proc/self/environ`` holds nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from datanika.contracts.events import RunEvent, StepFinished, run_event
from datanika.contracts.steps import ResolvedLoad, ResolvedTransform
from datanika.errors import StepError, TerminalStepError, TransientStepError
from datanika.execution import engine_child, preload
from datanika.execution.parse_cache import (
    MAX_ENTRY,
    PARSED,
    ParseKey,
    default_cache,
    known_parse,
    parse_key,
    parse_size,
)
from datanika.execution.preload import warm_up
from datanika.execution.sandbox import (
    StepLimits,
    clean_environment,
    close_others,
    work_root,
)

__all__ = ["EngineHostClient", "start_engine_host", "warm_up"]

MAX_LINE = 32 * 1024 * 1024
EXIT_SECONDS = 10.0
WALL_MARGIN_SECONDS = 30.0


def start_engine_host() -> EngineHostClient:
    """Start a host for this process. Call it before any secret is known here."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if not preload.is_warm():
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "datanika.execution.engine_host", str(theirs.fileno())],
                env=clean_environment(),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        return EngineHostClient(ours, process.pid, process)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setsid()
            ours.close()
            close_others(theirs.fileno())
            EngineHost(theirs).serve()
            code = 0
        finally:
            os._exit(code)
    theirs.close()
    return EngineHostClient(ours, pid)


class EngineHostClient:
    """The flow process' side. Steps may run at the same time."""

    def __init__(
        self, control: socket.socket, pid: int, process: subprocess.Popen[bytes] | None = None
    ) -> None:
        control.setblocking(False)
        self.pid = pid
        self._control = control
        self._process = process
        self._loop: asyncio.AbstractEventLoop | None = None
        self._exits: dict[int, asyncio.Future[int]] = {}
        self._count = 0

    async def run(
        self,
        step: ResolvedLoad | ResolvedTransform,
        *,
        timeout_seconds: float | None = None,
        limits: StepLimits | None = None,
    ) -> AsyncIterator[RunEvent]:
        """The redacted events of ``step``, as they happen; the last is its ``StepFinished``.

        Closing the iterator kills the child and all it started, and removes its folder. Raises
        :class:`StepError` when the child ends without a word.
        """
        limits = limits or StepLimits()
        if timeout_seconds is not None:
            net = timeout_seconds + WALL_MARGIN_SECONDS
            limits = limits.model_copy(update={"wall_seconds": net})
        number, channel = self._start(limits)
        exited = self._exits[number]
        reader, writer = await asyncio.open_connection(sock=channel, limit=MAX_LINE)
        try:
            key = parse_key(step) if isinstance(step, ResolvedTransform) else None
            with contextlib.suppress(ConnectionError):
                writer.write(step.model_dump_json().encode() + b"\n")
                if key is not None:
                    writer.write(known_parse(default_cache(), key))
                await writer.drain()
                # A child without an earlier parse waits for no more than the end of its orders.
                writer.write_eof()
            while line := await _read_line(reader):
                if line.startswith(PARSED):
                    await _keep_parse(reader, line, key, step)
                    key = None
                    continue
                event = run_event.validate_json(line)
                yield event
                if isinstance(event, StepFinished):
                    return
            raise _died(await exited, limits)
        finally:
            self._tell({"kill": number})
            writer.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EXIT_SECONDS):
                    await asyncio.shield(exited)
            self._exits.pop(number, None)

    def close(self) -> None:
        """End the host and every child of it."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._control)
        self._control.close()
        with contextlib.suppress(ChildProcessError):
            if self._process is not None:
                self._process.wait(EXIT_SECONDS)
            else:
                os.waitpid(self.pid, 0)

    def _start(self, limits: StepLimits) -> tuple[int, socket.socket]:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            loop.add_reader(self._control, self._listen)
        self._count += 1
        self._exits[self._count] = loop.create_future()
        ours, theirs = socket.socketpair()
        with theirs:
            order = json.dumps({"run": self._count, "limits": limits.model_dump()}).encode()
            try:
                socket.send_fds(self._control, [order], [theirs.fileno()])
            except OSError:
                ours.close()
                raise _HOST_DIED from None
        ours.setblocking(False)
        return self._count, ours

    def _tell(self, message: dict[str, int]) -> None:
        with contextlib.suppress(OSError):
            self._control.send(json.dumps(message).encode())

    def _listen(self) -> None:
        try:
            data = self._control.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            if self._loop is not None:
                self._loop.remove_reader(self._control)
            for exited in self._exits.values():
                if not exited.done():
                    exited.set_result(-signal.SIGKILL)
            return
        message = json.loads(data)
        exited_future = self._exits.get(message["exited"])
        if exited_future is not None and not exited_future.done():
            exited_future.set_result(message["status"])


_HOST_DIED = TransientStepError(
    "The process that runs steps has died.",
    code="engine_died",
    hint="The step can be run again.",
)


async def _keep_parse(
    reader: asyncio.StreamReader,
    line: bytes,
    key: ParseKey | None,
    step: ResolvedLoad | ResolvedTransform,
) -> None:
    """Keep the bytes that follow ``line`` under ``key``, if they were asked for."""
    size = parse_size(line)
    if size > MAX_ENTRY:
        raise _died(-signal.SIGKILL, StepLimits())
    with contextlib.suppress(asyncio.IncompleteReadError):
        entry = await reader.readexactly(size)
        if key is not None:
            default_cache().put(key, entry, step.destination.secrets())


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    try:
        line = await reader.readline()
    except ConnectionError:
        return b""
    # Half a line is what a killed child leaves.
    return line if line.endswith(b"\n") else b""


def _died(status: int, limits: StepLimits) -> StepError:
    if status == -signal.SIGXCPU:
        return TerminalStepError(
            f"The step used more than its {limits.cpu_seconds} seconds of processor time.",
            code="engine_limit",
            hint="Load or build less in one step.",
        )
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        reason = f"was killed by {name}"
    else:
        reason = f"ended with status {status}"
    return TransientStepError(
        f"The process of the step {reason}.",
        code="engine_died",
        hint="It can be run again; what was loaded half is cleaned up first.",
    )


class EngineHost:
    """The host's loop. One thread, no secrets, no opinions."""

    def __init__(self, control: socket.socket, work: engine_child.Work | None = None) -> None:
        """``work``: what its children do; by default a step each."""
        self._control = control
        self._work = work
        self._children: dict[int, tuple[int, Path, int]] = {}
        """pid -> (number, folder)"""

    def serve(self) -> None:
        """Until the flow process is gone; then kill and clean up what is left."""
        for number in (signal.SIGINT, signal.SIGTERM):
            # Only the flow process decides when work ends; its own end closes the control socket.
            signal.signal(number, signal.SIG_IGN)
        awake, waker = socket.socketpair()
        for end in (awake, waker):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker.fileno())
        with selectors.PollSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(awake, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is awake:
                        with contextlib.suppress(BlockingIOError):
                            awake.recv(4096)
                        self._reap(os.WNOHANG)
                    elif not self._obey():
                        self._end()
                        return

    def _obey(self) -> bool:
        try:
            data, fds, _, _ = socket.recv_fds(self._control, 4096, 1)
        except OSError:
            return False
        if not data:
            return False
        order = json.loads(data)
        if "run" in order:
            self._fork(order["run"], fds[0], StepLimits.model_validate(order["limits"]))
        else:
            self._kill(order["kill"])
        return True

    def _fork(self, number: int, fd: int, limits: StepLimits) -> None:
        folder = Path(tempfile.mkdtemp(prefix="step-", dir=work_root()))
        # Whoever sweeps the folders of the dead sees that this one's owner lives.
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(held, fcntl.LOCK_SH)
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            gc.enable()
            engine_child.main(socket.socket(fileno=fd), folder, limits, parent, self._work)
        os.close(fd)
        self._children[pid] = (number, folder, held)

    def _kill(self, number: int) -> None:
        for pid, (own, *_) in self._children.items():
            if own == number:
                _kill_group(pid)

    def _reap(self, how: int) -> None:
        while self._children:
            try:
                pid, status = os.waitpid(-1, how)
            except ChildProcessError:
                return
            if pid == 0:
                return
            number, folder, held = self._children.pop(pid)
            # What it started is in its group, and may outlive it.
            _kill_group(pid)
            os.close(held)
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                code = os.waitstatus_to_exitcode(status)
                self._control.send(json.dumps({"exited": number, "status": code}).encode())

    def _end(self) -> None:
        for pid in self._children:
            _kill_group(pid)
        self._reap(0)


def _kill_group(pid: int) -> None:
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)
            return


if __name__ == "__main__":
    warm_up()
    # Forks share these pages, and need not look through them for garbage.
    gc.freeze()
    EngineHost(socket.socket(fileno=int(sys.argv[1]))).serve()
