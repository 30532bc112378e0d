"""People, their place in organisations, and the tokens they log in with."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from datanika.models.base import Base, Name, PrimaryKey, TenantMixin, TimestampMixin


class User(TimestampMixin, Base):
    """A person. ``password_hash`` and ``totp_secret`` (encrypted) are loaded only where they are
    asked for (``undefer``), and the application's role has no right to read them."""

    __tablename__ = "users"

    id: Mapped[PrimaryKey]
    email: Mapped[str] = mapped_column(String(320), unique=True)
    name: Mapped[Name]
    password_hash: Mapped[str | None] = mapped_column(
        String(100), deferred=True, deferred_raiseload=True
    )
    email_verified_at: Mapped[dt.datetime | None]
    totp_secret: Mapped[str | None] = mapped_column(Text, deferred=True, deferred_raiseload=True)
    totp_enabled_at: Mapped[dt.datetime | None]
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


class LoginSession(TimestampMixin, Base):
    """One login: of a program (a family of rotating refresh tokens) or of a browser (a cookie).

    Access tokens name their session: when it is revoked they end with it.
    """

    __tablename__ = "login_sessions"

    id: Mapped[PrimaryKey]
    user_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("users.id", ondelete="CASCADE"), index=True
    )
    family: Mapped[str] = mapped_column(String(64), unique=True)
    kind: Mapped[str] = mapped_column(String(16))
    method: Mapped[str] = mapped_column(String(32))
    user_agent: Mapped[str] = mapped_column(String(300), default="", server_default="")
    address: Mapped[str] = mapped_column(String(45), default="", server_default="")
    last_used_at: Mapped[dt.datetime]
    expires_at: Mapped[dt.datetime]
    revoked_at: Mapped[dt.datetime | None]


class RefreshToken(TimestampMixin, Base):
    """One link of a rotation family (``kind`` refresh), or a browser's session (``kind`` session,
    a family of its own that is not rotated). ``token_hash`` is the sha256 of the token, hex.
    ``org_id`` is NULL while its user is in no organisation."""

    __tablename__ = "refresh_tokens"

    id: Mapped[PrimaryKey]
    user_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("users.id", ondelete="CASCADE"), index=True
    )
    org_id: Mapped[int | None] = mapped_column(
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


class UserIdentity(TimestampMixin, Base):
    """A user at an OpenID or OAuth provider: ``subject`` is the provider's own stable id."""

    __tablename__ = "user_identities"
    __table_args__ = (UniqueConstraint("provider", "subject"),)

    id: Mapped[PrimaryKey]
    user_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("users.id", ondelete="CASCADE"), index=True
    )
    provider: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(255))
    email: Mapped[str] = mapped_column(String(320))


class UserToken(TimestampMixin, Base):
    """A right to do one thing once, sent by mail or shown once: ``purpose`` says which thing.

    ``token_hash`` is the sha256 of the token, hex; ``data`` what the thing needs (never a secret).
    """

    __tablename__ = "user_tokens"
    __table_args__ = (Index("ix_user_tokens_user_id_purpose", "user_id", "purpose"),)

    id: Mapped[PrimaryKey]
    user_id: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("users.id", ondelete="CASCADE")
    )
    purpose: Mapped[str] = mapped_column(String(32))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    data: Mapped[dict[str, Any]]
    expires_at: Mapped[dt.datetime] = mapped_column(index=True)
    used_at: Mapped[dt.datetime | None]


class Throttle(TimestampMixin, Base):
    """Failures that slow somebody down. ``key`` is a hash: of an account's or a network address
    and of what was tried. In PostgreSQL, so that neither a restart nor Redis' absence forgets."""

    __tablename__ = "throttles"

    id: Mapped[PrimaryKey]
    key: Mapped[str] = mapped_column(String(64), unique=True)
    failures: Mapped[int]
    first_at: Mapped[dt.datetime]
    last_at: Mapped[dt.datetime] = mapped_column(index=True)
    blocked_until: Mapped[dt.datetime | None]


class Invitation(TimestampMixin, TenantMixin, Base):
    """Membership offered to an address. ``deleted_at`` is when it was withdrawn."""

    __tablename__ = "invitations"
    __table_args__ = (
        UniqueConstraint("org_id", "id"),
        Index(
            "uq_invitations_org_id_email_open",
            "org_id",
            "email",
            unique=True,
            postgresql_where=text("deleted_at IS NULL AND accepted_at IS NULL"),
            sqlite_where=text("deleted_at IS NULL AND accepted_at IS NULL"),
        ),
    )

    id: Mapped[PrimaryKey]
    email: Mapped[str] = mapped_column(String(320))
    role: Mapped[str] = mapped_column(String(16))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    invited_by: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("users.id", ondelete="SET NULL")
    )
    expires_at: Mapped[dt.datetime]
    accepted_at: Mapped[dt.datetime | None]
