"""The end of an account: what is left names nobody.

The user's row stays, empty, because runs and versions refer to it; the audit log keeps the address
under which things were done, because it can only be appended to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.enums import Role
from datanika.contracts.events import utcnow
from datanika.errors import Conflict
from datanika.models import (
    ApiKey,
    LoginSession,
    Membership,
    Organization,
    RefreshToken,
    User,
    UserIdentity,
    UserToken,
)
from datanika.services.account_log import record_everywhere
from datanika.services.audit_service import SystemActor, record


@dataclass(frozen=True, slots=True)
class _Owned:
    organization: Organization
    others: int


async def erase(session: AsyncSession, user: User) -> None:
    """Anonymise the locked ``user``, end their logins, keys and memberships, delete the rest.

    An organisation where they are alone is deleted softly. Raises :class:`Conflict`
    ``owner_of_organizations`` while they own one with other members. System scope.
    """
    owned = await _owned(session, user.id)
    shared = [one.organization.name for one in owned if one.others]
    if shared:
        raise Conflict(
            f"You own organisations that have other members: {', '.join(shared)}.",
            code="owner_of_organizations",
            hint="Transfer each of them to another member, or remove the members, first.",
        )
    now = utcnow()
    await record_everywhere(session, user, "user.erased")
    for one in owned:
        one.organization.deleted_at = now
        await session.flush()
        await record(
            session, SystemActor(one.organization.id), "organization.deleted", "organization",
            one.organization.id, old={"name": one.organization.name},
        )  # fmt: skip
    for table in (RefreshToken, LoginSession, UserIdentity, UserToken):
        await session.execute(delete(table).where(table.user_id == user.id))
    await session.execute(
        update(ApiKey)
        .where(ApiKey.user_id == user.id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=now)
        .execution_options(synchronize_session=False)
    )
    await session.execute(
        update(Membership)
        .where(Membership.user_id == user.id, Membership.deleted_at.is_(None))
        .values(deleted_at=now)
        .execution_options(synchronize_session=False)
    )
    user.email, user.name = f"erased-{user.id}@erased.invalid", "Erased user"
    user.password_hash = user.totp_secret = None
    user.totp_enabled_at = user.email_verified_at = None
    user.is_instance_admin = False
    user.deleted_at = now
    await session.flush()


async def _owned(session: AsyncSession, user_id: int) -> Sequence[_Owned]:
    """The live organisations that the user owns, locked: nobody joins them meanwhile."""
    organizations = await session.scalars(
        select(Organization)
        .join(Membership, Membership.org_id == Organization.id)
        .where(
            Membership.user_id == user_id,
            Membership.role == Role.OWNER,
            Membership.deleted_at.is_(None),
            Organization.deleted_at.is_(None),
        )
        .order_by(Organization.id)
        .with_for_update(of=Organization)
    )
    owned = []
    for organization in organizations.all():
        others = await session.scalar(
            select(func.count(Membership.id)).where(
                Membership.org_id == organization.id,
                Membership.user_id != user_id,
                Membership.deleted_at.is_(None),
            )
        )
        owned.append(_Owned(organization, others or 0))
    return owned
