"""The tenant."""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from datanika.models.base import Base, Name, PrimaryKey, TimestampMixin


class Organization(TimestampMixin, Base):
    __tablename__ = "organizations"

    id: Mapped[PrimaryKey]
    name: Mapped[Name]
    slug: Mapped[str] = mapped_column(String(63), unique=True)
