"""The Celery application. JSON only: a pickle in the queue would be code."""

from __future__ import annotations

from typing import Any

from celery import Celery

from datanika.config import settings
from datanika.contracts.jobs import CELERY


def _configuration() -> dict[str, Any]:
    """Raises :class:`~datanika.errors.ConfigError` where ``REDIS_URL`` is missing."""
    url = settings.require("redis_url")
    return {"broker_url": url, **CELERY}


app = Celery("datanika")
# Asked for on first use: importing this needs no REDIS_URL.
app.add_defaults(_configuration)
