"""A request sent twice does its work once and gets the same answer twice.

The key is claimed in the request's own transaction: a twin waits for it, and an answer is kept
exactly when the work it answers for is committed. Answers are encrypted and kept for a day.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.errors import Conflict, InvalidInput
from datanika.models import IdempotencyKey
from datanika.services.encryption import EncryptionService

MAX_KEY = 255
KEPT_FOR = dt.timedelta(hours=24)
_KEY = re.compile(r"[!-~]{1,255}")
TABLE = IdempotencyKey.__tablename__


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer as it was given: status, headers worth repeating, body."""

    status: int
    headers: dict[str, str]
    body: bytes


class IdempotencyService:
    """The keys of one caller: ``owner`` names them, ``org_id`` is None for nobody's."""

    def __init__(self, session: AsyncSession, owner: str, org_id: int | None) -> None:
        self.session = session
        self.owner = owner
        self.org_id = org_id
        self._row_id: int | None = None

    async def claim(self, route: str, key: str, body: bytes) -> KeptAnswer | None:
        """None: do the work, then :meth:`keep` its answer. Else the answer that was given.

        Raises :class:`InvalidInput` ``idempotency_key_invalid`` or ``idempotency_key_reused``
        (the same key with another body), :class:`Conflict` where the first try left no answer.
        """
        if not _KEY.fullmatch(key):
            raise InvalidInput(
                f"An idempotency key has 1 to {MAX_KEY} visible ASCII characters.",
                code="idempotency_key_invalid",
                field="Idempotency-Key",
            )
        key_hash = _digest(self.owner, route, key)
        request_hash = hashlib.sha256(body).hexdigest()
        fresh: dict[str, Any] = {
            "org_id": self.org_id,
            "request_hash": request_hash,
            "status": None,
            "headers": {},
            "body": None,
            "expires_at": dt.datetime.now(dt.UTC) + KEPT_FOR,
        }
        # A twin's uncommitted row is waited for. What has expired, or never got its answer, is
        # taken over.
        statement = insert(IdempotencyKey).values(key_hash=key_hash, **fresh)
        self._row_id = await self.session.scalar(
            statement.on_conflict_do_update(
                index_elements=["key_hash"],
                set_=fresh,
                where=or_(IdempotencyKey.expires_at <= func.now(), IdempotencyKey.status.is_(None)),
            ).returning(IdempotencyKey.id)
        )
        if self._row_id is not None:
            return None
        kept = await self.session.scalar(
            select(IdempotencyKey).where(IdempotencyKey.key_hash == key_hash)
        )
        if kept is None or kept.status is None or kept.body is None:
            raise Conflict(
                "The first request with this key is not over yet.",
                code="idempotency_in_progress",
                hint="Send it again in a moment.",
            )
        if kept.request_hash != request_hash:
            raise InvalidInput(
                "This idempotency key was used for another request.",
                code="idempotency_key_reused",
                field="Idempotency-Key",
                hint="Make a new key for every new request.",
            )
        opened = EncryptionService().decrypt(
            kept.body, org_id=kept.org_id or 0, table=TABLE, row_id=kept.id
        )
        return KeptAnswer(kept.status, kept.headers, base64.b64decode(opened["body"]))

    async def release(self, session: AsyncSession) -> None:
        """Free the claimed key again, in another transaction: its work was undone."""
        await session.execute(delete(IdempotencyKey).where(IdempotencyKey.id == self._row_id))

    async def keep(self, answer: KeptAnswer) -> None:
        """Remember the answer to the request whose key was claimed."""
        assert self._row_id is not None
        body = {"body": base64.b64encode(answer.body).decode()}
        await self.session.execute(
            update(IdempotencyKey)
            .where(IdempotencyKey.id == self._row_id)
            .values(
                status=answer.status,
                headers=answer.headers,
                body=EncryptionService().encrypt(
                    body, org_id=self.org_id or 0, table=TABLE, row_id=self._row_id
                ),
            )
            .execution_options(synchronize_session=False)
        )


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
