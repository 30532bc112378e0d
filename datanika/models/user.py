"""People, their place in organisations, and the tokens they log in with."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import BigInteger, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from datanika.models.base import Base, Name, PrimaryKey, TenantMixin, TimestampMixin


class User(TimestampMixin, Base):
    """A person. ``password_hash`` is loaded only where it is asked for (``undefer``), and the
    application's role has no right to read it."""

    __tablename__ = "users"

    id: Mapped[PrimaryKey]
    email: Mapped[str] = mapped_column(String(320), unique=True)
    name: Mapped[Name]
    password_hash: Mapped[str | None] = mapped_column(
        String(100), deferred=True, deferred_raiseload=True
    )
    locale: Mapped[str] = mapped_column(String(8), default="en", server_default="en")
    is_instance_admin: Mapped[bool] = mapped_column(default=False, server_default="false")


class Membership(TimestampMixin, TenantMixin, Base):
    __tablename__ = "memberships"
    __table_args__ = (UniqueConstraint("org_id", "user_id"),)

    id: Mapped[PrimaryKey]
    user_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("users.id", ondelete="CASCADE"), index=True
    )
    role: Mapped[str] = mapped_column(String(16))


class RefreshToken(TimestampMixin, Base):
    """One link of a rotation family (``kind`` refresh), or a browser's session (``kind`` session,
    a family of its own that is not rotated). ``token_hash`` is the sha256 of the token, hex."""

    __tablename__ = "refresh_tokens"

    id: Mapped[PrimaryKey]
    user_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("users.id", ondelete="CASCADE"), index=True
    )
    org_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("organizations.id", ondelete="CASCADE")
    )
    kind: Mapped[str] = mapped_column(String(16), default="refresh", server_default="refresh")
    family: Mapped[str] = mapped_column(String(64), index=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    expires_at: Mapped[dt.datetime]
    revoked_at: Mapped[dt.datetime | None]


class ApiKey(TimestampMixin, TenantMixin, Base):
    """A key for programs. Its power is its scopes ∩ the creator's current role."""

    __tablename__ = "api_keys"

    id: Mapped[PrimaryKey]
    user_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[Name]
    prefix: Mapped[str] = mapped_column(String(16))
    key_hash: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[str]]
    expires_at: Mapped[dt.datetime | None]
    last_used_at: Mapped[dt.datetime | None]
    revoked_at: Mapped[dt.datetime | None]
