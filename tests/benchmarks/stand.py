"""A whole platform for a benchmark: durable PostgreSQL, Prefect, the web process and workers, each
started as ``datanika up`` starts it."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from datanika.config import settings
from datanika.orchestration.gateway import PrefectGateway
from datanika.runtime import databases
from datanika.runtime.prefect import PrefectServer
from tests.support.net import free_port
from tests.support.postgres import PostgresServer, make_template, migrated_database, running_server
from tests.support.processes import bound_to_us
from tests.support.superuser import superuser
from tests.support.web import built_frontend, serve

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Stand:
    """What runs, and where."""

    folder: Path
    server: PostgresServer
    database: str
    prefect: PrefectServer
    url: str

    @property
    def prefect_client(self) -> httpx.Client:
        """Prefect's API; close it."""
        user, _, password = self.prefect.auth_string.partition(":")
        return httpx.Client(
            base_url=self.prefect.api_url, auth=httpx.BasicAuth(user, password), timeout=60
        )

    def sql(self, text: str, values: dict[str, object] | None = None) -> list[tuple[object, ...]]:
        """Rows of a statement in the control plane's database, as a superuser."""
        with superuser(self.server.admin_url, self.database) as cursor:
            cursor.execute(text, values)
            return list(cursor.fetchall()) if cursor.description else []

    @contextlib.contextmanager
    def worker(self, module: str = "datanika.execution.worker") -> Iterator[psutil.Process]:
        """A Datanika worker with its fork server warm."""
        environment = {
            "PATH": os.environ["PATH"],
            "PREFECT_API_URL": self.prefect.api_url,
            "PREFECT_API_AUTH_STRING": self.prefect.auth_string,
            "PREFECT_HOME": str(self.folder / "worker-prefect"),
            "DATANIKA_INTERNAL_URL": self.url,
            "DATANIKA_WORKER_TOKEN": settings.require("worker_token"),
            "DATANIKA_WORK_POOL": settings.work_pool,
            "DATANIKA_HOME": str(settings.home),
        }
        with process(self.folder / "worker.log", ["-m", module], environment) as started:
            worker = psutil.Process(started.pid)
            wait_for(lambda: fork_server(worker) is not None)
            # It says so only when it has imported and exercised everything.
            wait_for(lambda: _is_idle(worker))
            yield worker


def fork_server(worker: psutil.Process) -> psutil.Process | None:
    """The worker's fork server."""
    for child in worker.children(recursive=True):
        if "datanika.execution.forkserver" in child.cmdline():
            return child
    return None


def _is_idle(worker: psutil.Process) -> bool:
    server = fork_server(worker)
    if server is None:
        return False
    before = sum(server.cpu_times()[:2])
    time.sleep(1)
    return sum(server.cpu_times()[:2]) - before < 0.02


@contextlib.contextmanager
def process(
    log: Path, arguments: list[str], environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Python with ``arguments`` until the block ends."""
    with log.open("ab") as out:
        started = subprocess.Popen(
            bound_to_us([sys.executable, *arguments]),
            env=environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(40)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def wait_for(true: object, seconds: float = 180) -> None:
    """Until ``true()`` holds."""
    assert callable(true)
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            raise TimeoutError(true)
        time.sleep(0.1)


@contextlib.asynccontextmanager
async def stand(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stand]:
    """Everything but a worker."""
    folder = Path(tempfile.mkdtemp(prefix="datanika-bench-"))
    # PostgreSQL runs as another user where we run as root.
    os.chmod(folder, 0o711)
    frontend = built_frontend(folder / "ui")
    try:
        with running_server(durable=True) as server:
            template = make_template(server)
            prefect = _prefect(server, folder)
            environment = {"PATH": os.environ["PATH"], "HOME": str(folder)} | prefect.environment()
            arguments = prefect.command()[1:]
            async with migrated_database(server, template, monkeypatch, folder / "home") as name:
                with process(folder / "prefect.log", arguments, environment):
                    wait_for(prefect.is_ready)
                    auth = SecretStr(prefect.auth_string)
                    monkeypatch.setattr(settings, "prefect_api_url", prefect.api_url)
                    monkeypatch.setattr(settings, "prefect_api_auth_string", auth)
                    async with PrefectGateway() as gateway:
                        await gateway.ensure_work_pool()
                    own = {
                        "PREFECT_API_URL": prefect.api_url,
                        "PREFECT_API_AUTH_STRING": prefect.auth_string,
                        "DATANIKA_API_REQUESTS_PER_MINUTE": "1000000",
                    }
                    with serve(frontend, folder / "home", **own) as web:
                        yield Stand(folder, server, name, prefect, web.url)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _prefect(server: PostgresServer, folder: Path) -> PrefectServer:
    url = server.create_database(databases.PREFECT_DB, databases.PREFECT, secrets.token_hex(12))
    return PrefectServer(
        home=folder / "prefect",
        port=free_port(),
        database_url=url,
        auth_string=f"bench:{secrets.token_hex(12)}",
        encryption_key=Fernet.generate_key().decode(),
    )
