"""Failed logins in the audit logs of who was tried: at most one entry in an hour for each account
and reason, because anybody can cause them.

An hour is after how long the throttle forgets. The failure is noted where it happens, and becomes
audit entries later: for a known account those take longer than for an unknown one, and the answer
must not tell which it was. System scope.
"""

from __future__ import annotations

import time
from typing import Literal

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from datanika.contracts.events import utcnow
from datanika.db import SYSTEM, get_session
from datanika.models import UserToken
from datanika.security import hash_token
from datanika.services.account_audit import record_everywhere
from datanika.services.throttle import FORGOTTEN_AFTER
from datanika.services.user_tokens import LIFETIME

Reason = Literal["password", "second factor"]


async def note_failure(account: str, user_id: int | None, reason: Reason, address: str) -> None:
    """Note that somebody at ``address`` failed to log in as ``account``; ``user_id`` None where
    nobody is called so. It stays although the request fails."""
    now = utcnow()
    window = int(time.time() // FORGOTTEN_AFTER.total_seconds())
    statement = insert(UserToken).values(
        user_id=user_id,
        purpose="login_failed",
        token_hash=hash_token(f"login_failed:{account}:{reason}:{window}"),
        data={"reason": reason, "address": address, "at": now.isoformat()},
        expires_at=now + LIFETIME["login_failed"],
    )
    async with get_session(SYSTEM, beside=True) as session:
        await session.execute(statement.on_conflict_do_nothing())


async def record_failures() -> int:
    """Write what was noted into the audit logs; how many failures."""
    count = 0
    while await _record_one():
        count += 1
    return count


async def _record_one() -> bool:
    # One in a transaction: the chains of two people could be locked in different orders.
    now = utcnow()
    async with get_session(SYSTEM) as session:
        row = await session.scalar(
            select(UserToken)
            .where(
                UserToken.purpose == "login_failed",
                UserToken.user_id.is_not(None),
                UserToken.used_at.is_(None),
                # Without it the index on the end would be of no use.
                UserToken.expires_at.between(now, now + LIFETIME["login_failed"]),
            )
            .order_by(UserToken.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if row is None or row.user_id is None:
            return False
        row.used_at = now
        await session.flush()
        await record_everywhere(
            session, row.user_id, "user.login_failed", new=row.data, by="not logged in"
        )
    return True
