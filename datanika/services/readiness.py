"""Whether this process can work, and which parts of the platform it has to do without.

Only the database decides: without Prefect runs are accepted and wait, without Redis only ad hoc
jobs do not work.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from datanika.config import settings
from datanika.db import get_session
from datanika.errors import Unavailable
from datanika.orchestration.gateway import prefect_answers

logger = logging.getLogger(__name__)

REVISION = "0009"
"""The newest migration that this code needs. Their names are numbers, and sort."""
OK, AHEAD, DOWN = "ok", "ahead", "down"
FRESH_SECONDS = 2.0
"""Anybody may ask, and as often as they like: the parts are not asked more often than this."""
PART_SECONDS = 2.0

_last: tuple[float, str, str] | None = None


@dataclass(frozen=True, slots=True)
class Readiness:
    """``ok``, ``ahead`` (a newer version has migrated already), ``down``."""

    migrations: str
    prefect: str
    redis: str

    @property
    def is_degraded(self) -> bool:
        return DOWN in (self.prefect, self.redis)


async def check_readiness() -> Readiness:
    """The state of the database now, and of the other parts at most :data:`FRESH_SECONDS` ago.

    Raises :class:`Unavailable` ``database_unavailable`` or ``migrations_pending``.
    """
    migrations = await _migrations()
    return Readiness(migrations, *await _parts())


async def prefect_is_up() -> bool:
    """Whether Prefect answered at most :data:`FRESH_SECONDS` ago."""
    return (await _parts())[0] == OK


async def _parts() -> tuple[str, str]:
    global _last
    if _last is None or time.monotonic() - _last[0] > FRESH_SECONDS:
        prefect, redis = await asyncio.gather(_is_up(prefect_answers), _is_up(_redis_answers))
        _last = (time.monotonic(), prefect, redis)
    return _last[1:]


async def _migrations() -> str:
    async with get_session() as session:
        current = await session.scalar(text("SELECT max(version_num) FROM alembic_version"))
    if current is None or current < REVISION:
        raise Unavailable(
            "The database is older than this version of Datanika.",
            code="migrations_pending",
            hint="Run `alembic upgrade head`; `datanika up` and Compose do it when they start.",
        )
    return OK if current == REVISION else AHEAD


async def _is_up(ask: Callable[[], Awaitable[None]]) -> str:
    """Whether a part answers in time; whatever it says instead, it is not there for us."""
    try:
        async with asyncio.timeout(PART_SECONDS):
            await ask()
    except Exception as error:
        logger.debug("A part is down: %s", type(error).__name__)
        return DOWN
    return OK


async def _redis_answers() -> None:
    from redis.asyncio import Redis

    client = Redis.from_url(settings.require("redis_url"))
    try:
        # Its type says that it may be a value; from this client it never is.
        answer: Any = client.ping()
        await answer
    finally:
        await client.aclose()
