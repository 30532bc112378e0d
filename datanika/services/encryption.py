"""Credentials at rest. A ciphertext knows which row it belongs to and opens nowhere else."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.errors import DatanikaError
from datanika.models import Connection, NotificationChannel
from datanika.security import Keyring, keyring


class EncryptionService:
    """Fernet under the newest of the configured keys; the others still decrypt."""

    def __init__(self, keys: Keyring | None = None) -> None:
        self._keys = keys or keyring()

    def encrypt(self, payload: dict[str, Any], *, org_id: int, table: str, row_id: int) -> str:
        """``kid:token``. Where it belongs is inside, under the same signature as the payload."""
        return self._keys.encrypt(
            {"org_id": org_id, "table": table, "row_id": row_id, "payload": payload}
        )

    def decrypt(self, text: str, *, org_id: int, table: str, row_id: int) -> dict[str, Any]:
        """The payload. Raises :class:`DatanikaError` ``ciphertext_misplaced`` for a ciphertext
        copied from another row, ``ciphertext_invalid`` for a damaged one, and
        :class:`ConfigError` ``encryption_key_unknown`` where its key is gone."""
        opened = self._keys.decrypt(text)
        if (opened["org_id"], opened["table"], opened["row_id"]) != (org_id, table, row_id):
            raise DatanikaError(
                "A stored credential belongs to another row.",
                code="ciphertext_misplaced",
                hint="Somebody changed the database by hand: enter the credential again.",
            )
        payload: dict[str, Any] = opened["payload"]
        return payload

    def is_current(self, text: str) -> bool:
        """Whether ``text`` is under the newest key."""
        return text.startswith(f"{self._keys.newest}:")

    def reencrypt(self, text: str, *, org_id: int, table: str, row_id: int) -> str:
        """The same payload under the newest key."""
        payload = self.decrypt(text, org_id=org_id, table=table, row_id=row_id)
        return self.encrypt(payload, org_id=org_id, table=table, row_id=row_id)


async def rotate_secrets(session: AsyncSession) -> int:
    """Re-encrypt every connection and notification channel under the newest key; the number
    changed. System scope.

    Deleted ones too: afterwards no row needs an old key. Rows are locked one by one, so a
    credential somebody saves meanwhile is never overwritten with the older one.
    """
    changed = 0
    for model in (Connection, NotificationChannel):
        ids = await session.scalars(select(model.id).where(model.secrets.is_not(None)))
        for row_id in ids.all():
            found = await session.get(model, row_id, with_for_update=True, populate_existing=True)
            changed += _rotate(cast(Connection | NotificationChannel | None, found))
    await session.flush()
    return changed


def _rotate(row: Connection | NotificationChannel | None) -> bool:
    service = EncryptionService()
    if row is None or not row.secrets or service.is_current(row.secrets):
        return False
    row.secrets = service.reencrypt(
        row.secrets, org_id=row.org_id, table=row.__tablename__, row_id=row.id
    )
    return True
