"""A real Redis-protocol server per test process."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from datanika.runtime.redis import RedisServer
from tests.support.net import free_port
from tests.support.processes import bound_to_us


@dataclass(frozen=True)
class RunningRedis:
    url: str
    port: int


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RunningRedis]:
    """Redis of this test process."""
    folder = Path(tempfile.mkdtemp(prefix="datanika-test-redis-"))
    server = RedisServer(folder, free_port(), secrets.token_hex(12))
    server.initialise()
    with (folder / "redis.log").open("ab") as log:
        process = subprocess.Popen(
            bound_to_us(server.command()), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        server.wait_ready()
        yield RunningRedis(server.url, server.port)
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder)
