"""What the web process does beside answering: reconcile, deliver notifications, send mails again,
write failed logins into the audit logs, have unused replication slots dropped, and measure what
organisations store.

FastAPI's lifespan does not run under Reflex: whoever serves the application enters
:func:`background_tasks`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from datanika.orchestration.gateway import preload
from datanika.services.delivery import deliver_due
from datanika.services.failed_logins import record_failures
from datanika.services.mail_queue import send_due
from datanika.services.metrics import RECONCILER_LAST, RECONCILER_PASSES
from datanika.services.reconciler import reconcile, renew_leases
from datanika.services.retention import measure_storage
from datanika.services.slot_releases import enqueue_releases

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 10.0
BUSY_SECONDS = 0.5
"""How soon it goes on while a pass finds something to do."""
DELIVERY_SECONDS = 2.0
"""How long a notification waits when there was nothing to deliver before it."""
MEASURE_SECONDS = 300.0
MAIL_SECONDS = 5.0
"""How often mails are looked for that did not go at once."""
RECORD_SECONDS = 5.0
"""How long a failed login waits for its audit entries."""
RELEASE_SECONDS = 5.0
"""How often replication slots are looked for that no pipeline uses any more."""
DEAF_SECONDS = 25.0
"""After so long without a pass this process, or its database, was away: running attempts could
not be heard, and must not be taken for dead."""

_last_pass: float | None = None


async def run_reconciler() -> dict[str, int]:
    """One pass of the reconciler; see :func:`~datanika.services.reconciler.reconcile`."""
    global _last_pass
    if _last_pass is None or time.monotonic() - _last_pass > DEAF_SECONDS:
        await renew_leases()
    try:
        counts = await reconcile()
    except Exception:
        RECONCILER_PASSES.labels("failed").inc()
        raise
    RECONCILER_PASSES.labels("done").inc()
    RECONCILER_LAST.set_to_current_time()
    _last_pass = time.monotonic()
    return counts


@asynccontextmanager
async def background_tasks() -> AsyncIterator[None]:
    """Reconcile, deliver, mail, record and measure while the block is open."""
    tasks = [
        asyncio.create_task(_reconcile_forever(), name="reconciler"),
        asyncio.create_task(_deliver_forever(), name="delivery"),
        asyncio.create_task(_mail_forever(), name="mails"),
        asyncio.create_task(_record_forever(), name="failed logins"),
        asyncio.create_task(_release_forever(), name="slots"),
        asyncio.create_task(_measure_forever(), name="storage"),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _reconcile_forever() -> None:
    # Requests are answered meanwhile.
    await asyncio.to_thread(preload)
    while True:
        try:
            counts = await run_reconciler()
        except Exception as error:
            # Whatever it was, the next pass may well work: the database may be restarting.
            logger.warning("The reconciler did not finish its pass: %r", error)
            counts = {}
        if any(counts.values()):
            logger.info("Reconciled: %s", counts)
        await asyncio.sleep(BUSY_SECONDS if any(counts.values()) else INTERVAL_SECONDS)


async def _deliver_forever() -> None:
    while True:
        try:
            counts = await deliver_due()
        except Exception as error:
            logger.warning("Notifications wait: %r", error)
            counts = {}
        if not any(counts.values()):
            await asyncio.sleep(DELIVERY_SECONDS)


async def _mail_forever() -> None:
    while True:
        try:
            await send_due()
        except Exception as error:
            logger.warning("Mails wait: %r", error)
        await asyncio.sleep(MAIL_SECONDS)


async def _record_forever() -> None:
    while True:
        try:
            await record_failures()
        except Exception as error:
            logger.warning("Failed logins wait for their audit entries: %r", error)
        await asyncio.sleep(RECORD_SECONDS)


async def _release_forever() -> None:
    while True:
        try:
            await enqueue_releases()
        except Exception as error:
            logger.warning("Unused replication slots wait: %r", error)
        await asyncio.sleep(RELEASE_SECONDS)


async def _measure_forever() -> None:
    while True:
        await asyncio.sleep(MEASURE_SECONDS)
        try:
            await measure_storage()
        except Exception as error:
            logger.warning("Storage was not measured: %r", error)
