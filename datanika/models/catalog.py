"""What exists in a destination after a run."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from datanika.models.base import Base, PrimaryKey, TenantMixin, TimestampMixin, same_tenant


class CatalogEntry(TimestampMixin, TenantMixin, Base):
    """A table or view with its columns and the entries it was made from (``upstream``).

    ``source_columns``: what the last successful load of a table read. ``lineage``: ``columns``
    (kind and reason by name), ``rows_reason``, ``reason``: what its edges cannot say. ``docs`` and
    ``checks``: EntryDocs and the last EntryCheck of each test and of the freshness, by name.
    """

    __tablename__ = "catalog_entries"
    __table_args__ = (
        UniqueConstraint("org_id", "connection_id", "schema_name", "name"),
        UniqueConstraint("org_id", "id"),
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
    lineage: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    docs: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    checks: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")


class LineageEdge(TenantMixin, Base):
    """What a relation, or a column of it, depends on.

    ``kind``: ``reads`` (the relation reads another; no columns), ``rows`` (a column decides which
    rows there are; no ``to_column``), ``indirect``, or how the column is made: ``copy``,
    ``transformed``, ``aggregated``. What is read is named and not referred to: a table of a source
    has no entry.
    """

    __tablename__ = "lineage_edges"
    __table_args__ = (
        same_tenant("entry_id", "catalog_entries"),
        same_tenant("from_connection_id", "connections"),
        Index("ix_lineage_edges_entry", "org_id", "entry_id"),
        Index("ix_lineage_edges_from", "org_id", "from_connection_id", "from_schema", "from_name"),
    )

    id: Mapped[PrimaryKey]
    entry_id: Mapped[int]
    to_column: Mapped[str | None] = mapped_column(String(255))
    from_connection_id: Mapped[int]
    from_schema: Mapped[str] = mapped_column(String(255))
    from_name: Mapped[str] = mapped_column(String(1000))
    from_column: Mapped[str | None] = mapped_column(String(255))
    kind: Mapped[str] = mapped_column(String(16))
