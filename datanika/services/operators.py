"""Operators: the people who run the platform itself. Made from the command line only."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.errors import NotFound
from datanika.models import User
from datanika.services.account_audit import record_everywhere
from datanika.services.auth import known_email


async def is_operator(session: AsyncSession, email: str) -> bool:
    """Whether the user runs the platform; raises :class:`NotFound`. System scope."""
    return (await _user(session, email)).is_instance_admin


async def set_operator(session: AsyncSession, email: str, granted: bool) -> bool:
    """Make the user an operator, or end that; it is in the audit log of each of their
    organisations. System scope."""
    user = await _user(session, email)
    if user.is_instance_admin == granted:
        return granted
    user.is_instance_admin = granted
    await session.flush()
    action = "operator.granted" if granted else "operator.revoked"
    await record_everywhere(session, user.id, action, by="command line")
    return granted


async def _user(session: AsyncSession, email: str) -> User:
    user = await session.scalar(
        select(User)
        .where(User.email == known_email(email), User.deleted_at.is_(None))
        .with_for_update(key_share=True)
    )
    if user is None:
        raise NotFound(f"There is no user {email!r}.", code="user_not_found")
    return user
