"""The processes of a running ``datanika up``: which is which, and whether all of them answer."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from datanika.config import Settings, settings
from datanika.db import dispose_engine
from datanika.runtime import databases
from datanika.runtime.checks import checks
from datanika.runtime.ports import Ports, remembered
from datanika.runtime.postgres import PostgresCluster
from datanika.runtime.processes import is_alive
from datanika.runtime.secrets import load_or_create
from datanika.runtime.topology import Topology
from tests.support.platform import RunningPlatform
from tests.support.postgres import Warehouse

PARTS = ("redis", "postgres", "prefect", "web", "celery", "worker")
FORK_SERVER = "datanika.execution.forkserver"
_MARKS = {
    "redis": "valkey-server",
    "postgres": "pginstall/bin/postgres",
    "prefect": "prefect server start",
    "web": "datanika.ui.serve:create_asgi",
    "celery": "celery -A datanika.tasks",
    "worker": "datanika.execution.worker",
    "supervisor": "datanika.runtime.supervisor",
}


def topology(home: Path) -> Topology:
    """As the platform on ``home`` sees itself."""
    given = Settings(_env_file=None)
    for name in ("database_url", "redis_url", "prefect_api_url"):
        setattr(given, name, None)
    return Topology(home, given, Ports(**remembered(home)), load_or_create(home))


def part_process(platform: RunningPlatform, name: str) -> psutil.Process:
    """The process of a part, found by what is special in its command line; ValueError if none."""
    found = []
    for one in platform.descendants():
        with contextlib.suppress(psutil.NoSuchProcess):
            if _MARKS[name] in " ".join(one.cmdline()):
                found.append(one)
    # Celery's own children have its command line too: its first process is the oldest.
    return min(found, key=lambda one: (one.create_time(), one.pid))


def pids_of(platform: RunningPlatform, name: str) -> list[int]:
    """The part's process as a list, which is empty while there is none."""
    with contextlib.suppress(ValueError, psutil.Error):
        return [part_process(platform, name).pid]
    return []


def unhealthy(platform: RunningPlatform, since: dict[str, float]) -> list[str]:
    """The parts that do not answer now; ``since``: when a part was killed."""
    asked = checks(topology(platform.home), lambda name: pids_of(platform, name))
    return [name for name in PARTS if not asked[name](since.get(name, 0.0))]


def heal(platform: RunningPlatform, since: dict[str, float], most: float = 60) -> float:
    """Seconds until every part answers; fails after ``most``."""
    began = time.monotonic()
    while wrong := unhealthy(platform, since):
        waited = time.monotonic() - began
        assert waited < most, f"{wrong} after {waited:.0f} s\n{platform.story}"
        time.sleep(0.25)
    return time.monotonic() - began


def processes_of_runs(platform: RunningPlatform) -> dict[str, list[psutil.Process]]:
    """``fork server``, ``flow`` processes, their engine ``host`` and engine ``child``."""
    found: dict[str, list[psutil.Process]] = {}
    with contextlib.suppress(ValueError, psutil.Error):
        below = [part_process(platform, "worker")]
        for name in ("fork server", "flow", "host", "child"):
            below = [child for one in below for child in _children(one)]
            found[name] = below
    return found


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [child for child in process.children() if is_alive(child)]
    except psutil.NoSuchProcess:
        return []


@contextlib.asynccontextmanager
async def settings_of(platform: RunningPlatform) -> AsyncIterator[None]:
    """Inside, this process' settings are those of the platform: services work on its database.

    Afterwards nothing is left of it: all tests of a process share an event loop, and with it the
    connections that were opened in it.
    """
    known = Settings(_env_file=platform.home / "runtime.env")
    names = (
        "home", "database_url", "database_admin_url", "redis_url", "secret_key", "worker_token",
        "encryption_keys", "encryption_keys_file", "prefect_api_url", "prefect_api_auth_string",
        "work_pool", "egress_allow", "egress_own", "public_url", "internal_url",
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in names:
            monkeypatch.setattr(settings, name, getattr(known, name))
        assert isinstance(settings.secret_key, SecretStr)
        try:
            yield
        finally:
            await dispose_engine()


def cluster_of(platform: RunningPlatform) -> PostgresCluster:
    """The platform's embedded PostgreSQL."""
    password = load_or_create(platform.home).postgres_password
    return PostgresCluster(
        platform.home / "postgres", remembered(platform.home)["postgres"], password
    )


def make_warehouse(platform: RunningPlatform, name: str, password: str) -> Warehouse:
    """A tenant's database on the embedded server; ``name`` begins with ``canary_``."""
    cluster = cluster_of(platform)
    with databases.cursor(cluster.admin_url) as cur:
        databases.ensure_role(cur, name, password)
        databases.ensure_database(cur, name, name)
    return Warehouse("127.0.0.1", cluster.port, name, name, password)
