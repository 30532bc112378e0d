"""Mails that wait to be sent."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from datanika.models.base import Base, PrimaryKey, TimestampMixin


class PendingMail(TimestampMixin, Base):
    """A mail until it was sent, or is of no use any more. ``content`` (to whom, in which language,
    the link with its token) is encrypted; it is NULL only until the row has its id."""

    __tablename__ = "mails"

    id: Mapped[PrimaryKey]
    kind: Mapped[str] = mapped_column(String(32))
    content: Mapped[str | None] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    next_attempt_at: Mapped[dt.datetime] = mapped_column(index=True)
    expires_at: Mapped[dt.datetime]
