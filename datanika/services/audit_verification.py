"""Whether audit logs are as they were written: for the organisation itself, and for operators."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.db import SYSTEM, get_session
from datanika.models import AuditLog, Organization
from datanika.services.actor import Actor
from datanika.services.audit_service import verify


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the check of an organisation's chain has found."""

    org_id: int
    entries: int
    first_bad_id: int | None
    """The first entry that was changed, moved or follows a deleted one; 0 when every entry is
    gone."""

    @property
    def is_whole(self) -> bool:
        return self.first_bad_id is None

    @property
    def reason(self) -> str:
        """In words, for a broken chain."""
        if self.first_bad_id == 0:
            return "its entries are gone"
        return f"the first bad entry, or the last one before deleted ones, is {self.first_bad_id}"


async def verify_own(session: AsyncSession, actor: Actor) -> Verdict:
    """Check the chain of the actor's organisation."""
    actor.require("audit:read")
    return await _verdict(session, actor.org_id)


async def verify_all(only: int | None = None) -> AsyncIterator[Verdict]:
    """Check every organisation's chain (deleted ones too), or that of ``only``."""
    async with get_session(SYSTEM) as session:
        query = select(Organization.id).order_by(Organization.id)
        if only is not None:
            query = query.where(Organization.id == only)
        org_ids = (await session.scalars(query)).all()
    for org_id in org_ids:
        async with get_session(SYSTEM) as session:
            yield await _verdict(session, org_id)


async def _verdict(session: AsyncSession, org_id: int) -> Verdict:
    bad = await verify(session, org_id)
    entries = await session.scalar(
        select(func.count()).select_from(AuditLog).where(AuditLog.org_id == org_id)
    )
    return Verdict(org_id, entries or 0, bad)
