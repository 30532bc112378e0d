"""Replication slots that are to be dropped at their source."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from datanika.models.base import Base, PrimaryKey, TenantMixin, TimestampMixin, same_tenant


class SlotRelease(TimestampMixin, TenantMixin, Base):
    """A slot that no pipeline uses any more, until it is gone from its source. ``connection_id``
    leads to the source; ``error_code`` and ``error_message`` say why it is still there."""

    __tablename__ = "slot_releases"
    __table_args__ = (
        UniqueConstraint("org_id", "connection_id", "slot"),
        same_tenant("connection_id", "connections"),
        same_tenant("pipeline_id", "pipelines"),
    )

    id: Mapped[PrimaryKey]
    connection_id: Mapped[int] = mapped_column(index=True)
    pipeline_id: Mapped[int] = mapped_column(index=True)
    step_key: Mapped[str] = mapped_column(String(63))
    slot: Mapped[str] = mapped_column(String(63))
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    next_attempt_at: Mapped[dt.datetime] = mapped_column(index=True)
    error_code: Mapped[str | None] = mapped_column(String(100))
    error_message: Mapped[str | None] = mapped_column(Text)
