"""Files that people uploaded, for connections of the kind ``files`` to read."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from datanika.models.base import Base, PrimaryKey, TenantMixin, TimestampMixin


class UploadedFile(TimestampMixin, TenantMixin, Base):
    """A file of this ``name`` is in the organisation's upload folder. ``sha256`` is in hex."""

    __tablename__ = "uploaded_files"
    __table_args__ = (UniqueConstraint("org_id", "name"),)

    id: Mapped[PrimaryKey]
    name: Mapped[str] = mapped_column(String(200))
    format: Mapped[str] = mapped_column(String(16))
    bytes: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    created_by: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("users.id", ondelete="SET NULL")
    )
