"""A command as a whole process tree: its seconds and its peak resident memory."""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

SAMPLE_SECONDS = 0.02


@dataclass(frozen=True)
class Took:
    """``peak_mb``: the highest sum over the tree's processes."""

    seconds: float
    peak_mb: float


def measure(command: list[str] | str, environment: Mapping[str, str], cwd: str) -> Took:
    """Run ``command`` (a text goes to the shell) to its end; raises RuntimeError if it fails."""
    over = threading.Event()
    peak = [0]
    with tempfile.TemporaryFile() as output:
        began = time.monotonic()
        process = subprocess.Popen(
            command if isinstance(command, list) else ["bash", "-o", "pipefail", "-c", command],
            env=dict(environment),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        thread = threading.Thread(target=_watch, args=(process.pid, peak, over))
        thread.start()
        process.wait()
        seconds = time.monotonic() - began
        over.set()
        thread.join()
        output.seek(0)
        said = output.read().decode(errors="replace")
    if process.returncode:
        raise RuntimeError(f"{command} failed:\n{said[-3000:]}")
    return Took(seconds, peak[0] / 2**20)


def _watch(pid: int, peak: list[int], over: threading.Event) -> None:
    ours = psutil.Process().cmdline()
    while not over.wait(SAMPLE_SECONDS):
        try:
            root = psutil.Process(pid)
            total = 0
            for process in (root, *root.children(recursive=True)):
                try:
                    # Between fork and exec a child is this process, with its memory.
                    if process.cmdline() == ours:
                        continue
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            peak[0] = max(peak[0], total)
        except psutil.NoSuchProcess:
            return
