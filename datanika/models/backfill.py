"""Backfills: an interval of the past that is loaded again, a chunk a run."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from datanika.models.base import Base, PrimaryKey, TenantMixin, TimestampMixin, same_tenant


class Backfill(TimestampMixin, TenantMixin, Base):
    """From ``interval_start`` (included) to ``interval_end`` (not), a run per ``chunk_seconds``."""

    __tablename__ = "backfills"
    __table_args__ = (
        UniqueConstraint("org_id", "id"),
        same_tenant("pipeline_id", "pipelines"),
        CheckConstraint("interval_start < interval_end", name="forward"),
    )

    id: Mapped[PrimaryKey]
    pipeline_id: Mapped[int] = mapped_column(index=True)
    interval_start: Mapped[dt.datetime]
    interval_end: Mapped[dt.datetime]
    chunk_seconds: Mapped[int]
    state: Mapped[str] = mapped_column(String(16))
    overrides: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    created_by: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("users.id", ondelete="SET NULL")
    )
    finished_at: Mapped[dt.datetime | None]
