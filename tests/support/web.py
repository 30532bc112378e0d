"""The web process alone, on a test's database, with a front end built once per test run."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from datanika.config import settings
from datanika.ui.frontend import build_frontend, frontend_is_current, source_hash
from tests.support.net import free_port
from tests.support.postgres import PostgresServer, migrated_database


@dataclass(frozen=True)
class Web:
    url: str


def built_frontend(folder: Path) -> Path:
    """``folder`` (``DATANIKA_UI_DIR``) with a current build in it. About 15 s once."""
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        target = folder / source_hash()
        if not frontend_is_current(target):
            build_frontend(target)
    return folder


@contextmanager
def serve(frontend: Path, home: Path, **environ: str) -> Iterator[Web]:
    """Run uvicorn on ``settings``' database until the block ends."""
    port = free_port()
    environment = os.environ | {
        "DATANIKA_HOME": str(home),
        "DATANIKA_UI_DIR": str(frontend),
        "DATABASE_URL": settings.require("database_url"),
        "DATANIKA_SECRET_KEY": settings.require("secret_key"),
        "DATANIKA_ENCRYPTION_KEYS": settings.require("encryption_keys"),
        "DATANIKA_WORKER_TOKEN": settings.require("worker_token"),
        "DATANIKA_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "PREFECT_API_URL": "",
        **environ,
    }
    home.mkdir(parents=True, exist_ok=True)
    with (home / "web.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "uvicorn", "--factory", "datanika.ui.serve:create_asgi"),
                *("--host", "127.0.0.1", "--port", str(port), "--no-access-log"),
                *("--ws-per-message-deflate", "false"),
            ],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    web = Web(f"http://127.0.0.1:{port}")
    try:
        _wait_ready(web, process, home / "web.log")
        yield web
    finally:
        process.terminate()
        process.wait(20)


def _wait_ready(web: Web, process: subprocess.Popen[bytes], log: Path) -> None:
    # On a busy machine the imports alone take most of a minute.
    until = time.monotonic() + 180
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(f"{web.url}/healthz", timeout=5).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise RuntimeError(f"The web process did not start:\n{log.read_text('utf-8')[-4000:]}")


@pytest.fixture(scope="session")
def frontend(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built front end, the same for all test processes of a run."""
    own = tmp_path_factory.getbasetemp()
    return built_frontend((own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "ui")


@pytest.fixture(scope="module")
async def web(
    frontend: Path,
    postgres_server: PostgresServer,
    migrated_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Web]:
    """UI and API for a module's tests, on a database that they share."""
    home = tmp_path_factory.mktemp("web") / "home"
    with pytest.MonkeyPatch.context() as monkeypatch:
        async with migrated_database(postgres_server, migrated_template, monkeypatch, home):
            with serve(frontend, home) as running:
                yield running
