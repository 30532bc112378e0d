"""Typed sources and destinations with encrypted credentials."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from datanika.models.base import Base, Name, PrimaryKey, TenantMixin, TimestampMixin


class Connection(TimestampMixin, TenantMixin, Base):
    """``config`` holds what may be read back; ``secrets`` the encrypted rest.

    ``operator_managed``: a secret is a reference to the operator's environment or files, so only
    operators may change where it is sent.
    ``tested_at`` and ``test_code`` are of the last test of this configuration: None for the first
    means that there was none, None for the second that it worked.
    """

    __tablename__ = "connections"
    __table_args__ = (
        UniqueConstraint("org_id", "id"),
        Index(
            "uq_connections_org_id_name_live",
            "org_id",
            "name",
            unique=True,
            postgresql_where=text("deleted_at IS NULL"),
            sqlite_where=text("deleted_at IS NULL"),
        ),
    )

    id: Mapped[PrimaryKey]
    name: Mapped[Name]
    kind: Mapped[str] = mapped_column(String(64))
    description: Mapped[str] = mapped_column(Text, default="", server_default="")
    config: Mapped[dict[str, Any]]
    secrets: Mapped[str | None] = mapped_column(Text)
    operator_managed: Mapped[bool] = mapped_column(default=False, server_default="false")
    revision: Mapped[int] = mapped_column(default=1, server_default="1")
    tested_at: Mapped[dt.datetime | None]
    test_code: Mapped[str | None] = mapped_column(String(100))
