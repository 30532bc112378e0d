"""Which pipelines need which others."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from datanika.models.base import Base, PrimaryKey, TenantMixin, TimestampMixin, same_tenant


class PipelineDependency(TimestampMixin, TenantMixin, Base):
    """``pipeline_id`` needs ``upstream_id``.

    ``starts_run``: a success of the upstream starts a run of the pipeline. ``within_seconds``: a
    run of the pipeline starts only if the upstream succeeded within so long before; otherwise it
    waits for the upstream's success, at most ``wait_seconds``, and then ends as
    ``upstream_stale``.
    """

    __tablename__ = "pipeline_dependencies"
    __table_args__ = (
        same_tenant("pipeline_id", "pipelines"),
        same_tenant("upstream_id", "pipelines"),
        CheckConstraint("pipeline_id <> upstream_id", name="not_itself"),
        Index(
            "uq_pipeline_dependencies_live",
            "pipeline_id",
            "upstream_id",
            unique=True,
            postgresql_where=text("deleted_at IS NULL"),
            sqlite_where=text("deleted_at IS NULL"),
        ),
    )

    id: Mapped[PrimaryKey]
    pipeline_id: Mapped[int] = mapped_column(index=True)
    upstream_id: Mapped[int] = mapped_column(index=True)
    starts_run: Mapped[bool] = mapped_column(default=True, server_default="true")
    within_seconds: Mapped[int | None]
    wait_seconds: Mapped[int] = mapped_column(default=3600, server_default="3600")
    revision: Mapped[int] = mapped_column(default=1, server_default="1")
