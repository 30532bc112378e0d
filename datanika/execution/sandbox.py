"""What an engine child may have: nothing of its parent's, and limited amounts of the machine.

This module is the one door of the control plane into execution (``tasks`` calls
:func:`ad_hoc`), so it imports no engine.

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
import ctypes
import os
import resource
import signal
import sys
import tempfile
from pathlib import Path

from pydantic import Field

from datanika.contracts.ad_hoc import AdHocAction, AdHocAnswer
from datanika.contracts.base import Contract

PASSED_ON = ("PATH", "LANG", "DATANIKA_HOME", "TZ")
"""The only variables of the environment that an exec'd engine process is given."""

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
    tempfile.tempdir = None


def close_others(*keep: int) -> None:
    """Close every file descriptor above stderr but ``keep``."""
    low = 3
    for number in sorted(set(keep)):
        os.closerange(low, number)
        low = max(low, number + 1)
    os.closerange(low, max(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 4096))


def run_ad_hoc(action: AdHocAction, timeout_seconds: float = 60.0) -> AdHocAnswer:
    """Do ``action`` in a process of its own with an empty environment. Blocking; raises nothing.

    The action goes in through a pipe. What comes out is at most ``MAX_ANSWER`` bytes, and the
    process with everything it started is gone when this returns. Where :func:`keep_warm` was
    called it is the child of a warm process, otherwise a fresh one, which takes seconds longer.
    """
    # It imports this module.
    from datanika.execution import ad_hoc_host

    return ad_hoc_host.ask(action, timeout_seconds)


def keep_warm() -> None:
    """Have a warm process for this process' ad hoc actions, from a few seconds after now on."""
    from datanika.execution import ad_hoc_host

    ad_hoc_host.keep_warm()


async def ad_hoc(action: AdHocAction, timeout_seconds: float = 60.0) -> AdHocAnswer:
    """:func:`run_ad_hoc` for asynchronous callers."""
    return await asyncio.to_thread(run_ad_hoc, action, timeout_seconds)
