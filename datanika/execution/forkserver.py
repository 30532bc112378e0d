"""The fork server: a clean, preloaded, single-threaded process that forks flow processes.

It is exec'd with an environment of four harmless variables, so ``/proc/<pid>/environ`` of it and
of everything below it holds no secret; and it never imports ``datanika.config``, so its memory
holds none either. Importing prefect, dlt and dbt takes seconds, forking takes milliseconds.

The worker speaks to it over a socket pair of JSON datagrams:

    worker -> server   {"fork": <n>, "engine": true}  with one file descriptor, the run's channel
    server -> worker   {"ready": <pid>}, {"forked": <n>, "pid": <pid>}, {"exited": <pid>, "status"}

``status`` is as in ``subprocess``: negative for a signal. When the worker is gone the server lets
its flow processes see that by themselves, kills what is left after a while, and ends.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import time
from pathlib import Path

CLEAN_ENVIRONMENT = ("PATH", "LANG", "DATANIKA_HOME", "TZ")
ORPHAN_SECONDS = 15.0
SETTLE_SECONDS = 5.0
_SETTINGS = {
    # Read by prefect when it is imported. No profile, no telemetry, no wait at exit.
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_TO_API_MAX_LOG_SIZE": "100000",
}


def clean_environment() -> dict[str, str]:
    """The only variables that a fork server and its descendants are given."""
    return {name: os.environ[name] for name in CLEAN_ENVIRONMENT if name in os.environ}


def preload(host_module: str) -> None:
    """Import and warm up everything a run needs, and share its pages with every fork."""
    work = _work_dir()
    # Prefect would read .env, prefect.toml and pyproject.toml of the present folder.
    os.chdir(work)
    os.environ.update(_SETTINGS, PREFECT_HOME=str(work / "prefect"))
    from datanika.execution import flow_process

    for entry_point in flow_process.FLOWS.values():
        importlib.import_module(entry_point.partition(":")[0])
    importlib.import_module(host_module).warm_up()
    gc.collect()
    gc.freeze()


def _work_dir() -> Path:
    from platformdirs import user_data_path

    given = os.environ.get("DATANIKA_HOME")
    work = (Path(given) if given else user_data_path("datanika")) / "work"
    work.mkdir(parents=True, exist_ok=True)
    return work


def thread_count() -> int:
    """Threads of this process, those of native libraries included. Linux only; else 1."""
    with contextlib.suppress(OSError):
        return len(os.listdir("/proc/self/task"))
    return 1


class ForkServer:
    """The server's loop. :meth:`serve` returns in the forked child, with its channel."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: set[int] = set()
        self._alive = True

    def serve(self) -> tuple[socket.socket, bool] | None:
        """Fork until the worker is gone: None in the server, (channel, engine) in a child."""
        awake, waker = socket.socketpair()
        awake.setblocking(False)
        waker.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        # A terminal's Ctrl-C is for the worker, which then decides what happens to its runs.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.set_wakeup_fd(waker.fileno())
        self._say({"ready": os.getpid()})
        # Not epoll: a child shares its kernel state, and would unregister for the server too.
        with selectors.PollSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(awake, selectors.EVENT_READ)
            while self._alive:
                for key, _ in selector.select():
                    if key.fileobj is awake:
                        with contextlib.suppress(BlockingIOError):
                            awake.recv(4096)
                        self._reap()
                    elif (child := self._fork_next()) is not None:
                        signal.set_wakeup_fd(-1)
                        awake.close()
                        waker.close()
                        return child
        signal.set_wakeup_fd(-1)
        self._outlive_children()
        return None

    def _fork_next(self) -> tuple[socket.socket, bool] | None:
        data, fds, _, _ = socket.recv_fds(self._control, 4096, 1)
        if not data:
            self._alive = False
            return None
        order = json.loads(data)
        pid = os.fork()
        if pid == 0:
            self._control.close()
            return socket.socket(fileno=fds[0]), bool(order["engine"])
        os.close(fds[0])
        # A group of its own, so that all of it can be ended at once.
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        self._children.add(pid)
        self._say({"forked": order["fork"], "pid": pid})
        return None

    def _reap(self) -> None:
        while self._children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._children.discard(pid)
            self._say({"exited": pid, "status": os.waitstatus_to_exitcode(status)})

    def _say(self, message: dict[str, int]) -> None:
        try:
            self._control.send(json.dumps(message).encode())
        except OSError:
            self._alive = False

    def _outlive_children(self) -> None:
        """Flow processes see the worker's end on their channel; a stuck one is killed here."""
        deadline = time.monotonic() + ORPHAN_SECONDS
        while self._children and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.1)
        for pid in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


def main(control_fd: int, host_module: str) -> int:
    """The process: preload, serve; in a child, run its flow.

    ``host_module`` has ``warm_up()`` and ``start_engine_host()``.
    """
    preload(host_module)
    deadline = time.monotonic() + SETTLE_SECONDS
    while (threads := thread_count()) != 1 and time.monotonic() < deadline:
        # Some libraries' threads end a moment after their work.
        time.sleep(0.05)
    if threads != 1:
        print(f"fork server has {threads} threads after preloading", file=sys.stderr)  # noqa: T201
    child = ForkServer(socket.socket(fileno=control_fd)).serve()
    if child is None:
        return 0
    channel, engine = child
    os.setpgid(0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.enable()
    from datanika.execution import flow_process

    code = 1
    try:
        host = importlib.import_module(host_module).start_engine_host() if engine else None
        code = flow_process.main(channel, host)
    except Exception as error:
        # A traceback could quote the job: its type is enough to look for it here.
        print(f"flow process ended with {type(error).__name__}", file=sys.stderr)  # noqa: T201
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # The interpreter's own end would run exit handlers that belong to the server.
        os._exit(code)


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]), sys.argv[2]))
