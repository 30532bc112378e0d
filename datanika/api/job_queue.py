"""The queue of the workers for ad hoc jobs, as the web process sees it."""

from __future__ import annotations

import asyncio
from functools import cache

from celery import Celery
from celery.exceptions import CeleryError
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from datanika.config import settings
from datanika.contracts.jobs import CELERY, RELEASE_SLOTS
from datanika.errors import ConfigError
from datanika.services.slot_releases import claim_releases, postpone

PATIENCE = 3
"""Seconds for Redis to answer."""
QUEUE_ERRORS = (RedisError, KombuError, CeleryError, OSError)
"""What :func:`enqueue` raises when Redis is away."""


async def enqueue(task: str, org_id: int, number: int) -> None:
    """Put a task into the queue: ids only."""
    await asyncio.to_thread(_send, task, org_id, number)


async def enqueue_releases() -> int:
    """Tell a worker which replication slots are due to be dropped; of how many connections."""
    claimed = await claim_releases()
    for place, (org_id, connection_id) in enumerate(claimed):
        try:
            await enqueue(RELEASE_SLOTS, org_id, connection_id)
        except (*QUEUE_ERRORS, ConfigError):
            for left in claimed[place:]:
                await postpone(*left)
            return place
    return len(claimed)


@cache
def _celery(url: str) -> Celery:
    app = Celery("datanika", broker=url, set_as_current=False)
    # Redis away: the request says so at once instead of waiting for it.
    patience = {"socket_connect_timeout": PATIENCE, "socket_timeout": PATIENCE}
    app.conf.update(CELERY, broker_transport_options=patience)
    return app


def _send(name: str, org_id: int, number: int) -> None:
    _celery(settings.require("redis_url")).send_task(name, args=(org_id, number), retry=False)
