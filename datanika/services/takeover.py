"""What somebody who was in another's account may have left there to come back with.

A new password always ends the other logins and the links of mails that were asked for before. API
keys and logins at other providers outlive it unless their owner says so: keys belong to programs
that would stop (GitHub, GitLab and AWS do the same, and offer to revoke them). System scope.
"""

from __future__ import annotations

from sqlalchemy import delete, func, update
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.models import ApiKey, UserIdentity
from datanika.services.user_tokens import forget


async def forget_links(session: AsyncSession, user_id: int) -> None:
    """Links to choose a password or to move the account to another address: dead."""
    await forget(session, user_id, "reset_password", "change_email")


async def revoke_keys(session: AsyncSession, user_id: int) -> None:
    """Every API key that the user made, in every organisation: revoked. Every login at another
    provider: unlinked."""
    await session.execute(
        update(ApiKey)
        .where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .execution_options(synchronize_session=False)
    )
    await session.execute(delete(UserIdentity).where(UserIdentity.user_id == user_id))
