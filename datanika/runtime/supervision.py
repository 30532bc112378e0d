"""The platform's side of the supervisor: start it, command it, notice its death."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datanika.errors import Unavailable
from datanika.runtime import processes
from datanika.runtime.parts import Part

CONTROL_SOCKET, EVENT_SOCKET = "control.sock", "events.sock"
START_SECONDS = 20.0
ANSWER_SECONDS = 5.0


def endpoint(run_folder: Path, name: str) -> str:
    """The address of one of the supervisor's sockets."""
    return f"ipc://{run_folder / name}"


class Supervision:
    """One supervisor process with its parts; safe to use from several threads."""

    def __init__(self, run_folder: Path, logs: Path, environment: dict[str, str]) -> None:
        """``run_folder``: private, with a path short enough for a socket."""
        self._run_folder, self._logs, self._environment = run_folder, logs, environment
        self._process: subprocess.Popen[str] | None = None
        self._client: Any = None
        self._lock = threading.Lock()

    def start(self, parts: Sequence[Part]) -> None:
        """Start the supervisor; it knows ``parts`` and has started none of them."""
        from circus.client import CircusClient

        for name in (CONTROL_SOCKET, EVENT_SOCKET):
            (self._run_folder / name).unlink(missing_ok=True)
        with (self._logs / "supervisor.err").open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "datanika.runtime.supervisor"],
                stdin=subprocess.PIPE,
                stdout=errors,
                stderr=errors,
                env=self._environment,
                cwd=self._run_folder,
                # Ctrl-C in the terminal is for us; we tell it when to stop.
                start_new_session=True,
                text=True,
            )
        plan = {
            "parent": os.getpid(),
            "run_folder": str(self._run_folder),
            "logs": str(self._logs),
            "parts": [part.as_json() for part in parts],
        }
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(BrokenPipeError), stdin:
            # Through a pipe: a file or an argument would show the environments to others.
            json.dump(plan, stdin)
        deadline = time.monotonic() + START_SECONDS
        while not (self._run_folder / CONTROL_SOCKET).exists():
            if not self.is_alive or time.monotonic() > deadline:
                raise Unavailable(
                    f"The supervisor did not start; see {self._logs / 'supervisor.err'}.",
                    code="start_failed",
                )
            time.sleep(0.02)
        with self._lock:
            if self._client is not None:
                self._client.stop()
            self._client = CircusClient(
                endpoint=endpoint(self._run_folder, CONTROL_SOCKET), timeout=ANSWER_SECONDS
            )

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start_part(self, name: str) -> None:
        self._call("start", name=name)

    def restart_part(self, name: str) -> None:
        self._call("restart", name=name)

    def pids(self, name: str) -> list[int]:
        """Process ids of a part: none while it is down."""
        return [int(pid) for pid in self._call("list", name=name).get("pids", [])]

    def stop(self, seconds: float) -> None:
        """Stop the parts in order, then the supervisor, then whatever is left below us."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self.end_remains()
        with self._lock:
            if self._client is not None:
                self._client.stop()
                self._client = None

    def end_remains(self) -> None:
        """End every process below this one, after the supervisor ended or was killed."""
        processes.end(processes.descendants())
        # What ended by itself was adopted by us too.
        processes.reap()

    def _call(self, command: str, **properties: Any) -> dict[str, Any]:
        """Circus does one command at a time and refuses a second: it is repeated."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            answer = self._ask({"command": command, "properties": properties})
            if answer.get("status") == "ok" or "pids" in answer:
                return answer
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"The supervisor refuses to {command}: {answer.get('reason')}",
                    code="supervisor_down",
                )
            time.sleep(0.05)

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        from circus.exc import CallError

        with self._lock:
            if self._client is None:
                raise Unavailable("The supervisor is not running.", code="supervisor_down")
            try:
                answer: dict[str, Any] = self._client.call(message)
            except CallError as error:
                raise Unavailable(
                    f"The supervisor does not answer: {error}", code="supervisor_down"
                ) from error
        return answer
