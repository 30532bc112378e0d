"""Account mails wait in PostgreSQL until the mail server has taken them.

The row is written in the transaction of what the mail is about, as notifications are (ADR 0009);
it goes out right after the commit, and again, later and later, where that failed. A mail that is
for nobody is written and thrown away like any other, so that an answer takes as long for an unknown
address as for a known one. System scope.
"""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.events import utcnow
from datanika.db import SYSTEM, get_session
from datanika.errors import DatanikaError
from datanika.models import PendingMail
from datanika.services.delivery import CLAIM, delay_after
from datanika.services.encryption import EncryptionService
from datanika.services.mail import Kind, Mail, send_mail
from datanika.services.user_tokens import LIFETIME

logger = logging.getLogger(__name__)

NOBODY: Final = Mail("password_changed", "nobody@nobody.invalid", query={"token": "x" * 43})
"""What is written, and not sent, where there is nobody to write to."""
_NOTICE: Final = dt.timedelta(days=2)
_USEFUL: Final[dict[Kind, dt.timedelta]] = {
    "verify_email": LIFETIME["verify_email"],
    "reset_password": LIFETIME["reset_password"],
    "change_email": LIFETIME["change_email"],
    "invitation": dt.timedelta(days=7),
}
"""As long as its link works; a notice for two days."""
_TABLE: Final = PendingMail.__tablename__


async def enqueue(session: AsyncSession, mail: Mail | None) -> int:
    """Write the mail down in the session's transaction; its id, for :func:`send_one` after the
    commit."""
    mail, now = mail or NOBODY, utcnow()
    row = PendingMail(
        kind=mail.kind,
        next_attempt_at=now,
        expires_at=now + _USEFUL.get(mail.kind, _NOTICE),
    )
    session.add(row)
    await session.flush()
    row.content = EncryptionService().encrypt(asdict(mail), org_id=0, table=_TABLE, row_id=row.id)
    await session.flush()
    return row.id


async def send_one(mail_id: int) -> bool:
    """Send this mail if it is due and nobody else has it; whether it went."""
    claimed = await _claim(PendingMail.id == mail_id)
    return claimed is not None and await _send(*claimed)


async def send_due() -> int:
    """Send what is due, one after the other; how many went."""
    sent = 0
    while (claimed := await _claim()) is not None:
        sent += await _send(*claimed)
    return sent


async def _claim(*which: Any) -> tuple[int, int, Mail | None] | None:
    """Id, attempt and content of a due mail, this process's for a while; without a content what
    cannot be read any more."""
    now = utcnow()
    async with get_session(SYSTEM) as session:
        row = await session.scalar(
            select(PendingMail)
            .where(PendingMail.next_attempt_at <= now, *which)
            .order_by(PendingMail.next_attempt_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if row is None:
            return None
        row.attempts += 1
        row.next_attempt_at = now + CLAIM
        return row.id, row.attempts, _opened(row, now)


def _opened(row: PendingMail, now: dt.datetime) -> Mail | None:
    if row.content is None or row.expires_at <= now:
        logger.error("The mail %s was given up after %s attempts.", row.kind, row.attempts - 1)
        return None
    try:
        content = EncryptionService().decrypt(row.content, org_id=0, table=_TABLE, row_id=row.id)
        return Mail(**content)
    except DatanikaError as error:
        logger.error("The mail %s cannot be read: %s", row.kind, error.code)
        return None


async def _send(mail_id: int, attempt: int, mail: Mail | None) -> bool:
    is_over = mail is None or mail == NOBODY
    went = mail is not None and not is_over and await send_mail(mail)
    mine = (PendingMail.id == mail_id, PendingMail.attempts == attempt)
    async with get_session(SYSTEM) as session:
        if is_over or went:
            await session.execute(delete(PendingMail).where(*mine))
        else:
            await session.execute(
                update(PendingMail)
                .where(*mine)
                .values(next_attempt_at=utcnow() + delay_after(attempt))
                .execution_options(synchronize_session=False)
            )
    return went
