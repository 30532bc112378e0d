"""What the pages of connections show, as plain data. No secret is among it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datanika.contracts.catalog import connector_kinds
from datanika.models import Connection
from datanika.services.connection_uses import ConnectionUse
from datanika.ui.connection_labels import LABELS
from datanika.ui.views import iso

MAX_VALUE = 300
"""Characters of a setting that are shown."""


@dataclass(frozen=True)
class ConnectionRow:
    """A connection in the list. ``test`` is ``ok``, ``failed`` or, without one, empty."""

    id: int
    name: str
    kind: str
    kind_title: str
    description: str
    is_source: bool
    is_destination: bool
    test: str
    test_code: str
    tested_at: str | None
    used_by: int
    href: str


def connection_row(connection: Any, uses: Sequence[ConnectionUse]) -> ConnectionRow:
    """``connection`` has the columns of :class:`~datanika.models.Connection`. A connection that
    nothing uses is what its kind could be."""
    kind = connector_kinds().get(connection.kind)
    roles = {role for use in uses for role in use.roles}
    return ConnectionRow(
        id=connection.id,
        name=connection.name,
        kind=connection.kind,
        kind_title=kind.title if kind else connection.kind,
        description=connection.description,
        is_source="source" in roles if roles else bool(kind and kind.is_source),
        is_destination="destination" in roles if roles else bool(kind and kind.is_destination),
        test=test_of(connection),
        test_code=connection.test_code or "",
        tested_at=iso(connection.tested_at),
        used_by=len(uses),
        href=f"/connections/{connection.id}",
    )


def test_of(connection: Any) -> str:
    """How the last test of the present configuration ended."""
    if connection.tested_at is None:
        return ""
    return "failed" if connection.test_code else "ok"


@dataclass(frozen=True)
class ConnectionView:
    """The connection at the head of its own page."""

    id: int = 0
    name: str = ""
    kind: str = ""
    kind_title: str = ""
    description: str = ""
    is_verified: bool = True
    has_sql: bool = False
    has_secrets: bool = False
    test: str = ""
    test_code: str = ""
    tested_at: str | None = None
    created_at: str | None = None
    updated_at: str | None = None


def connection_view(connection: Connection) -> ConnectionView:
    kind = connector_kinds().get(connection.kind)
    return ConnectionView(
        id=connection.id,
        name=connection.name,
        kind=connection.kind,
        kind_title=kind.title if kind else connection.kind,
        description=connection.description,
        is_verified=bool(kind and kind.verified_live),
        has_sql=bool(kind and kind.supports_transform),
        has_secrets=bool(kind and kind.secret_fields),
        test=test_of(connection),
        test_code=connection.test_code or "",
        tested_at=iso(connection.tested_at),
        created_at=iso(connection.created_at),
        updated_at=iso(connection.updated_at),
    )


@dataclass(frozen=True)
class SettingRow:
    """A setting. ``label_key`` translates ``label``; empty where it needs no translation.
    ``secret``: empty, ``set``, ``reference`` (the operator keeps it) or ``unset``."""

    label: str
    label_key: str
    value: str
    secret: str


def setting_rows(
    connection: Connection, secrets: Sequence[str], references: Sequence[str]
) -> list[SettingRow]:
    """The configuration in the order of its form. ``secrets``: names of those that are set."""
    kind = connector_kinds().get(connection.kind)
    properties: dict[str, dict[str, Any]] = kind.config_schema["properties"] if kind else {}
    rows = []
    for name, schema in properties.items():
        label = str(schema.get("title", name))
        if schema.get("writeOnly"):
            state = "reference" if name in references else "set" if name in secrets else "unset"
            rows.append(SettingRow(label, LABELS.get(label, ""), "", state))
            continue
        value = connection.config.get(name, schema.get("default"))
        if value not in (None, "", [], {}):
            rows.append(SettingRow(label, LABELS.get(label, ""), _text(value), ""))
    return rows


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…"


@dataclass(frozen=True)
class UseRow:
    """A pipeline or transformation that uses the connection."""

    kind: str
    name: str
    is_source: bool
    is_destination: bool
    href: str


def use_row(use: ConnectionUse) -> UseRow:
    return UseRow(
        kind=use.kind,
        name=use.name,
        is_source="source" in use.roles,
        is_destination="destination" in use.roles,
        href=f"/{use.kind}s/{use.id}",
    )


@dataclass(frozen=True)
class HistoryRow:
    """Something that was done to the connection. ``action`` is the audit log's name of it."""

    id: int
    at: str | None
    actor: str
    action: str


def history_row(entry: Any) -> HistoryRow:
    """``entry`` has the columns of :class:`~datanika.models.AuditLog`."""
    return HistoryRow(entry.id, iso(entry.at), entry.actor, entry.action)
