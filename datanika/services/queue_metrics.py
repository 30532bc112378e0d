"""What Prometheus is told of the queue: how many runs of all organisations wait for what."""

from __future__ import annotations

import logging

from prometheus_client import Gauge

from datanika.contracts.events import utcnow
from datanika.db import SYSTEM, get_session
from datanika.services.metrics import REGISTRY
from datanika.services.queue_service import WaitReason, waits_by_reason

logger = logging.getLogger(__name__)

QUEUE_RUNS = Gauge(
    "datanika_queue_runs", "Runs that wait, by what they wait for.", ("reason",), registry=REGISTRY
)
QUEUE_WAIT = Gauge(
    "datanika_queue_wait_seconds",
    "How long the oldest run that waits for this has been queued.",
    ("reason",),
    registry=REGISTRY,
)


async def refresh_queue() -> None:
    """Bring the gauges up to date; without a database they stay as they were."""
    try:
        async with get_session(SYSTEM) as session:
            found = await waits_by_reason(session)
    except Exception as error:
        logger.debug("The queue was not counted: %s", type(error).__name__)
        return
    now = utcnow()
    for reason in WaitReason:
        count, oldest = found.get(reason, (0, now))
        QUEUE_RUNS.labels(reason.value).set(count)
        QUEUE_WAIT.labels(reason.value).set(max(0.0, (now - oldest).total_seconds()))
