"""The end of an account: what is left names nobody.

The user's row stays, empty, because runs and versions refer to it; the audit log keeps the address
under which things were done, because it can only be appended to.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.enums import Role
from datanika.contracts.events import utcnow
from datanika.errors import Conflict
from datanika.models import (
    LoginSession,
    Membership,
    Organization,
    RefreshToken,
    User,
    UserToken,
)
from datanika.services.account_audit import record_everywhere
from datanika.services.actor import prove_membership
from datanika.services.organization_service import OrganizationService
from datanika.services.takeover import revoke_keys


async def erase(session: AsyncSession, user: User) -> Sequence[str]:
    """Anonymise the locked ``user``, end their logins, keys and memberships, delete the rest.

    An organisation where they are alone is deleted as its owner deletes it; the flow runs that
    Prefect should be told to cancel. Raises :class:`Conflict` ``owner_of_organizations`` while
    they own one with other members. System scope.
    """
    owned = await _owned(session, user.id)
    await _refuse_shared(session, user.id, owned)
    flow_runs: list[str] = []
    for org_id in owned:
        actor = await prove_membership(session, user.id, org_id)
        flow_runs += await OrganizationService(session, actor).delete()
    # Somebody may have joined until the deletion had its locks.
    await _refuse_shared(session, user.id, owned)
    await record_everywhere(session, user.id, "user.erased")
    now = utcnow()
    for table in (RefreshToken, LoginSession, UserToken):
        await session.execute(delete(table).where(table.user_id == user.id))
    await revoke_keys(session, user.id)
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
    return flow_runs


async def _owned(session: AsyncSession, user_id: int) -> Sequence[int]:
    """The live organisations that the user owns."""
    ids = await session.scalars(
        select(Organization.id)
        .join(Membership, Membership.org_id == Organization.id)
        .where(
            Membership.user_id == user_id,
            Membership.role == Role.OWNER,
            Membership.deleted_at.is_(None),
            Organization.deleted_at.is_(None),
        )
        .order_by(Organization.id)
    )
    return ids.all()


async def _refuse_shared(session: AsyncSession, user_id: int, org_ids: Sequence[int]) -> None:
    names = await session.scalars(
        select(Organization.name)
        .where(
            Organization.id.in_(org_ids),
            exists().where(
                Membership.org_id == Organization.id,
                Membership.user_id != user_id,
                Membership.deleted_at.is_(None),
            ),
        )
        .order_by(Organization.id)
    )
    if shared := names.all():
        raise Conflict(
            f"You own organisations that have other members: {', '.join(shared)}.",
            code="owner_of_organizations",
            hint="Transfer each of them to another member, or remove the members, first.",
        )
