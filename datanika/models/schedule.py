"""When a pipeline runs by itself. Prefect fires; this row is what the tenant asked for."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import CheckConstraint, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from datanika.models.base import Base, PrimaryKey, TenantMixin, TimestampMixin, same_tenant


class Schedule(TimestampMixin, TenantMixin, Base):
    """Exactly one of ``cron`` and ``interval_seconds`` is set.

    It fires from ``starts_at`` until ``ends_at``, where they are set. A time that is more than
    ``catchup_seconds`` ago when it could be served is not made up for. A run starts up to
    ``jitter_seconds`` after its time, always as long after for the same pipeline.
    """

    __tablename__ = "schedules"
    __table_args__ = (
        UniqueConstraint("org_id", "id"),
        same_tenant("pipeline_id", "pipelines"),
        CheckConstraint("(cron IS NULL) <> (interval_seconds IS NULL)", name="cron_xor_interval"),
    )

    id: Mapped[PrimaryKey]
    pipeline_id: Mapped[int] = mapped_column(index=True)
    cron: Mapped[str | None] = mapped_column(String(200))
    interval_seconds: Mapped[int | None]
    timezone: Mapped[str] = mapped_column(String(64), default="UTC", server_default="UTC")
    starts_at: Mapped[dt.datetime | None]
    ends_at: Mapped[dt.datetime | None]
    catchup_seconds: Mapped[int] = mapped_column(default=86_400, server_default="86400")
    jitter_seconds: Mapped[int] = mapped_column(default=0, server_default="0")
    is_active: Mapped[bool] = mapped_column(default=True, server_default="true")
    revision: Mapped[int] = mapped_column(default=1, server_default="1")
