"""A Celery worker of ad hoc jobs with the settings of a test, alone or beside a web process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datanika.config import settings
from tests.support.postgres import Warehouse
from tests.support.redis import RunningRedis
from tests.support.web import Web, serve


@contextmanager
def job_worker(redis_url: str, log: Path, **environ: str) -> Iterator[None]:
    """``celery -A datanika.tasks worker`` until the block ends; ``environ`` overrides."""
    given = {
        "DATABASE_URL": settings.require("database_url"),
        "REDIS_URL": redis_url,
        "DATANIKA_SECRET_KEY": settings.require("secret_key"),
        "DATANIKA_ENCRYPTION_KEYS": settings.require("encryption_keys"),
        "DATANIKA_HOME": str(settings.home),
        "DATANIKA_EGRESS_ALLOW": settings.egress_allow,
        **environ,
    }
    settings.home.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "celery", "-A", "datanika.tasks", "worker", "-l", "info"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "-c", "1"],
            env={**os.environ, **given},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def serve_with_jobs(
    frontend: Path, home: Path, redis: RunningRedis, warehouse: Warehouse
) -> Iterator[Web]:
    """UI, API and a worker on ``settings``' database; connections may reach ``warehouse``."""
    given = {
        "REDIS_URL": redis.url,
        "DATANIKA_HOME": str(home),
        "DATANIKA_EGRESS_ALLOW": f"{warehouse.host}:{warehouse.port}/{warehouse.database}*",
    }
    # The web process first: both import for seconds, and it is the one that is waited for.
    with (
        serve(frontend, home, **given) as web,
        job_worker(redis.url, home / "celery.log", **given),
    ):
        yield web
