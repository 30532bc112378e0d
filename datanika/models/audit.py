"""The append-only audit log, hash-chained per organisation."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import BigInteger, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from datanika.models.base import Base, PrimaryKey, TenantMixin


class AuditLog(TenantMixin, Base):
    """``row_hash`` = sha256(previous row's hash + canonical JSON of this row)."""

    __tablename__ = "audit_log"
    __table_args__ = (
        UniqueConstraint("org_id", "seq"),
        Index("ix_audit_log_resource", "org_id", "resource_type", "resource_id"),
    )

    id: Mapped[PrimaryKey]
    seq: Mapped[int]
    at: Mapped[dt.datetime]
    user_id: Mapped[int | None] = mapped_column(BigInteger)
    actor: Mapped[str] = mapped_column(String(320))
    action: Mapped[str] = mapped_column(String(100))
    resource_type: Mapped[str] = mapped_column(String(50))
    resource_id: Mapped[int | None]
    old: Mapped[dict[str, Any] | None]
    new: Mapped[dict[str, Any] | None]
    prev_hash: Mapped[str] = mapped_column(String(64))
    row_hash: Mapped[str] = mapped_column(String(64))
