"""Ad hoc jobs: a connection test, a query, a preview."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from datanika.models.base import Base, PrimaryKey, TenantMixin, TimestampMixin


class Job(TimestampMixin, TenantMixin, Base):
    """``request`` and ``result`` are encrypted: SQL and rows of the tenant, or a configuration
    that is not saved yet. The row is deleted after ``expires_at``."""

    __tablename__ = "jobs"
    __table_args__ = (Index("ix_jobs_org_id_expires_at", "org_id", "expires_at"),)

    id: Mapped[PrimaryKey]
    action: Mapped[str] = mapped_column(String(32))
    resource_id: Mapped[int | None]
    state: Mapped[str] = mapped_column(String(16))
    created_by: Mapped[int] = mapped_column(BigInteger, ForeignKey("users.id", ondelete="CASCADE"))
    api_key_id: Mapped[int | None]
    request: Mapped[str | None] = mapped_column(Text)
    result: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[dt.datetime | None]
    finished_at: Mapped[dt.datetime | None]
    expires_at: Mapped[dt.datetime]
