"""What ends with time: log lines, tokens, kept answers, and organisations that were deleted."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import os
import shutil
from pathlib import Path

from sqlalchemy import delete, exists, func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.config import settings
from datanika.contracts.events import utcnow
from datanika.contracts.notifications import DeliveryState
from datanika.db import SYSTEM, get_session
from datanika.errors import NotFound
from datanika.models import (
    IdempotencyKey,
    Job,
    LoginSession,
    NotificationDelivery,
    Organization,
    Pipeline,
    RefreshToken,
    Run,
    RunLog,
    Throttle,
    UserToken,
)
from datanika.services.audit_service import SystemActor, record
from datanika.services.organization_service import redeploy_everything
from datanika.services.run_rows import FINAL_STATES
from datanika.services.usage_counter import month_of, store_storage, used_in

logger = logging.getLogger(__name__)

RETENTION = dt.timedelta(days=90)
MEASURE_LOCK = 0x6461_7461_6D65_6173
"""Key of the advisory lock: one process measures at a time."""
_BLOCK = 512
"""Bytes of a block of ``st_blocks``, whatever the file system's own (stat(2))."""


async def delete_old(now: dt.datetime | None = None) -> dict[str, int]:
    """Log lines and deliveries after 90 days, the rest when its own end has come, deleted
    organisations after ``DATANIKA_PURGE_AFTER_DAYS``."""
    now = now or utcnow()
    async with get_session(SYSTEM) as session:
        old_runs = select(Run.id).where(Run.finished_at < now - RETENTION)
        logs = await _deleted(session, delete(RunLog).where(RunLog.run_id.in_(old_runs)))
        ended = or_(
            RefreshToken.expires_at < now, RefreshToken.revoked_at < now - dt.timedelta(days=30)
        )
        tokens = await _deleted(session, delete(RefreshToken).where(ended))
        ended = or_(
            LoginSession.expires_at < now - RETENTION, LoginSession.revoked_at < now - RETENTION
        )
        tokens += await _deleted(session, delete(LoginSession).where(ended))
        tokens += await _deleted(session, delete(UserToken).where(UserToken.expires_at < now))
        forgotten = Throttle.last_at < now - dt.timedelta(days=1)
        throttles = await _deleted(session, delete(Throttle).where(forgotten))
        jobs = await _deleted(session, delete(Job).where(Job.expires_at < now))
        keys = await _deleted(
            session, delete(IdempotencyKey).where(IdempotencyKey.expires_at < now)
        )
        done = (
            NotificationDelivery.state != DeliveryState.PENDING.value,
            NotificationDelivery.created_at < now - RETENTION,
        )
        deliveries = await _deleted(session, delete(NotificationDelivery).where(*done))
    purged = await purge_organizations(now)
    return {
        "log_lines": logs,
        "tokens": tokens,
        "throttles": throttles,
        "jobs": jobs,
        "idempotency_keys": keys,
        "deliveries": deliveries,
        "organizations": purged,
    }


async def purge_organizations(now: dt.datetime) -> int:
    """Remove for good what was deleted long enough ago: every row and the folder.

    One whose deployments Prefect still has, or whose last run is not over, waits.
    """
    unfinished = exists().where(Run.org_id == Organization.id, Run.state.not_in(FINAL_STATES))
    deployed = exists().where(
        Pipeline.org_id == Organization.id, Pipeline.deployment_id.is_not(None)
    )
    async with get_session(SYSTEM) as session:
        ids = await session.scalars(
            select(Organization.id)
            .where(
                Organization.deleted_at < now - dt.timedelta(days=settings.purge_after_days),
                ~unfinished,
                ~deployed,
            )
            .order_by(Organization.id)
        )
    return sum([await _purge(org_id) for org_id in ids.all()])


async def _purge(org_id: int) -> int:
    # The folder first: with its row there, an interrupted purge is tried again.
    try:
        await asyncio.to_thread(_remove_folder, settings.org_root(org_id))
    except OSError as error:
        logger.error("The folder of organisation %s was not removed: %s", org_id, error)
        return 0
    async with get_session(SYSTEM) as session:
        # Every other row goes with it: the foreign keys cascade.
        gone = await _deleted(
            session,
            delete(Organization).where(
                Organization.id == org_id, Organization.deleted_at.is_not(None)
            ),
        )
    logger.info("Organisation %s was purged.", org_id)
    return gone


async def restore_organization(session: AsyncSession, reference: str) -> Organization:
    """Undo a deletion, by id or slug, while the rows are there. ``session`` is in system scope.

    Its runs stay cancelled; its schedules go on.
    """
    organization = await find_organization(session, reference, deleted=True)
    organization.deleted_at = None
    await session.flush()
    await redeploy_everything(session, organization.id)
    await record(
        session, SystemActor(organization.id, "operator"), "organization.restored",
        "organization", organization.id,
    )  # fmt: skip
    return organization


async def find_organization(
    session: AsyncSession, reference: str, *, deleted: bool = False
) -> Organization:
    """A live (or a ``deleted``) organisation by id or slug; raises :class:`NotFound`."""
    named = Organization.slug == reference
    if reference.isdecimal() and len(reference) < 19:
        named = Organization.id == int(reference)
    found = await session.scalar(
        select(Organization).where(named, Organization.deleted_at.is_not(None) == deleted)
    )
    if found is None:
        which = "deleted organisation" if deleted else "organisation"
        raise NotFound(f"There is no {which} {reference!r}.", code="organization_not_found")
    return found


async def measure_storage() -> int:
    """Measure every organisation's folder and remember it; how many have changed."""
    changed = 0
    async with get_session(SYSTEM) as lock:
        if not await lock.scalar(
            text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": MEASURE_LOCK}
        ):
            return 0
        ids = await lock.scalars(select(Organization.id).where(Organization.deleted_at.is_(None)))
        for org_id in ids.all():
            used = await asyncio.to_thread(folder_bytes, settings.org_root(org_id))
            async with get_session(SYSTEM) as session:
                known = await used_in(session, org_id, month_of(utcnow()))
                if known.storage_bytes != used:
                    await store_storage(session, org_id, used)
                    changed += 1
            # An idle transaction would be ended after some minutes.
            await lock.execute(select(func.now()))
    return changed


def folder_bytes(folder: Path) -> int:
    """What the files under ``folder`` take on disk. Links are not followed."""
    total, todo = 0, [folder]
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(Path(entry.path))
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * _BLOCK
        except FileNotFoundError:
            # A run may delete its files meanwhile.
            continue
    return total


def _remove_folder(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


async def _deleted(session: AsyncSession, statement: object) -> int:
    result = await session.execute(statement)  # type: ignore[call-overload]
    return int(result.rowcount)
