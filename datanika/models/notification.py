"""Whom to tell what, and what became of it."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from datanika.models.base import Base, Name, PrimaryKey, TenantMixin, TimestampMixin, same_tenant


class NotificationChannel(TimestampMixin, TenantMixin, Base):
    """An address for events: ``kind`` is email, webhook, slack or telegram. ``secrets`` holds the
    encrypted part of the configuration (a signing secret, a bot's token, a hook's URL)."""

    __tablename__ = "notification_channels"
    __table_args__ = (
        UniqueConstraint("org_id", "id"),
        Index(
            "uq_notification_channels_org_id_name_live",
            "org_id",
            "name",
            unique=True,
            postgresql_where=text("deleted_at IS NULL"),
            sqlite_where=text("deleted_at IS NULL"),
        ),
    )

    id: Mapped[PrimaryKey]
    name: Mapped[Name]
    kind: Mapped[str] = mapped_column(String(16))
    config: Mapped[dict[str, Any]]
    secrets: Mapped[str | None] = mapped_column(Text)
    events: Mapped[list[str]]
    pipeline_ids: Mapped[list[Any]]
    is_active: Mapped[bool] = mapped_column(default=True, server_default="true")
    consecutive_failures: Mapped[int] = mapped_column(default=0, server_default="0")
    revision: Mapped[int] = mapped_column(default=1, server_default="1")


class NotificationDelivery(TimestampMixin, TenantMixin, Base):
    """One event for one channel. The row is the outbox: pending until it was taken, or given up."""

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("channel_id", "event_id"),
        same_tenant("channel_id", "notification_channels"),
        Index("ix_deliveries_state_next_attempt_at", "state", "next_attempt_at"),
        Index("ix_deliveries_org_id_id", "org_id", "id"),
    )

    id: Mapped[PrimaryKey]
    channel_id: Mapped[int] = mapped_column(index=True)
    event_id: Mapped[str] = mapped_column(String(64))
    event: Mapped[str] = mapped_column(String(64))
    payload: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    next_attempt_at: Mapped[dt.datetime]
    delivered_at: Mapped[dt.datetime | None]
    status_code: Mapped[int | None]
    error: Mapped[str | None] = mapped_column(Text)
