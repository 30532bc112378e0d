"""What exists in a destination after a run."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from datanika.models.base import Base, PrimaryKey, TenantMixin, TimestampMixin, same_tenant


class CatalogEntry(TimestampMixin, TenantMixin, Base):
    """A table or view with its columns and the entries it was made from (``upstream``).

    ``source_columns``: what the last successful load of a table read.
    """

    __tablename__ = "catalog_entries"
    __table_args__ = (
        UniqueConstraint("org_id", "connection_id", "schema_name", "name"),
        same_tenant("connection_id", "connections"),
    )

    id: Mapped[PrimaryKey]
    connection_id: Mapped[int] = mapped_column(index=True)
    schema_name: Mapped[str] = mapped_column(String(63))
    name: Mapped[str] = mapped_column(String(255))
    kind: Mapped[str] = mapped_column(String(16))
    columns: Mapped[list[Any]]
    source_columns: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")
    upstream: Mapped[list[str]]
    rows: Mapped[int | None]
    run_id: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("runs.id", ondelete="SET NULL")
    )
    refreshed_at: Mapped[dt.datetime | None]
