"""What somebody did to their own account, in the audit log of every organisation they are in."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.models import Membership, Organization, User
from datanika.services.audit_service import SystemActor, record


async def record_everywhere(
    session: AsyncSession, user: User, action: str, **change: dict[str, Any]
) -> None:
    """``change``: ``old`` and ``new``, as for :func:`record`. System scope."""
    org_ids = await session.scalars(
        select(Membership.org_id)
        .join(Organization, Organization.id == Membership.org_id)
        .where(
            Membership.user_id == user.id,
            Membership.deleted_at.is_(None),
            Organization.deleted_at.is_(None),
        )
        # Each locks its organisation's chain: in one order, so that two cannot wait for each other.
        .order_by(Membership.org_id)
    )
    for org_id in org_ids.all():
        await record(session, SystemActor(org_id, user.email), action, "user", user.id, **change)
