"""Keeps one PostgreSQL and one Prefect server for all test processes of a run.

    python -m tests.support.prefect_keeper FOLDER

Its users hold a shared lock on ``FOLDER/users.lock``. The kernel frees a lock when its holder
ends, however it ends; when nobody holds one the keeper stops the servers and removes the folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from cryptography.fernet import Fernet

from datanika.runtime import databases
from datanika.runtime.prefect import PrefectServer
from tests.support.net import free_port
from tests.support.postgres import run_cluster, stop_cluster
from tests.support.processes import bound_to_us

READY, STARTING, USERS, LOG = "ready.json", "starting.lock", "users.lock", "prefect.log"


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock of ``path``."""
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def somebody_uses(path: Path) -> bool:
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def start_prefect(folder: Path, server: PrefectServer) -> subprocess.Popen[bytes]:
    with (folder / LOG).open("ab") as log:
        return subprocess.Popen(
            bound_to_us(server.command()),
            env={
                "PATH": os.environ.get("PATH", ""),
                "HOME": str(folder),
                "TMPDIR": str(folder),
                **server.environment(),
            },
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def serve(folder: Path) -> None:
    """Start both servers, announce them, and stop them after the last user."""
    cluster, postgres = run_cluster(folder)
    prefect: subprocess.Popen[bytes] | None = None
    try:
        passwords = {role: secrets.token_hex(12) for role in databases.LOGINS}
        databases.ensure_platform_databases(cluster.admin_url, passwords)
        server = PrefectServer(
            home=folder / "prefect",
            port=free_port(),
            database_url=cluster.url(
                databases.PREFECT, passwords[databases.PREFECT], databases.PREFECT_DB
            ),
            auth_string=f"tests:{secrets.token_hex(12)}",
            encryption_key=Fernet.generate_key().decode(),
            scheduler_seconds=1,
            sweep_seconds=2,
        )
        prefect = start_prefect(folder, server)
        while not server.is_ready():
            if prefect.poll() is not None or not somebody_uses(folder / USERS):
                return
            time.sleep(0.2)
        found = {"api_url": server.api_url, "auth_string": server.auth_string}
        (folder / "ready.new").write_text(json.dumps(found))
        (folder / "ready.new").rename(folder / READY)
        while True:
            time.sleep(1)
            # Under the lock that a new user takes first: it finds a server that stays, or none.
            with exclusive(folder / STARTING):
                if not somebody_uses(folder / USERS):
                    (folder / READY).unlink()
                    return
    finally:
        if prefect is not None:
            prefect.terminate()
            try:
                prefect.wait(20)
            except subprocess.TimeoutExpired:
                prefect.kill()
        stop_cluster(postgres)
        shutil.rmtree(folder)


def main() -> None:
    # Ctrl-C in the terminal of the tests: they end, and that ends us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
