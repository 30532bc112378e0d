"""The parts of the platform as processes: command, environment, how to stop it."""

from __future__ import annotations

import shlex
import signal
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

LAUNCHER = Path(__file__).with_name("launch.py")
LOG_BYTES, LOG_FILES = 10_000_000, 3


@dataclass(frozen=True)
class Part:
    """One supervised process.

    ``order``: parts with a lower one are stopped first. ``stop_signal`` is also what the kernel
    sends it when its supervisor dies.
    """

    name: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(repr=False)
    folder: str
    order: int
    user: str | None = None
    stop_signal: int = int(signal.SIGTERM)
    stop_seconds: float = 10.0

    def launch_command(self, supervisor_pid: int) -> list[str]:
        """The command that runs it as its user, bound to the supervisor's life."""
        options = ["--parent", str(supervisor_pid), "--signal", str(self.stop_signal)]
        if self.user is not None:
            options += ["--user", self.user]
        return [sys.executable, "-I", "-S", str(LAUNCHER), *options, "--", *self.command]

    def watcher(self, supervisor_pid: int, logs: Path) -> dict[str, Any]:
        """Keyword arguments of circus' watcher."""
        log = {
            "class": "FileStream",
            "filename": str(logs / f"{self.name}.log"),
            "max_bytes": LOG_BYTES,
            "backup_count": LOG_FILES,
        }
        return {
            "name": self.name,
            "cmd": shlex.join(self.launch_command(supervisor_pid)),
            "env": self.environment,
            "working_dir": self.folder,
            "priority": self.order,
            "stop_signal": self.stop_signal,
            "graceful_timeout": self.stop_seconds,
            "copy_env": False,
            "singleton": True,
            "autostart": False,
            # The launcher sends stderr there too.
            "stdout_stream": log,
        }

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Part:
        return cls(**values | {"command": tuple(values["command"])})
