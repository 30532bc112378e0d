"""Whose process is it? Adopting, finding and ending processes, so that none outlives us."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from datanika.runtime.environment import MARK

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Become the parent of every descendant whose parent ends (Linux)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap(pid: int | None = None) -> None:
    """Collect ended children: ``pid`` or all."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1 if pid is None else pid, os.WNOHANG)[0]:
            if pid is not None:
                return


def descendants() -> list[psutil.Process]:
    """Every living process below this one."""
    return [process for process in psutil.Process().children(recursive=True) if is_alive(process)]


def is_alive(process: psutil.Process) -> bool:
    try:
        # Compares the start time too: a reused pid is another process.
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def leftovers(home: Path) -> list[psutil.Process]:
    """Processes of an earlier platform on ``home`` that somehow outlived it.

    Call it while holding the lock of ``home``: then no platform is running there.
    """
    mark, found = str(home), []
    ours = {os.getpid(), *(one.pid for one in psutil.Process().parents())}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid not in ours and process.environ().get(MARK) == mark:
                found += [process, *process.children(recursive=True)]
    return found


def end(processes: Iterable[psutil.Process], grace_seconds: float = 10.0) -> None:
    """SIGTERM, then SIGKILL to what is left after ``grace_seconds``. PostgreSQL gets SIGINT,
    its fast shutdown, because at SIGTERM it waits for its clients."""
    left = list(processes)
    for process in left:
        _signal(process, _gentle_signal(process))
    deadline = time.monotonic() + grace_seconds
    while left:
        left = [process for process in left if is_alive(process)]
        if left and time.monotonic() > deadline:
            for process in left:
                _signal(process, signal.SIGKILL)
            deadline = time.monotonic() + grace_seconds
        reap_ended(left)
        time.sleep(0.05)


def reap_ended(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        reap(process.pid)


def _gentle_signal(process: psutil.Process) -> signal.Signals:
    try:
        return signal.SIGINT if process.name() == "postgres" else signal.SIGTERM
    except psutil.Error:
        return signal.SIGTERM


def _signal(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(psutil.Error, ProcessLookupError):
        process.send_signal(number)
