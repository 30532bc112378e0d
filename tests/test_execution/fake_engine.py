"""An engine host for tests at the seam of the flow process: it does what a step's key says.

ok*         two tables, both loaded
slow*       one table that never ends
flaky*      fails once with a transient error, then succeeds
broken*     fails with a terminal error that quotes a secret of the step
dies*       the flow process is killed
probe*      logs what this process and its parents can see
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

from datanika.contracts.enums import StepState
from datanika.contracts.events import (
    Failure,
    LogLine,
    NodeFinished,
    NodeStarted,
    RunEvent,
    StepFinished,
)
from datanika.contracts.steps import ResolvedLoad, ResolvedTransform


def warm_up() -> None:
    """Nothing to warm."""


class FakeHost:
    def __init__(self) -> None:
        self.seen: dict[str, int] = {}

    async def run(
        self, step: ResolvedLoad | ResolvedTransform, **options: object
    ) -> AsyncIterator[RunEvent]:
        key = step.step.key
        self.seen[key] = self.seen.get(key, 0) + 1
        yield LogLine(step_key=key, message=f"pid {os.getpid()}")
        yield NodeStarted(step_key=key, node=f"raw.{key}_a", name=f"{key}_a", resource_type="table")
        if key.startswith("slow"):
            await asyncio.sleep(3600)
        if key.startswith("dies"):
            os.kill(os.getpid(), signal.SIGKILL)
        if key.startswith("probe"):
            yield LogLine(step_key=key, message=json.dumps(_environments()))
            yield LogLine(step_key=key, message=f"dumpable {_dumpable()}")
        for table in ("a", "b"):
            yield NodeFinished(
                step_key=key,
                node=f"raw.{key}_{table}",
                name=f"{key}_{table}",
                resource_type="table",
                state=StepState.SUCCEEDED,
                rows=21,
            )
        failure = None
        if key.startswith("broken"):
            failure = Failure(code="bad_password", message="No entry for p4ss-canary-message.")
        if key.startswith("flaky") and self.seen[key] == 1:
            failure = Failure(code="connection_lost", message="It went away.", transient=True)
        state = StepState.FAILED if failure else StepState.SUCCEEDED
        yield StepFinished(step_key=key, state=state, rows=42, failure=failure)


def _environments() -> dict[str, str]:
    """/proc/<pid>/environ of this process and its parent, the fork server; "" if unreadable."""
    seen = {}
    for pid in (os.getpid(), os.getppid()):
        seen[str(pid)] = ""
        with contextlib.suppress(PermissionError):
            seen[str(pid)] = Path(f"/proc/{pid}/environ").read_bytes().decode()
    return seen


def _dumpable() -> int:
    """Whether processes of the same user may read this one's memory (PR_GET_DUMPABLE)."""
    return ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)


def start_engine_host() -> FakeHost:
    return FakeHost()
