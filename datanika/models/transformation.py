"""What the tenant wrote for dbt: models, tests, macros, seeds, snapshots."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from datanika.models.base import Base, Name, PrimaryKey, TenantMixin, TimestampMixin, same_tenant


class Transformation(TimestampMixin, TenantMixin, Base):
    """``spec`` is a TransformationSpec; the columns beside it are for listing and searching.
    ``revision`` is the number of its present version."""

    __tablename__ = "transformations"
    __table_args__ = (
        UniqueConstraint("org_id", "id"),
        same_tenant("destination_id", "connections", ondelete="RESTRICT"),
        Index(
            "uq_transformations_destination_name_live",
            "org_id",
            "destination_id",
            "name",
            unique=True,
            postgresql_where=text("deleted_at IS NULL"),
            sqlite_where=text("deleted_at IS NULL"),
        ),
    )

    id: Mapped[PrimaryKey]
    name: Mapped[Name]
    kind: Mapped[str] = mapped_column(String(16))
    destination_id: Mapped[int] = mapped_column(index=True)
    description: Mapped[str] = mapped_column(Text, default="", server_default="")
    spec: Mapped[dict[str, Any]]
    revision: Mapped[int] = mapped_column(default=1, server_default="1")


class TransformationVersion(TimestampMixin, TenantMixin, Base):
    """A specification as it was saved. Never updated (a trigger refuses it)."""

    __tablename__ = "transformation_versions"
    __table_args__ = (
        UniqueConstraint("transformation_id", "number"),
        same_tenant("transformation_id", "transformations"),
    )

    id: Mapped[PrimaryKey]
    transformation_id: Mapped[int]
    number: Mapped[int]
    spec: Mapped[dict[str, Any]]
    created_by: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("users.id", ondelete="SET NULL")
    )
