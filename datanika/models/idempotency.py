"""Answers that were given, so that a request sent twice does its work once."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from datanika.models.base import Base, PrimaryKey, TimestampMixin


class IdempotencyKey(TimestampMixin, Base):
    """``key_hash`` names caller, route and key; ``request_hash`` the body. The answer's body is
    encrypted: it may be the one place where a new API key was shown. ``org_id`` is NULL for
    requests of people who are not logged in."""

    __tablename__ = "idempotency_keys"

    id: Mapped[PrimaryKey]
    org_id: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("organizations.id", ondelete="CASCADE"), index=True
    )
    key_hash: Mapped[str] = mapped_column(String(64), unique=True)
    request_hash: Mapped[str] = mapped_column(String(64))
    status: Mapped[int | None]
    headers: Mapped[dict[str, Any]]
    body: Mapped[str | None] = mapped_column(Text)
    expires_at: Mapped[dt.datetime] = mapped_column(index=True)
