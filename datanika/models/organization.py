"""The tenant."""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from datanika.models.base import Base, Name, PrimaryKey, TimestampMixin


class Organization(TimestampMixin, Base):
    """``audit_seq`` is the number of the last audit entry: it orders the chain, and shows when
    entries were cut off its end."""

    __tablename__ = "organizations"

    id: Mapped[PrimaryKey]
    name: Mapped[Name]
    slug: Mapped[str] = mapped_column(String(63), unique=True)
    audit_seq: Mapped[int] = mapped_column(default=0, server_default="0")
