"""The whole platform on one machine, from start to stop.

    with Runtime().running() as platform:
        print(platform.web_url)
        platform.wait()

The calling process is the parent of everything. A supervisor below it restarts what crashes; when
the supervisor itself is killed, everything is stopped and started again; when the calling process
is killed, the supervisor stops everything.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from datanika.errors import ConfigError, Unavailable
from datanika.runtime import processes
from datanika.runtime.lock import holding
from datanika.runtime.mails import announce_mails
from datanika.runtime.ports import Claims, choose_ports
from datanika.runtime.progress import Progress
from datanika.runtime.secrets import load_or_create, write_private
from datanika.runtime.starter import Starter
from datanika.runtime.supervision import Supervision
from datanika.runtime.topology import DemoWarehouse, Topology

if TYPE_CHECKING:
    from rich.console import Console

    from datanika.config import Settings

RUNTIME_ENV = "runtime.env"
STOP_SECONDS = 75.0
"""For an ordered stop; each part has its own, shorter limit."""
HEALING_ATTEMPTS = 3
_SOCKET_PATH_BYTES = 100


class PlatformFailed(Unavailable):
    """A part of the platform cannot be kept running."""

    default_code = "platform_failed"


class RunningRuntime:
    """A started platform."""

    def __init__(self, topology: Topology, supervision: Supervision, progress: Progress) -> None:
        self._topology, self._supervision, self._progress = topology, supervision, progress
        self.timings: dict[str, float] = {}
        self.started_in = 0.0
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None

    @property
    def home(self) -> Path:
        return self._topology.home

    @property
    def web_url(self) -> str:
        return self._topology.web_url

    @property
    def prefect_ui_url(self) -> str | None:
        return self._topology.prefect_ui_url

    @property
    def demo_warehouse(self) -> DemoWarehouse | None:
        """None when both DATABASE_URL and PREFECT_API_URL were given."""
        return self._topology.demo_warehouse

    def wait(self) -> None:
        """Until Ctrl-C, SIGTERM or SIGHUP. Raises :class:`PlatformFailed` when healing failed."""
        with contextlib.suppress(KeyboardInterrupt):
            while not self._stopping.wait(0.5):
                pass
        if self._failure is not None:
            raise PlatformFailed(str(self._failure)) from self._failure

    def start(self) -> None:
        """Start every part; times are kept in ``timings`` and ``started_in``."""
        with self._progress.shown():
            self._start_everything()
        self.timings = {step.name: step.seconds for step in self._progress.steps}
        self.started_in = self._progress.elapsed

    def watch(self) -> None:
        """Watch the parts from now on, in a thread."""
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)
        self._thread.start()
        # Ends with the process, at the latest: it only looks and tells.
        threading.Thread(
            target=announce_mails,
            args=(self.home / "mail", self._progress.say, self._stopping),
            name="mails",
            daemon=True,
        ).start()

    def stop(self) -> None:
        """Stop everything in order; nothing is left."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._supervision.stop(STOP_SECONDS)

    def _start_everything(self) -> None:
        with self._progress.step("supervisor"):
            self._supervision.start(self._topology.parts())
        Starter(
            self._topology, self._supervision, self.home / "logs", self._progress, self._stopping
        ).start()

    def _watch(self) -> None:
        from datanika.runtime.checks import checks
        from datanika.runtime.monitor import Monitor

        names = [part.name for part in self._topology.parts()]
        say = self._progress.say
        healed = 0
        while not self._stopping.is_set():
            monitor = Monitor(
                names,
                checks(self._topology, self._supervision.pids),
                self._supervision.pids,
                self._supervision.restart_part,
                say,
            )
            try:
                monitor.run(self._stopping)
            except Unavailable as lost:
                healed += 1
                try:
                    self._heal(lost, healed)
                except Unavailable as failed:
                    if not self._stopping.is_set():
                        say(f"Healing failed: {failed.message}")
                        self._failure = failed
                        self._stopping.set()

    def _heal(self, lost: Unavailable, attempt: int) -> None:
        if attempt > HEALING_ATTEMPTS:
            raise lost
        self._progress.say("The supervisor ended unexpectedly; starting everything again.")
        began = time.monotonic()
        self._supervision.stop(seconds=1)
        self._start_everything()
        self._progress.say(f"Everything is healthy again after {time.monotonic() - began:.1f} s.")


class Runtime:
    """The platform of one data folder."""

    def __init__(
        self, home: Path | None = None, *, port: int | None = None, console: Console | None = None
    ) -> None:
        """``home``: default ``DATANIKA_HOME``. ``port``: the web port, else 8000 or a free one."""
        self._home, self._port, self._console = home, port, console

    @contextlib.contextmanager
    def running(self) -> Iterator[RunningRuntime]:
        """Start everything, and stop everything at the end of the block.

        Raises :class:`~datanika.errors.Conflict` (``already_running``), ConfigError, and
        Unavailable (``start_failed``) naming the part and its log. Ctrl-C and SIGTERM arrive as
        KeyboardInterrupt.
        """
        home = self._prepared_home()
        progress = Progress(self._console or _console())
        with holding(home) as lock, signals_as_interrupt(), contextlib.ExitStack() as stack:
            processes.adopt_orphans()
            self._end_leftovers(home, progress)
            claims = Claims()
            stack.callback(claims.release)
            topology = self._topology(home, claims)
            lock.publish(_facts(topology))
            supervision = Supervision(
                stack.enter_context(run_folder(home)), home / "logs", topology.environments.bare()
            )
            platform = RunningRuntime(topology, supervision, progress)
            try:
                write_private(home / RUNTIME_ENV, env_file(topology.values))
                platform.start()
                _announce(platform, progress)
                platform.watch()
                yield platform
            finally:
                with uninterrupted():
                    progress.say("Stopping everything.")
                    platform.stop()
                    (home / RUNTIME_ENV).unlink(missing_ok=True)

    def _prepared_home(self) -> Path:
        from datanika.config import data_home

        home = (self._home or data_home()).expanduser().resolve()
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("logs", "work"):
            (home / name).mkdir(mode=0o700, exist_ok=True)
        return home

    def _topology(self, home: Path, claims: Claims) -> Topology:
        given = given_settings()
        port = self._port
        if port is None and "port" in given.model_fields_set:
            port = given.port
        ports = choose_ports(home, claims, port, given.host)
        return Topology(home, given, ports, load_or_create(home))

    @staticmethod
    def _end_leftovers(home: Path, progress: Progress) -> None:
        left = processes.leftovers(home)
        if left:
            progress.say(f"Ending {len(left)} processes that a crash left behind.")
            processes.end(left)


def given_settings() -> Settings:
    """What the user gave: the environment and ``.env``, without an earlier ``runtime.env``."""
    from datanika.config import Settings

    return Settings(_env_file=Path(".env"))


def env_file(values: dict[str, str]) -> str:
    """``runtime.env``: single quotes, inside which nothing is expanded."""
    for name, value in values.items():
        if "'" in value or "\n" in value:
            raise ConfigError(f"{name} may not contain a quote or a line break.", field=name)
    return "".join(f"{name}='{value}'\n" for name, value in values.items())


@contextlib.contextmanager
def run_folder(home: Path) -> Iterator[Path]:
    """A private folder for sockets: in ``home``, or a short one where that path is too long."""
    folder = home / "run"
    if len(str(folder)) + len("/control.sock") < _SOCKET_PATH_BYTES:
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="datanika-") as short:
        yield Path(short)


@contextlib.contextmanager
def signals_as_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does. Only in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    old: dict[int, Any] = {
        number: signal.signal(number, interrupt)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """No second Ctrl-C tears a stop apart: it is bounded in time anyway."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old: dict[int, Any] = {
        number: signal.signal(number, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _console() -> Console:
    from rich.console import Console

    return Console()


def _facts(topology: Topology) -> dict[str, object]:
    return {"pid": os.getpid(), "web_url": topology.web_url}


def _announce(platform: RunningRuntime, progress: Progress) -> None:
    progress.console.print(progress.breakdown())
    progress.say(f"Everything is healthy after {platform.started_in:.1f} s.\n")
    progress.say(f"Datanika     {platform.web_url}")
    if platform.prefect_ui_url:
        # Operators only: whoever knows the auth string is root on the workers.
        where = f"asks for PREFECT_API_AUTH_STRING of {platform.home / 'runtime.env'}"
        progress.say(f"Prefect      {platform.prefect_ui_url}  ({where})")
    progress.say(f"Data, logs   {platform.home}")
    progress.say("Ctrl-C stops everything.")


__all__ = ["PlatformFailed", "RunningRuntime", "Runtime"]
