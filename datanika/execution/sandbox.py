"""What an engine child may have: nothing of its parent's, and limited amounts of the machine.

This module is the one door of the control plane into execution (``tasks`` calls
:func:`run_probe`), so it imports no engine.

Which limits, and why:

* memory: ``RLIMIT_DATA``, on top of what the preloaded process has already. ``RLIMIT_AS`` also
  counts address space that DuckDB and Arrow reserve and never touch, and would end loads that
  need a tenth of it.
* processor time, file size, open files: their rlimits. A file beyond its size is ``EFBIG``, which
  is reported as a full disk.
* core dumps are off and the process is not dumpable: its memory holds credentials.
* processes: no ``RLIMIT_NPROC``. It counts all processes of the user, so a busy neighbour would
  make an innocent step fail, and it does not hold for root at all. What a child starts is in its
  process group, and ends with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

from pydantic import Field

from datanika.contracts.base import Contract
from datanika.contracts.events import Failure
from datanika.contracts.steps import ResolvedConnection

PASSED_ON = ("PATH", "LANG", "DATANIKA_HOME", "TZ")
"""The only variables of the environment that an exec'd engine process is given."""
PROBE_MODULE = "datanika.execution.probe"

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_MB = 1024 * 1024


class StepLimits(Contract):
    """What one engine child may use."""

    memory_mb: int = Field(default=6144, ge=64, description="Beyond the warm process itself.")
    cpu_seconds: int = Field(default=14_400, ge=1)
    file_mb: int = Field(default=20_480, ge=1, description="Size of any one file it writes.")
    open_files: int = Field(default=1024, ge=64)
    wall_seconds: float | None = Field(default=None, description="A net below the step's timeout.")


def clean_environment() -> dict[str, str]:
    """The environment of an exec'd engine process."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def work_root() -> Path:
    """The folder of all engine children's folders; it exists afterwards."""
    from platformdirs import user_data_path

    given = os.environ.get("DATANIKA_HOME")
    root = (Path(given) if given else user_data_path("datanika")) / "work"
    root.mkdir(parents=True, exist_ok=True)
    return root


def die_with_parent(parent: int) -> None:
    """Let the kernel end this process when ``parent`` dies. Linux; elsewhere EOF must do."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        # It died before we asked.
        os._exit(1)


def harden() -> None:
    """No dumps of this process' memory, and no way to more privileges."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def limit(limits: StepLimits) -> None:
    """Apply ``limits`` to this process for good."""
    for kind, value in (
        (resource.RLIMIT_DATA, _data_bytes() + limits.memory_mb * _MB),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_FSIZE, limits.file_mb * _MB),
        (resource.RLIMIT_NOFILE, limits.open_files),
    ):
        _, hard = resource.getrlimit(kind)
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        resource.setrlimit(kind, (value, value))
    if limits.wall_seconds is not None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, limits.wall_seconds)


def _data_bytes() -> int:
    """What counts for ``RLIMIT_DATA`` now: a preloaded process starts with much of it reserved."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[5])
    except OSError:
        return 0
    return pages * resource.getpagesize()


def enter(folder: Path) -> None:
    """Empty the environment and live in ``folder``: home, temporary files, present folder."""
    os.environ.clear()
    os.umask(0o077)
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    os.environ.update(
        HOME=str(folder),
        TMPDIR=str(temporary),
        TZ="UTC",
        LANG="C.UTF-8",
        PATH=os.defpath,
    )
    os.chdir(folder)
    import tempfile

    tempfile.tempdir = None


def close_others(*keep: int) -> None:
    """Close every file descriptor above stderr but ``keep``."""
    low = 3
    for number in sorted(set(keep)):
        os.closerange(low, number)
        low = max(low, number + 1)
    os.closerange(low, max(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 4096))


def run_probe(connection: ResolvedConnection, timeout_seconds: float = 20.0) -> Failure | None:
    """Whether ``connection`` works: None, or why not. Blocking.

    It runs in a fresh process with an empty environment; the connection goes in through a pipe.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", PROBE_MODULE],
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        out, _ = process.communicate(connection.model_dump_json().encode(), timeout_seconds)
    except subprocess.TimeoutExpired:
        return Failure(
            code="host_unreachable",
            message=f"There was no answer within {timeout_seconds:.0f} seconds.",
            hint="Check the connection's host and port, and that the server lets us in.",
            transient=True,
        )
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.returncode != 0 or not out:
        return Failure(
            code="engine_died", message="The connection test ended unexpectedly.", transient=True
        )
    return None if out.strip() == b"null" else Failure.model_validate_json(out)


async def probe(connection: ResolvedConnection, timeout_seconds: float = 20.0) -> Failure | None:
    """:func:`run_probe` for asynchronous callers."""
    return await asyncio.to_thread(run_probe, connection, timeout_seconds)
