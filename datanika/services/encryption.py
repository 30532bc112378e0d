"""Credentials at rest. A ciphertext knows which row it belongs to and opens nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, Table, func, literal, not_, select, update

from datanika.db import SYSTEM, get_session
from datanika.errors import DatanikaError
from datanika.models import (
    Base,
    Connection,
    IdempotencyKey,
    Job,
    NotificationChannel,
    Organization,
    PendingMail,
    User,
)
from datanika.security import Keyring, keyring

BATCH = 100
"""Rows that are locked at a time while keys are rotated."""


class EncryptionService:
    """Fernet under the newest of the configured keys; the others still decrypt."""

    def __init__(self, keys: Keyring | None = None) -> None:
        self._given = keys

    @property
    def _keys(self) -> Keyring:
        # Asked each time: what another process wrote under a new key is read with that key.
        return self._given or keyring()

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

    def reencrypt(self, text: str, *, org_id: int, table: str, row_id: int) -> str:
        """The same payload under the newest key."""
        payload = self.decrypt(text, org_id=org_id, table=table, row_id=row_id)
        return self.encrypt(payload, org_id=org_id, table=table, row_id=row_id)

    @property
    def newest(self) -> str:
        """The id of the key that encrypts."""
        return self._keys.newest


@dataclass(frozen=True, slots=True)
class Ciphertext:
    """A column that holds ciphertexts. Rows of no organisation are bound to organisation 0."""

    model: type[Base]
    column: str
    holds: str

    @property
    def table(self) -> Table:
        table = self.model.__table__
        assert isinstance(table, Table)
        return table


CIPHERTEXTS = (
    Ciphertext(Connection, "secrets", "credentials of connections"),
    Ciphertext(NotificationChannel, "secrets", "credentials of notification channels"),
    Ciphertext(User, "totp_secret", "secrets of one-time codes"),
    Ciphertext(Job, "request", "what ad hoc jobs are asked, for a day"),
    Ciphertext(Job, "result", "what ad hoc jobs have found, for a day"),
    Ciphertext(PendingMail, "content", "mails that wait to be sent, with their links"),
    Ciphertext(Organization, "hash_key", "keys that hash tenants' columns"),
    Ciphertext(IdempotencyKey, "body", "answers kept for repeated requests, for a day"),
)
"""Every column with ciphertexts: what ``datanika rotate-keys`` goes through. A test compares it
with the models."""


@dataclass(slots=True)
class Rotation:
    """What became of a rotation."""

    changed: int = 0
    failed: list[str] = field(default_factory=list)
    """``table id: code`` of what could not be opened; it stays as it was."""


async def rotate_keys(progress: Callable[[str, int], None] | None = None) -> Rotation:
    """Encrypt everything under the newest key again; ``progress`` hears table and rows done.

    Rows are locked a batch at a time, so what somebody saves meanwhile is never overwritten with
    the older one. Each batch is committed: an interrupted rotation goes on where it was.
    """
    result = Rotation()
    for one in CIPHERTEXTS:
        done, last_id = 0, 0
        while True:
            changed, last_id = await _rotate_batch(one, last_id, result.failed)
            if last_id < 0:
                break
            done += changed
            result.changed += changed
            if progress is not None:
                progress(one.table.name, done)
    return result


async def count_outdated() -> int:
    """Ciphertexts that are under an older key still."""
    total = 0
    async with get_session(SYSTEM) as session:
        for one in CIPHERTEXTS:
            query = select(func.count()).select_from(one.table).where(*_outdated(one))
            total += await session.scalar(query) or 0
    return total


def _outdated(one: Ciphertext) -> tuple[Any, ...]:
    column = one.table.c[one.column]
    newest = f"{EncryptionService().newest}:"
    return column.is_not(None), not_(column.startswith(newest, autoescape=True))


async def _rotate_batch(one: Ciphertext, after: int, failed: list[str]) -> tuple[int, int]:
    """The number of rows changed and the last id seen; -1 when there was no row left."""
    table, service = one.table, EncryptionService()
    column: Column[Any] = table.c[one.column]
    org_id = table.c.org_id if "org_id" in table.c else literal(None)
    changed = 0
    async with get_session(SYSTEM) as session:
        rows = (
            await session.execute(
                select(table.c.id, func.coalesce(org_id, 0).label("org_id"), column.label("text"))
                .where(*_outdated(one), table.c.id > after)
                .order_by(table.c.id)
                .limit(BATCH)
                .with_for_update(key_share=True, of=table)
            )
        ).all()
        for row in rows:
            try:
                fresh = service.reencrypt(
                    row.text, org_id=row.org_id, table=table.name, row_id=row.id
                )
            except DatanikaError as error:
                failed.append(f"{table.name} {row.id}: {error.code}")
                continue
            values: dict[str, Any] = {one.column: fresh}
            # Nothing has changed for anybody who reads it.
            values["updated_at"] = table.c.updated_at
            await session.execute(update(table).where(table.c.id == row.id).values(values))
            changed += 1
    return changed, rows[-1].id if rows else -1
