"""How far a table's incremental load has come, and who moved it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from datanika.models.base import Base, PrimaryKey, TenantMixin, TimestampMixin, same_tenant


class CursorVersion(TimestampMixin, TenantMixin, Base):
    """One place a cursor has been at; the highest ``number`` is where it is now. ``origin`` is
    ``run`` (a load moved it, ``run_id``) or ``rewind`` (a person did, ``moved_by``)."""

    __tablename__ = "cursor_versions"
    __table_args__ = (
        UniqueConstraint("pipeline_id", "step_key", "target", "number"),
        same_tenant("pipeline_id", "pipelines"),
    )

    id: Mapped[PrimaryKey]
    pipeline_id: Mapped[int]
    step_key: Mapped[str] = mapped_column(String(63))
    target: Mapped[str] = mapped_column(String(400))
    number: Mapped[int]
    cursor_column: Mapped[str] = mapped_column(String(255))
    value: Mapped[str | None] = mapped_column(String(1000))
    state: Mapped[dict[str, Any]]
    origin: Mapped[str] = mapped_column(String(16))
    run_id: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("runs.id", ondelete="SET NULL"), index=True
    )
    moved_by: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("users.id", ondelete="SET NULL")
    )
