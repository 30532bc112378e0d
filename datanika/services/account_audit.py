"""What happens to a person's account, in the audit log of the organisations it concerns."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.models import Membership, Organization, User
from datanika.services.audit_service import SystemActor, record


async def record_everywhere(
    session: AsyncSession,
    user_id: int,
    action: str,
    new: dict[str, Any] | None = None,
    *,
    by: str | None = None,
) -> None:
    """Something that concerns every organisation of the user: ``user.logged_in``.

    ``by`` names who did it where it was not the user. ``session`` is in system scope; ``record``
    locks the organisations' chains, so call this last.
    """
    email = await session.scalar(select(User.email).where(User.id == user_id))
    org_ids = await session.scalars(
        select(Membership.org_id)
        .join(Organization, Organization.id == Membership.org_id)
        .where(
            Membership.user_id == user_id,
            Membership.deleted_at.is_(None),
            Organization.deleted_at.is_(None),
        )
        # In one order: two of these at once must not wait for each other.
        .order_by(Membership.org_id)
    )
    for org_id in org_ids.all():
        actor = SystemActor(org_id, by) if by else SystemActor(org_id, email or "system", user_id)
        await record(session, actor, action, "user", user_id, new={"email": email, **(new or {})})
