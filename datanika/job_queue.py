"""The queue of ad hoc jobs, from its sender's side: Celery on Redis. It carries ids only."""

from __future__ import annotations

import asyncio
from functools import cache

from celery import Celery
from celery.exceptions import CeleryError
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from datanika.config import settings
from datanika.contracts.jobs import CELERY
from datanika.errors import Unavailable

PATIENCE = 3
"""Seconds for Redis to answer."""


async def send(task: str, org_id: int, number: int) -> None:
    """Queue a task about the row ``number``; raises :class:`Unavailable` ``jobs_unavailable``."""
    try:
        await asyncio.to_thread(_send, task, org_id, number)
    except (RedisError, KombuError, CeleryError, OSError):
        raise Unavailable(
            "Ad hoc jobs are not available now.",
            code="jobs_unavailable",
            hint="Redis does not answer. Pipelines run without it.",
        ) from None


@cache
def _celery(url: str) -> Celery:
    app = Celery("datanika", broker=url, set_as_current=False)
    # Redis away: the request says so at once instead of waiting for it.
    patience = {"socket_connect_timeout": PATIENCE, "socket_timeout": PATIENCE}
    app.conf.update(CELERY, broker_transport_options=patience)
    return app


def _send(name: str, org_id: int, number: int) -> None:
    _celery(settings.require("redis_url")).send_task(name, args=(org_id, number), retry=False)
