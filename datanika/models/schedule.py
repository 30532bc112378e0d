"""When a pipeline runs by itself. Prefect fires; this row is what the tenant asked for."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from datanika.models.base import Base, PrimaryKey, TenantMixin, TimestampMixin, same_tenant


class Schedule(TimestampMixin, TenantMixin, Base):
    """Exactly one of ``cron`` and ``interval_seconds`` is set."""

    __tablename__ = "schedules"
    __table_args__ = (
        same_tenant("pipeline_id", "pipelines"),
        CheckConstraint("(cron IS NULL) <> (interval_seconds IS NULL)", name="cron_xor_interval"),
    )

    id: Mapped[PrimaryKey]
    pipeline_id: Mapped[int] = mapped_column(index=True)
    cron: Mapped[str | None] = mapped_column(String(200))
    interval_seconds: Mapped[int | None]
    timezone: Mapped[str] = mapped_column(String(64), default="UTC", server_default="UTC")
    is_active: Mapped[bool] = mapped_column(default=True, server_default="true")
    revision: Mapped[int] = mapped_column(default=1, server_default="1")
