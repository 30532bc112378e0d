"""The tenant, what it may use, and what it used."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Date, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from datanika.models.base import Base, Name, PrimaryKey, TenantMixin, TimestampMixin


class Organization(TimestampMixin, Base):
    """``audit_seq`` is the number of the last audit entry: it orders the chain, and shows when
    entries were cut off its end. A limit that is NULL is the platform's own. ``hash_key`` is
    a ciphertext: ``services/hash_keys.py``."""

    __tablename__ = "organizations"

    id: Mapped[PrimaryKey]
    name: Mapped[Name]
    slug: Mapped[str] = mapped_column(String(63), unique=True)
    audit_seq: Mapped[int] = mapped_column(default=0, server_default="0")
    revision: Mapped[int] = mapped_column(default=1, server_default="1")
    max_concurrent_runs: Mapped[int | None]
    max_connections: Mapped[int | None]
    max_rows_per_month: Mapped[int | None]
    max_storage_bytes: Mapped[int | None]
    hash_key: Mapped[str | None] = mapped_column(Text)


class UsageMonth(TimestampMixin, TenantMixin, Base):
    """What an organisation used in a calendar month (UTC): counted when a run ends, so that the
    numbers outlive the runs. ``storage_bytes`` is what was measured last in the month."""

    __tablename__ = "usage_months"
    __table_args__ = (UniqueConstraint("org_id", "month"),)

    id: Mapped[PrimaryKey]
    month: Mapped[dt.date] = mapped_column(Date)
    runs: Mapped[int] = mapped_column(default=0, server_default="0")
    failed_runs: Mapped[int] = mapped_column(default=0, server_default="0")
    rows: Mapped[int] = mapped_column(default=0, server_default="0")
    run_seconds: Mapped[int] = mapped_column(default=0, server_default="0")
    storage_bytes: Mapped[int] = mapped_column(default=0, server_default="0")
    storage_measured_at: Mapped[dt.datetime | None]
