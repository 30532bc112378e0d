"""Only the database decides whether the platform can work; the rest degrades it."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from pydantic import SecretStr

from datanika.config import settings
from datanika.errors import Unavailable
from datanika.services import readiness
from datanika.services.readiness import REVISION, check_readiness
from tests.support.net import free_port
from tests.support.redis import RunningRedis

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_last", None)


def test_the_revision_that_the_code_needs_is_the_newest_migration() -> None:
    scripts = ScriptDirectory.from_config(Config(ROOT / "alembic.ini"))
    assert scripts.get_current_head() == REVISION


async def test_an_older_database_is_not_ready_and_a_newer_one_is(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await check_readiness()).migrations == "ok"
    monkeypatch.setattr(readiness, "REVISION", "0001")
    assert (await check_readiness()).migrations == "ahead"
    monkeypatch.setattr(readiness, "REVISION", "9999")
    with pytest.raises(Unavailable) as refused:
        await check_readiness()
    assert refused.value.code == "migrations_pending"


async def test_without_prefect_and_redis_it_is_degraded(
    database: str, redis_server: RunningRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = f"http://127.0.0.1:{free_port()}/api"
    monkeypatch.setattr(settings, "prefect_api_url", away)
    monkeypatch.setattr(settings, "redis_url", SecretStr(redis_server.url))
    found = await check_readiness()
    assert (found.prefect, found.redis, found.is_degraded) == ("down", "ok", True)
    monkeypatch.setattr(settings, "redis_url", SecretStr(f"redis://127.0.0.1:{free_port()}/0"))
    assert (await check_readiness()).redis == "ok", "asked again within two seconds"
    monkeypatch.setattr(readiness, "FRESH_SECONDS", 0.0)
    assert (await check_readiness()).redis == "down"
