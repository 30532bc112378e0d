"""The API does what its OpenAPI document says, whatever is sent: Schemathesis finds nothing.

By hand, because it takes about eight minutes of two cores:

    uv run pytest -n0 tests/fuzz/check_api.py
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from datanika.api.app import create_app
from datanika.config import settings
from tests.isolation.world import lift_limits, make_world
from tests.support.redis import RunningRedis
from tests.support.serving import serving
from tests.support.tenants import access_token

CONFIG = Path(__file__).with_name("schemathesis.toml")


@pytest.mark.timeout(1200)
async def test_schemathesis_finds_nothing(
    database: str,
    redis_server: RunningRedis,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(settings, "redis_url", SecretStr(redis_server.url))
    lift_limits(monkeypatch)
    world = await make_world()
    async with serving(create_app()) as url:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG)),
            *("run", f"{url}/api/v1/openapi.json", "--no-color"),
            env=os.environ | {"DATANIKA_TEST_TOKEN": access_token(world.owner)},
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        report, _ = await process.communicate()
    assert process.returncode == 0, report.decode()
