"""Who did what, in the same transaction as the change itself.

The entries of an organisation form a chain: each carries the hash of the one before. The
application may only insert; what somebody changes as a superuser, :func:`verify` finds.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import bindparam, cast, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.errors import NotFound
from datanika.models import AuditLog, Organization
from datanika.services.actor import Actor
from datanika.services.paging import NEWEST, PageRequest, RowPage, fetch_page, rows_of, sorts_of

GENESIS: Final = "0" * 64
MASK: Final = "***"
_SECRET_NAMES: Final = re.compile(
    r"passw|pwd|secret|token|api_?key|access_?key|private_?key|credential|passphrase"
    r"|authorization|cookie|signature|connection_string|webhook_url|(?:^|_)(?:dsn|pat|sas)(?:$|_)",
    re.IGNORECASE,
)
# What is a secret wherever it stands: a password in a URL, a secret parameter of one, hooks whose
# path is the secret, a bearer token, keys of ours, JWTs, private keys.
_SECRET_VALUES: Final = (
    (re.compile(r"(\w+://[^/\s:@?#]*:)[^/\s@?#]+(?=@)"), r"\1***"),
    (
        re.compile(
            r"([?&;][^=&\s]*(?:passw|pwd|secret|token|key|sig|auth|credential)[^=&\s]*=)[^&\s#]+",
            re.IGNORECASE,
        ),
        r"\1***",
    ),
    (re.compile(r"(://hooks\.slack\.com/)\S+", re.IGNORECASE), r"\1***"),
    (re.compile(r"(://[^/\s]*discord(?:app)?\.com/api/webhooks/)\S+", re.IGNORECASE), r"\1***"),
    (re.compile(r"(://[^/\s]*\.webhook\.office\.com/)\S+", re.IGNORECASE), r"\1***"),
    (re.compile(r"(://api\.telegram\.org/bot)[^/\s]+", re.IGNORECASE), r"\1***"),
    (re.compile(r"\b((?:bearer|basic)\s+)[\w.~+/=-]{8,}", re.IGNORECASE), r"\1***"),
    (re.compile(r"\bdnk_\w{8,}"), MASK),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), MASK),
    (re.compile(r"-----BEGIN [^-]*PRIVATE KEY-----.*", re.DOTALL), MASK),
)
_VERIFY_BATCH: Final = 1000

SORTS = sorts_of(AuditLog, "at")


@dataclass(frozen=True, slots=True)
class SystemActor:
    """The platform itself, acting in one organisation; with ``user_id`` for a person who is not
    logged in there (who logs in, or uses a link of a mail)."""

    org_id: int
    name: str = "system"
    user_id: int | None = None


async def record(
    session: AsyncSession,
    actor: Actor | SystemActor,
    action: str,
    resource_type: str,
    resource_id: int | None,
    old: dict[str, Any] | None = None,
    new: dict[str, Any] | None = None,
) -> AuditLog:
    """Append an entry to the organisation's chain; values under secret names are masked.

    The chain is locked until the transaction ends, so record after the change, not before it.
    """
    seq = await session.scalar(
        update(Organization)
        .where(Organization.id == actor.org_id)
        .values(audit_seq=Organization.audit_seq + 1, updated_at=Organization.updated_at)
        .returning(Organization.audit_seq)
        .execution_options(synchronize_session=False)
    )
    if seq is None:
        raise LookupError(f"no organisation {actor.org_id} in this session's scope")
    previous = await session.scalar(
        select(AuditLog.row_hash).where(AuditLog.org_id == actor.org_id, AuditLog.seq == seq - 1)
    )
    old, new = await _as_stored(session, masked(old), masked(new))
    entry = AuditLog(
        org_id=actor.org_id,
        seq=seq,
        at=dt.datetime.now(dt.UTC),
        user_id=actor.user_id,
        actor=_name(actor),
        action=action,
        resource_type=resource_type,
        resource_id=resource_id,
        old=old,
        new=new,
        prev_hash=previous or GENESIS,
    )
    entry.row_hash = row_hash(entry)
    session.add(entry)
    await session.flush()
    return entry


async def verify(session: AsyncSession, org_id: int) -> int | None:
    """The id of the first entry that was changed, moved or follows a deleted one; None if the
    chain is whole.

    Where entries were cut off the end it is the last one left, and 0 when none is left.
    """
    # Entries may arrive meanwhile: the end must lie between the counts before and after.
    before = await _head(session, org_id)
    expected_hash, seq, last_id = GENESIS, 0, 0
    while True:
        entries = await _entries_after(session, org_id, seq)
        for entry in entries:
            if (
                entry.seq != seq + 1
                or entry.prev_hash != expected_hash
                or entry.row_hash != row_hash(entry)
            ):
                return entry.id
            expected_hash, seq, last_id = entry.row_hash, entry.seq, entry.id
        if len(entries) < _VERIFY_BATCH:
            break
    return None if before <= seq <= await _head(session, org_id) else last_id


async def _head(session: AsyncSession, org_id: int) -> int:
    head = await session.scalar(select(Organization.audit_seq).where(Organization.id == org_id))
    return head or 0


async def _entries_after(session: AsyncSession, org_id: int, seq: int) -> Sequence[AuditLog]:
    rows = await session.scalars(
        select(AuditLog)
        .where(AuditLog.org_id == org_id, AuditLog.seq > seq)
        .order_by(AuditLog.seq)
        .limit(_VERIFY_BATCH)
        .execution_options(populate_existing=True)
    )
    return rows.all()


def row_hash(entry: AuditLog) -> str:
    """sha256 of the previous entry's hash and this entry's canonical JSON, hex."""
    content = {
        "org_id": entry.org_id,
        "seq": entry.seq,
        "at": entry.at.astimezone(dt.UTC).isoformat(),
        "user_id": entry.user_id,
        "actor": entry.actor,
        "action": entry.action,
        "resource_type": entry.resource_type,
        "resource_id": entry.resource_id,
        "old": entry.old,
        "new": entry.new,
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256((entry.prev_hash + text).encode()).hexdigest()


def masked(value: Any) -> Any:
    """``value`` as JSON can hold it, with everything masked that is under a secret's name or looks
    like one."""
    if isinstance(value, dict):
        return {
            str(key): MASK if item and _SECRET_NAMES.search(str(key)) else masked(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [masked(item) for item in value]
    if (
        value is None
        or isinstance(value, int)
        or (isinstance(value, float) and math.isfinite(value))
    ):
        return value
    # PostgreSQL's jsonb holds neither NUL nor half a surrogate pair.
    text = str(value).replace("\0", "").encode("utf-8", "replace").decode()
    for pattern, replacement in _SECRET_VALUES:
        text = pattern.sub(replacement, text)
    return text


async def _as_stored(session: AsyncSession, *values: Any) -> tuple[Any, ...]:
    """The values as jsonb gives them back (1e16 becomes an integer), for a hash that will hold."""
    if not any(values):
        return values
    query = select(
        *(cast(bindparam(f"v{i}", value, type_=JSONB), JSONB) for i, value in enumerate(values))
    )
    return tuple((await session.execute(query)).one())


def _name(actor: Actor | SystemActor) -> str:
    if isinstance(actor, SystemActor):
        return actor.name
    return f"{actor.email} (API key {actor.api_key_id})" if actor.api_key_id else actor.email


class AuditService:
    """Reading the log."""

    def __init__(self, session: AsyncSession, actor: Actor) -> None:
        self.session = session
        self.actor = actor

    async def list(
        self,
        page: PageRequest = NEWEST,
        *,
        resource_type: str | None = None,
        resource_id: int | None = None,
        action: str | None = None,
        user_id: int | None = None,
        after: dt.datetime | None = None,
        before: dt.datetime | None = None,
    ) -> RowPage[AuditLog]:
        """The organisation's entries."""
        self.actor.require("audit:read")
        query = rows_of(AuditLog).where(AuditLog.org_id == self.actor.org_id)
        for column, value in (
            (AuditLog.resource_type, resource_type),
            (AuditLog.resource_id, resource_id),
            (AuditLog.action, action),
            (AuditLog.user_id, user_id),
        ):
            if value is not None:
                query = query.where(column == value)
        if after is not None:
            query = query.where(AuditLog.at >= after)
        if before is not None:
            query = query.where(AuditLog.at < before)
        return await fetch_page(self.session, query, SORTS, page)

    async def get(self, entry_id: int) -> AuditLog:
        """One entry; raises :class:`NotFound`, also for another organisation's."""
        self.actor.require("audit:read")
        entry = await self.session.scalar(
            select(AuditLog).where(AuditLog.id == entry_id, AuditLog.org_id == self.actor.org_id)
        )
        if entry is None:
            raise NotFound("There is no such entry.", code="audit_entry_not_found")
        return entry
