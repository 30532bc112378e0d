"""One-off commands of a start: migrations, Prefect's work pool, the front end's build."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import psutil

from datanika.errors import Unavailable
from datanika.runtime import processes
from datanika.runtime.parts import Part

TAIL_CHARACTERS = 2000


def run_job(job: Part, logs: Path, stopping: threading.Event) -> None:
    """Run ``job`` to its end. Raises :class:`Unavailable` with the end of its log.

    Ends it, and raises, when ``stopping`` is set. The calling thread waits: the job is bound to it.
    """
    log = logs / f"{job.name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            job.launch_command(os.getpid()),
            env=job.environment,
            cwd=job.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    while True:
        try:
            status = process.wait(0.1)
            break
        except subprocess.TimeoutExpired:
            if stopping.is_set():
                whole = psutil.Process(process.pid)
                processes.end([whole, *whole.children(recursive=True)], grace_seconds=5)
    if stopping.is_set():
        raise Unavailable("Stopped while it was starting.", code="stopped")
    if status != 0:
        raise Unavailable(
            f"{job.name} failed:\n{tail(log)}", code="start_failed", hint=f"The whole log: {log}"
        )


def tail(log: Path) -> str:
    """The end of a log."""
    return log.read_text("utf-8", "replace")[-TAIL_CHARACTERS:].strip()
