"""Delivers notifications: claims what is due, sends it outside of any transaction, remembers.

The rows are the queue (ADR 0009). A claim moves the next attempt into the future, so a second web
process does not see the row, and one that dies only delays it: a message may arrive twice, with
the same event id, but is never lost.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import random
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.events import utcnow
from datanika.contracts.notifications import ChannelKind, DeliveryState
from datanika.db import SYSTEM, get_session
from datanika.models import NotificationChannel, NotificationDelivery
from datanika.services.audit_service import SystemActor, record
from datanika.services.metrics import DELIVERIES
from datanika.services.notification_senders import Message, Sent, send
from datanika.services.notification_service import UNHEALTHY_AFTER, open_secrets

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 8
FIRST_DELAY = dt.timedelta(seconds=10)
LONGEST_DELAY = dt.timedelta(hours=6)
"""10 s, 40 s, 3 min, 11 min, 43 min, 3 h, 6 h: about ten hours until a message is given up."""
CLAIM = dt.timedelta(seconds=90)
"""Longer than any sender takes."""
BATCH = 20
PER_CHANNEL = 4
"""Of a batch: a channel that hangs must not keep the others waiting."""

_PENDING = DeliveryState.PENDING.value


@dataclass(frozen=True, slots=True)
class _Claimed:
    """A delivery of this process until :data:`CLAIM` is over."""

    id: int
    org_id: int
    channel_id: int
    attempt: int
    kind: ChannelKind
    message: Message | None = field(repr=False)
    """None: its channel is gone or switched off."""


async def deliver_due() -> dict[str, int]:
    """Deliver a batch of what is due; how many were ``delivered``, ``retried``, ``failed`` and
    ``cancelled``."""
    return await _deliver(await _claim())


async def deliver_one(delivery_id: int) -> None:
    """Deliver this one now, if it is due and nobody else has it."""
    await _deliver(await _claim(delivery_id))


def delay_after(attempts: int) -> dt.timedelta:
    """How long to wait after so many failed attempts, a quarter more or less."""
    delay: dt.timedelta = min(FIRST_DELAY * 4 ** (attempts - 1), LONGEST_DELAY)
    return delay * random.uniform(0.75, 1.25)


async def _claim(delivery_id: int | None = None) -> list[_Claimed]:
    now = utcnow()
    due = (NotificationDelivery.state == _PENDING, NotificationDelivery.next_attempt_at <= now)
    place = func.row_number().over(
        partition_by=NotificationDelivery.channel_id,
        order_by=NotificationDelivery.next_attempt_at,
    )
    numbered = select(NotificationDelivery.id, place.label("place")).where(*due).subquery()
    chosen = select(numbered.c.id).where(numbered.c.place <= PER_CHANNEL)
    # What is due is asked again: between the two another process may have taken it.
    query = select(NotificationDelivery).where(*due, NotificationDelivery.id.in_(chosen))
    if delivery_id is not None:
        query = select(NotificationDelivery).where(*due, NotificationDelivery.id == delivery_id)
    async with get_session(SYSTEM) as session:
        rows = (
            await session.scalars(
                query.order_by(NotificationDelivery.next_attempt_at)
                .limit(BATCH)
                .with_for_update(skip_locked=True)
            )
        ).all()
        channels = await _channels(session, {row.channel_id for row in rows})
        for row in rows:
            row.attempts += 1
            row.next_attempt_at = now + CLAIM
        return [_claimed(row, channels[row.channel_id]) for row in rows]


async def _channels(session: AsyncSession, ids: set[int]) -> dict[int, NotificationChannel]:
    if not ids:
        return {}
    query = select(NotificationChannel).where(NotificationChannel.id.in_(ids))
    return {channel.id: channel for channel in await session.scalars(query)}


def _claimed(row: NotificationDelivery, channel: NotificationChannel) -> _Claimed:
    kind = ChannelKind(channel.kind)
    message = None
    if channel.deleted_at is None and channel.is_active:
        message = Message(kind, channel.config, lambda: open_secrets(channel), row.payload)
    return _Claimed(row.id, row.org_id, row.channel_id, row.attempts, kind, message)


async def _deliver(claimed: list[_Claimed]) -> dict[str, int]:
    counts = {"delivered": 0, "retried": 0, "failed": 0, "cancelled": 0}
    for outcome in await asyncio.gather(*(_attempt(one) for one in claimed)):
        counts[outcome] += 1
    return counts


async def _attempt(one: _Claimed) -> str:
    """Send and remember; what became of it."""
    if one.message is None:
        sent = Sent(error="The channel is switched off.", final=True)
    else:
        sent = await send(one.message)
    now = utcnow()
    values: dict[str, Any] = {"status_code": sent.status_code, "error": sent.error}
    if one.message is None:
        outcome, values["state"] = "cancelled", DeliveryState.CANCELLED.value
    elif sent.error is None:
        outcome, values["state"] = "delivered", DeliveryState.DELIVERED.value
        values["delivered_at"] = now
    elif sent.final or one.attempt >= MAX_ATTEMPTS:
        outcome, values["state"] = "failed", DeliveryState.FAILED.value
    else:
        outcome, values["next_attempt_at"] = "retried", now + delay_after(one.attempt)
    async with get_session(SYSTEM) as session:
        if one.message is not None:
            await _count(session, one, failed=sent.error is not None)
        await session.execute(
            update(NotificationDelivery)
            .where(
                NotificationDelivery.id == one.id,
                NotificationDelivery.state == _PENDING,
                # Somebody may have asked for it again, or taken it over, meanwhile.
                NotificationDelivery.attempts == one.attempt,
            )
            .values(**values)
            .execution_options(synchronize_session=False)
        )
    DELIVERIES.labels(one.kind.value, outcome).inc()
    if sent.error is not None:
        logger.info("Delivery %s, attempt %s: %s", one.id, one.attempt, sent.error)
    return outcome


async def _count(session: AsyncSession, one: _Claimed, *, failed: bool) -> None:
    """The channel's failures in a row. The channel is locked before its deliveries, as everywhere.

    updated_at stays: nobody changed the channel.
    """
    here = NotificationChannel.id == one.channel_id
    statement = update(NotificationChannel).execution_options(synchronize_session=False)
    same: dict[str, Any] = {"updated_at": NotificationChannel.updated_at}
    if not failed:
        await session.execute(
            statement.where(here, NotificationChannel.consecutive_failures > 0).values(
                consecutive_failures=0, **same
            )
        )
        return
    failures = await session.scalar(
        statement.where(here)
        .values(consecutive_failures=NotificationChannel.consecutive_failures + 1, **same)
        .returning(NotificationChannel.consecutive_failures)
    )
    if failures == UNHEALTHY_AFTER:
        await record(
            session, SystemActor(one.org_id, "notifications"), "notification_channel.unhealthy",
            "notification_channel", one.channel_id, new={"consecutive_failures": failures},
        )  # fmt: skip
