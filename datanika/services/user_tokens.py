"""Rights to do one thing once: links in mails, recovery codes, and what was used already.

Everything here needs a session in system scope. Only the sha256 of a token is stored.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

from sqlalchemy import delete, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.events import utcnow
from datanika.errors import InvalidInput
from datanika.models import UserToken
from datanika.security import hash_token, new_token

Purpose = Literal[
    "verify_email",
    "reset_password",
    "change_email",
    "recovery_code",
    "totp_step",
    "oidc_state",
    "login_failed",
]

LIFETIME: dict[Purpose, dt.timedelta] = {
    "verify_email": dt.timedelta(days=3),
    "reset_password": dt.timedelta(hours=1),
    "change_email": dt.timedelta(hours=24),
    "recovery_code": dt.timedelta(days=3650),
    "totp_step": dt.timedelta(minutes=10),
    "oidc_state": dt.timedelta(minutes=30),
    "login_failed": dt.timedelta(hours=2),
}


async def issue(
    session: AsyncSession,
    user_id: int | None,
    purpose: Purpose,
    data: dict[str, Any] | None = None,
    token: str | None = None,
) -> str:
    """A new token. For nobody (``user_id`` None) it costs the same and opens nothing."""
    token = token or new_token()
    session.add(
        UserToken(
            user_id=user_id,
            purpose=purpose,
            token_hash=hash_token(token),
            data=data or {},
            expires_at=utcnow() + LIFETIME[purpose],
        )
    )
    await session.flush()
    return token


async def use_up(session: AsyncSession, token: str, *purposes: Purpose) -> UserToken:
    """The live token's row, which is used up: of parallel calls one gets it.

    Raises :class:`InvalidInput` ``token_invalid``.
    """
    row: UserToken | None = await session.scalar(
        update(UserToken)
        .where(
            UserToken.token_hash == hash_token(token),
            UserToken.purpose.in_(purposes),
            UserToken.user_id.is_not(None),
            UserToken.used_at.is_(None),
            UserToken.expires_at > func.now(),
        )
        .values(used_at=func.now())
        .returning(UserToken)
        .execution_options(synchronize_session=False)
    )
    if row is None:
        raise token_invalid()
    return row


async def first_use(session: AsyncSession, value: str, purpose: Purpose) -> bool:
    """Whether ``value`` was not seen before for this purpose; from now on it was."""
    row_id = await session.scalar(
        insert(UserToken)
        .values(
            purpose=purpose,
            token_hash=hash_token(f"{purpose}:{value}"),
            data={},
            used_at=utcnow(),
            expires_at=utcnow() + LIFETIME[purpose],
        )
        .on_conflict_do_nothing()
        .returning(UserToken.id)
    )
    return row_id is not None


async def forget(session: AsyncSession, user_id: int, *purposes: Purpose) -> None:
    """Delete the user's tokens for ``purposes``, or all of them."""
    statement = delete(UserToken).where(UserToken.user_id == user_id)
    if purposes:
        statement = statement.where(UserToken.purpose.in_(purposes))
    await session.execute(statement)


def token_invalid() -> InvalidInput:
    """For a token that is unknown, used, expired or out of date."""
    return InvalidInput(
        "The link is not valid, has expired or was used before.",
        code="token_invalid",
        field="token",
        hint="Ask for a new one.",
    )
