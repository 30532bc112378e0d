"""The whole platform as a user starts it: ``datanika up`` in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest
from dotenv import dotenv_values

from datanika.runtime.environment import MARK, of_this_machine
from datanika.runtime.ports import remembered
from datanika.runtime.processes import is_alive
from tests.support.net import free_port

START_SECONDS = 300
STOP_SECONDS = 90
LOG_END = 3_000
"""Characters."""
READY_LINE = "Ctrl-C stops everything."


@dataclass
class RunningPlatform:
    """A started ``datanika up``."""

    home: Path
    process: subprocess.Popen[bytes]
    output: Path

    @property
    def values(self) -> dict[str, str]:
        """Everything in ``runtime.env``."""
        return {k: v or "" for k, v in dotenv_values(self.home / "runtime.env").items()}

    @property
    def url(self) -> str:
        return self.values["DATANIKA_PUBLIC_URL"]

    @property
    def text(self) -> str:
        """What the terminal shows."""
        return self.output.read_text("utf-8")

    @property
    def story(self) -> str:
        """What a failed test should tell: the terminal, and the ends of the logs."""
        logs = sorted((self.home / "logs").glob("*.log"))
        ends = [f"-- {log.name}\n{log.read_text('utf-8', 'replace')[-LOG_END:]}" for log in logs]
        return "\n".join([self.text, *ends])

    def wait_for(self, text: str, after: int = 0, seconds: float = START_SECONDS) -> None:
        """Until the terminal shows ``text`` behind its first ``after`` characters."""
        deadline = time.monotonic() + seconds
        while text not in self.text[after:]:
            assert self.process.poll() is None, self.story
            assert time.monotonic() < deadline, self.story
            time.sleep(0.2)

    def descendants(self) -> list[psutil.Process]:
        return [
            one
            for one in psutil.Process(self.process.pid).children(recursive=True)
            if is_alive(one)
        ]


def processes_of(home: Path) -> list[psutil.Process]:
    """Every process that belongs to the platform on ``home``, wherever it hangs."""
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.environ().get(MARK) == str(home)
            named = any(str(home) in word for word in process.cmdline())
        except (psutil.Error, OSError):
            continue
        if (ours or named) and is_alive(process):
            found.append(process)
    return found


@contextmanager
def running_platform(home: Path) -> Iterator[RunningPlatform]:
    """``datanika up`` on ``home`` with ports of its own; at the end it is told to stop."""
    home.mkdir(exist_ok=True)
    if not (home / "ports.json").exists():
        ports = {name: free_port() for name in ("web", "prefect", "postgres", "redis")}
        (home / "ports.json").write_text(json.dumps(ports))
    output = home.with_suffix(".out")
    with output.open("wb") as terminal:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("datanika")), "up"],
            env={
                **of_this_machine(),
                "DATANIKA_HOME": str(home),
                # Tests' own warehouses are on the embedded server.
                # One bomb of a test must not fill the machine.
                "DATANIKA_STEP_MEMORY_MB": "2048",
                "DATANIKA_EGRESS_ALLOW": f"127.0.0.1:{remembered(home)['postgres']}/canary_*",
            },
            # No .env of the developer's.
            cwd=home.parent,
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
    platform = RunningPlatform(home, process, output)
    try:
        platform.wait_for(READY_LINE)
        yield platform
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def platform() -> Iterator[RunningPlatform]:
    """The whole platform, one per test process. Tests share it: make organisations of your own."""
    with TemporaryDirectory(prefix="datanika-test-up-") as folder:
        # PostgreSQL runs as another user where the tests run as root.
        Path(folder).chmod(0o711)
        with running_platform(Path(folder) / "home") as started:
            yield started
