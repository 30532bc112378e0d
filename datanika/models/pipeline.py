"""Pipelines and their immutable versions."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from datanika.models.base import Base, Name, PrimaryKey, TenantMixin, TimestampMixin, same_tenant


class Pipeline(TimestampMixin, TenantMixin, Base):
    """``version`` is the number of the version ``current_version_id``; ``deployment_id``,
    ``deployed_hash`` and ``deployed_at`` say what Prefect knows of it.

    ``consecutive_failures`` counts the failed runs since the last one that succeeded;
    ``pause_code`` and ``pause_reason`` say why the platform paused it, and are empty when a person
    did.
    """

    __tablename__ = "pipelines"
    __table_args__ = (
        UniqueConstraint("org_id", "id"),
        Index(
            "uq_pipelines_org_id_name_live",
            "org_id",
            "name",
            unique=True,
            postgresql_where=text("deleted_at IS NULL"),
            sqlite_where=text("deleted_at IS NULL"),
        ),
    )

    id: Mapped[PrimaryKey]
    name: Mapped[Name]
    description: Mapped[str] = mapped_column(Text, default="", server_default="")
    is_paused: Mapped[bool] = mapped_column(default=False, server_default="false")
    revision: Mapped[int] = mapped_column(default=1, server_default="1")
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    current_version_id: Mapped[int | None] = mapped_column(
        BigInteger,
        ForeignKey("pipeline_versions.id", use_alter=True, ondelete="SET NULL"),
    )
    deployment_id: Mapped[str | None] = mapped_column(String(36), index=True)
    deployed_hash: Mapped[str | None] = mapped_column(String(64))
    deployed_at: Mapped[dt.datetime | None]
    overlap_policy: Mapped[str] = mapped_column(String(8), default="skip", server_default="skip")
    consecutive_failures: Mapped[int] = mapped_column(default=0, server_default="0")
    pause_code: Mapped[str | None] = mapped_column(String(100))
    pause_reason: Mapped[str | None] = mapped_column(Text)

    @property
    def is_deployed(self) -> bool:
        """Whether Prefect has the present version."""
        return self.deployed_hash is not None


class PipelineVersion(TimestampMixin, TenantMixin, Base):
    """A specification as it was saved. Never updated (a trigger refuses it)."""

    __tablename__ = "pipeline_versions"
    __table_args__ = (
        UniqueConstraint("org_id", "id"),
        UniqueConstraint("pipeline_id", "number"),
        same_tenant("pipeline_id", "pipelines"),
    )

    id: Mapped[PrimaryKey]
    pipeline_id: Mapped[int]
    number: Mapped[int]
    spec: Mapped[dict[str, Any]]
    spec_hash: Mapped[str] = mapped_column(String(64))
    created_by: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("users.id", ondelete="SET NULL")
    )
