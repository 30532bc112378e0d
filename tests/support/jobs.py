"""A web process whose ad hoc jobs are done: with Redis and a real Celery worker beside it."""

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
def serve_with_jobs(
    frontend: Path, home: Path, redis: RunningRedis, warehouse: Warehouse
) -> Iterator[Web]:
    """UI, API and a worker on ``settings``' database; connections may reach ``warehouse``."""
    given = {
        "DATABASE_URL": settings.require("database_url"),
        "REDIS_URL": redis.url,
        "DATANIKA_SECRET_KEY": settings.require("secret_key"),
        "DATANIKA_ENCRYPTION_KEYS": settings.require("encryption_keys"),
        "DATANIKA_HOME": str(home),
        "DATANIKA_EGRESS_ALLOW": f"{warehouse.host}:{warehouse.port}/{warehouse.database}*",
    }
    home.mkdir(parents=True, exist_ok=True)
    # The web process first: both import for seconds, and it is the one that is waited for.
    with serve(frontend, home, **given) as web, (home / "celery.log").open("wb") as log:
        worker = subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "-A", "datanika.tasks", "worker"),
                *("-l", "info", "-c", "1"),
            ],
            env={**os.environ, **given},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            yield web
        finally:
            worker.terminate()
            worker.wait(30)
