"""A Celery worker of ad hoc jobs, with the settings of a test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datanika.config import settings


@contextmanager
def job_worker(redis_url: str, log: Path) -> Iterator[None]:
    """``celery -A datanika.tasks worker`` until the block ends."""
    given = {
        "DATABASE_URL": settings.require("database_url"),
        "REDIS_URL": redis_url,
        "DATANIKA_SECRET_KEY": settings.require("secret_key"),
        "DATANIKA_ENCRYPTION_KEYS": settings.require("encryption_keys"),
        "DATANIKA_HOME": str(settings.home),
        "DATANIKA_EGRESS_ALLOW": settings.egress_allow,
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
