"""What the pages of the settings show, as plain data. Times are ISO 8601 with zone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datanika.contracts.enums import Role
from datanika.models import (
    ApiKey,
    AuditLog,
    Invitation,
    LoginSession,
    NotificationChannel,
    NotificationDelivery,
    UserIdentity,
)
from datanika.services.actor import Actor
from datanika.services.notification_service import UNHEALTHY_AFTER
from datanika.services.usage_service import Figure, MonthOfUse, Usage
from datanika.ui.views import iso

VALUE_LENGTH = 600
"""Characters of a value that a change in the audit log shows; the export has all of it."""


@dataclass(frozen=True)
class MemberRow:
    """``is_below``: the viewer's role is higher."""

    user_id: int
    email: str
    name: str
    role: str
    joined_at: str | None
    is_me: bool
    is_below: bool


def member_row(member: Any, actor: Actor) -> MemberRow:
    """``member``: a row of ``MemberService.list``."""
    return MemberRow(
        user_id=member.user_id,
        email=member.email,
        name=member.name,
        role=member.role,
        joined_at=iso(member.joined_at),
        is_me=member.user_id == actor.user_id,
        is_below=not Role(member.role).covers(actor.role),
    )


def grantable(role: Role) -> list[str]:
    """The roles that somebody with ``role`` may give, the least first."""
    return [one.value for one in (Role.VIEWER, Role.EDITOR, Role.ADMIN) if not one.covers(role)]


@dataclass(frozen=True)
class InvitationRow:
    id: int
    email: str
    role: str
    sent_at: str | None
    expires_at: str | None
    is_below: bool


def invitation_row(row: Invitation, actor: Actor) -> InvitationRow:
    return InvitationRow(
        id=row.id,
        email=row.email,
        role=row.role,
        sent_at=iso(row.updated_at),
        expires_at=iso(row.expires_at),
        is_below=not Role(row.role).covers(actor.role),
    )


@dataclass(frozen=True)
class KeyRow:
    id: int
    name: str
    prefix: str
    scopes: list[str]
    created_at: str | None
    expires_at: str | None
    last_used_at: str | None


def key_row(row: ApiKey) -> KeyRow:
    return KeyRow(
        id=row.id,
        name=row.name,
        prefix=row.prefix,
        scopes=list(row.scopes),
        created_at=iso(row.created_at),
        expires_at=iso(row.expires_at),
        last_used_at=iso(row.last_used_at),
    )


@dataclass(frozen=True)
class ChannelRow:
    """``target`` is where it goes, without secrets; ``pipelines`` are names, none: all."""

    id: int
    name: str
    kind: str
    target: str
    events: list[str]
    pipelines: list[str]
    pipeline_ids: list[int]
    is_active: bool
    is_healthy: bool
    failures: int


def channel_row(row: NotificationChannel, names: Mapping[int, str]) -> ChannelRow:
    config = row.config
    target = ", ".join(config.get("to", [])) or config.get("url") or config.get("chat_id") or ""
    return ChannelRow(
        id=row.id,
        name=row.name,
        kind=row.kind,
        target=str(target),
        events=list(row.events),
        pipelines=[names.get(one, f"#{one}") for one in row.pipeline_ids],
        pipeline_ids=[int(one) for one in row.pipeline_ids],
        is_active=row.is_active,
        is_healthy=row.consecutive_failures < UNHEALTHY_AFTER,
        failures=row.consecutive_failures,
    )


@dataclass(frozen=True)
class DeliveryRow:
    id: int
    channel: str
    event: str
    state: str
    attempts: int
    created_at: str | None
    next_attempt_at: str | None
    error: str


def delivery_row(row: NotificationDelivery, names: Mapping[int, str]) -> DeliveryRow:
    waits = row.state == "pending"
    return DeliveryRow(
        id=row.id,
        channel=names.get(row.channel_id, f"#{row.channel_id}"),
        event=row.event,
        state=row.state,
        attempts=row.attempts,
        created_at=iso(row.created_at),
        next_attempt_at=iso(row.next_attempt_at) if waits else None,
        error=row.error or "",
    )


@dataclass(frozen=True)
class AuditRow:
    id: int
    seq: int
    at: str | None
    actor: str
    action: str
    resource: str


def audit_row(row: AuditLog) -> AuditRow:
    number = f" #{row.resource_id}" if row.resource_id is not None else ""
    return AuditRow(
        row.id, row.seq, iso(row.at), row.actor, row.action, f"{row.resource_type}{number}"
    )


@dataclass(frozen=True)
class Change:
    """A value of an entry of the audit log, before and after; ``kind`` says which there is."""

    name: str
    before: str
    after: str
    kind: str


def changes(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> list[Change]:
    """What differs, in the order of the names; all of it where only one side was recorded."""
    before, after = flat(old or {}), flat(new or {})
    found = []
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was == now:
            continue
        kind = "added" if was is None else "removed" if now is None else "changed"
        found.append(Change(name, _short(was), _short(now), kind))
    return found


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Dotted path -> the value as text."""
    found: dict[str, str] = {}
    for key, item in value.items():
        if isinstance(item, dict) and item:
            found |= flat(item, f"{prefix}{key}.")
        elif item is not None:
            text = item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
            found[f"{prefix}{key}"] = text
    return found


def _short(text: str | None) -> str:
    if text is None:
        return ""
    return text if len(text) <= VALUE_LENGTH else f"{text[:VALUE_LENGTH]}…"


@dataclass(frozen=True)
class Meter:
    """How much of a limit is used. ``percent`` is a CSS width; ``level``: ok, high, full, or free
    where there is no limit."""

    name: str
    used: int
    limit: int
    has_limit: bool
    percent: str
    level: str


def meters(usage: Usage) -> list[Meter]:
    """In the order of the limits."""
    return [
        _meter("concurrent_runs", usage.concurrent_runs),
        _meter("connections", usage.connections),
        _meter("rows", usage.rows),
        _meter("storage_bytes", usage.storage_bytes),
    ]


def _meter(name: str, figure: Figure) -> Meter:
    if figure.limit is None:
        return Meter(name, figure.used, 0, False, "0%", "free")
    share = figure.used / figure.limit if figure.limit else 1.0
    level = "full" if share >= 1 else "high" if share >= 0.8 else "ok"
    return Meter(name, figure.used, figure.limit, True, f"{min(share, 1) * 100:.1f}%", level)


@dataclass(frozen=True)
class MonthBar:
    """A month of the history; ``height`` is a CSS percentage of the largest month's rows."""

    month: str
    rows: int
    runs: int
    failed_runs: int
    height: str


def month_bars(history: Sequence[MonthOfUse], most: int = 12) -> list[MonthBar]:
    """The last ``most`` months, the oldest first."""
    shown = list(reversed(history[:most]))
    top = max((one.rows for one in shown), default=0) or 1
    return [
        MonthBar(
            f"{one.month:%Y-%m}",
            one.rows,
            one.runs,
            one.failed_runs,
            f"{one.rows / top * 100:.1f}%",
        )
        for one in shown
    ]


@dataclass(frozen=True)
class SessionRow:
    id: int
    kind: str
    method: str
    user_agent: str
    address: str
    created_at: str | None
    last_used_at: str | None
    is_current: bool


def session_row(row: LoginSession, actor: Actor) -> SessionRow:
    return SessionRow(
        id=row.id,
        kind=row.kind,
        method=row.method,
        user_agent=row.user_agent,
        address=row.address,
        created_at=iso(row.created_at),
        last_used_at=iso(row.last_used_at),
        is_current=row.id == actor.session_id,
    )


@dataclass(frozen=True)
class IdentityRow:
    id: int
    provider: str
    email: str
    created_at: str | None


def identity_row(row: UserIdentity) -> IdentityRow:
    return IdentityRow(row.id, row.provider, row.email or "", iso(row.created_at))
