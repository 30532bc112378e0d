"""A real Prefect server on real PostgreSQL, shared by all test processes of a run."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.prefect_keeper import LOG, READY, STARTING, USERS, exclusive

START_SECONDS = 240


@dataclass(frozen=True)
class RunningPrefect:
    api_url: str
    auth_string: str


def shared_folder(testrun_uid: str) -> Path:
    return Path(tempfile.gettempdir()) / f"datanika-test-prefect-{testrun_uid}"


@contextlib.contextmanager
def using(folder: Path) -> Iterator[RunningPrefect]:
    """The server in ``folder``, started by whoever comes first."""
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / USERS).open("a") as users, exclusive(folder / STARTING):
        fcntl.flock(users, fcntl.LOCK_SH)
        keeper = None
        if not (folder / READY).exists():
            keeper = subprocess.Popen(
                [sys.executable, "-m", "tests.support.prefect_keeper", str(folder)],
                cwd=Path(__file__).parents[2],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
            wait_until_ready(folder, keeper)
        stack = contextlib.ExitStack()
        stack.enter_context(users_lock(users.fileno()))
        found = RunningPrefect(**json.loads((folder / READY).read_text()))
    with stack:
        yield found
    if keeper is not None:
        keeper.wait()
