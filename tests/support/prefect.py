"""A real Prefect server on real PostgreSQL, shared by all test processes of a run."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.prefect_keeper import READY, STARTING, USERS, exclusive, somebody_uses
from tests.support.superuser import superuser

START_SECONDS = 240


@dataclass(frozen=True)
class RunningPrefect:
    api_url: str
    auth_string: str


def shared_folder(testrun_uid: str) -> Path:
    return Path(tempfile.gettempdir()) / f"datanika-test-prefect-{testrun_uid}"


@contextlib.contextmanager
def using(folder: Path) -> Iterator[RunningPrefect]:
    """The server in ``folder``, started by whoever comes first, stopped after the last."""
    keeper = None
    while True:
        folder.mkdir(mode=0o711, exist_ok=True)
        with contextlib.suppress(FileNotFoundError), exclusive(folder / STARTING):
            users = (folder / USERS).open("a")
            fcntl.flock(users, fcntl.LOCK_SH)
            if not (folder / READY).exists():
                keeper = start_keeper(folder)
            found = RunningPrefect(**json.loads((folder / READY).read_text()))
            break
    try:
        yield found
    finally:
        users.close()
        if keeper is not None and not others_use(folder):
            keeper.wait(60)
        elif keeper is not None:
            # It goes on for another test process; left running, Popen would warn of it.
            keeper.returncode = 0


def others_use(folder: Path) -> bool:
    return (folder / USERS).exists() and somebody_uses(folder / USERS)


def start_keeper(folder: Path) -> subprocess.Popen[bytes]:
    """Start the servers and wait for them."""
    keeper = subprocess.Popen(
        [sys.executable, "-m", "tests.support.prefect_keeper", str(folder)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + START_SECONDS
    while not (folder / READY).exists():
        if keeper.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("The Prefect server of the tests did not start.")
        time.sleep(0.1)
    return keeper


def use_new_ids(admin_url: str) -> None:
    """Have the ``database`` fixture's runs and pipelines begin at ids that this Prefect has not
    seen: it serves the databases of many tests, and knows both by their ids."""
    with superuser(admin_url) as sql:
        for table in ("runs", "pipelines"):
            sql.execute(
                "SELECT setval(pg_get_serial_sequence(%s, 'id'), %s)",
                (table, secrets.randbelow(10**9) + 10**9),
            )


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[RunningPrefect]:
    """Prefect of this test run; make work pools and deployments of your own in it."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or secrets.token_hex(8)
    with using(shared_folder(run)) as server:
        yield server
