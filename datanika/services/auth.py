"""Who is asking: registration, passwords, tokens, browser sessions.

Everything here needs a session in system scope: before somebody is known there is no tenant.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import secrets
import unicodedata
from typing import Final, Literal

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import undefer

from datanika.config import settings
from datanika.contracts.base import Contract
from datanika.contracts.enums import Role
from datanika.errors import AuthenticationError, Conflict, InvalidInput
from datanika.models import ApiKey, Membership, Organization, RefreshToken, User
from datanika.security import (
    API_KEY_PREFIX,
    check_password,
    check_password_shape,
    create_access_token,
    hash_password,
    hash_token,
    is_api_key,
    new_token,
    read_access_token,
)
from datanika.services.actor import Actor, prove_membership
from datanika.services.audit_service import record
from datanika.services.validation import valid_name

_EMAIL: Final = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s.]{2,}")
_LAST_USED_EVERY: Final = dt.timedelta(minutes=1)


class TokenPair(Contract):
    access_token: str
    refresh_token: str
    expires_in: int
    """Seconds the access token lives."""
    org_id: int


class BrowserSession(Contract):
    """What the httpOnly cookie holds, and until when."""

    token: str
    expires_at: dt.datetime
    org_id: int


class AuthService:
    """Logging in and out. ``session`` is in system scope."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def register(
        self, email: str, password: str, name: str, organization_name: str
    ) -> tuple[User, Organization]:
        """A new user who owns a new organisation."""
        email = normal_email(email)
        name = valid_name(name)
        organization_name = valid_name(organization_name, "organization_name")
        check_password_shape(password)
        user = User(
            email=email, name=name, password_hash=await asyncio.to_thread(hash_password, password)
        )
        try:
            async with self.session.begin_nested():
                self.session.add(user)
        except IntegrityError:
            raise Conflict(
                "There is already a user with this e-mail address.",
                code="email_taken",
                field="email",
                hint="Log in instead.",
            ) from None
        organization = Organization(
            name=organization_name, slug=f"{_slug(organization_name)}-{secrets.token_hex(4)}"
        )
        self.session.add(organization)
        await self.session.flush()
        self.session.add(Membership(org_id=organization.id, user_id=user.id, role=Role.OWNER))
        await self.session.flush()
        actor = await prove_membership(self.session, user.id, organization.id)
        await record(
            self.session,
            actor,
            "organization.created",
            "organization",
            organization.id,
            new={"name": organization.name, "owner": email},
        )
        return user, organization

    async def login(self, email: str, password: str, org_id: int | None = None) -> TokenPair:
        """Tokens for ``org_id``, else for the organisation the user joined first."""
        actor = await self._authenticate(email, password, org_id)
        return await self._issue(actor.user_id, actor.org_id, family=secrets.token_hex(16))

    async def refresh(self, token: str) -> TokenPair:
        """The next pair of the family; ``token`` is used up.

        A token that was already used is in two hands: the whole family is revoked, and that stays
        so although this call raises.
        """
        used = await self._use_up(token)
        if used is None:
            await self._revoke_family_of(token)
            # The one commit of the services: raising would undo the revocation.
            await self.session.commit()
            raise AuthenticationError(
                "The refresh token is not valid, has expired or was used before.",
                code="refresh_token_invalid",
                hint="Log in again.",
            )
        user_id, org_id, family = used
        actor = await prove_membership(self.session, user_id, org_id)
        return await self._issue(actor.user_id, actor.org_id, family=family)

    async def logout(self, refresh_token: str) -> None:
        """Revoke the token's family. An unknown token is as logged out as can be."""
        await self._revoke_family_of(refresh_token)

    async def create_session(
        self, email: str, password: str, org_id: int | None = None
    ) -> BrowserSession:
        """A session for the UI's httpOnly cookie."""
        actor = await self._authenticate(email, password, org_id)
        token, expires_at = await self._store(
            actor.user_id, actor.org_id, family=secrets.token_hex(16), kind="session"
        )
        return BrowserSession(token=token, expires_at=expires_at, org_id=actor.org_id)

    async def actor_for_session(self, token: str) -> Actor:
        """The actor behind a browser's session cookie."""
        row = await self._live_session(token)
        return await prove_membership(self.session, row.user_id, row.org_id)

    async def switch_organization(self, token: str, org_id: int) -> Actor:
        """Continue the browser's session in another organisation of the same user."""
        row = await self._live_session(token)
        actor = await prove_membership(self.session, row.user_id, org_id)
        row.org_id = org_id
        await self.session.flush()
        return actor

    async def close_session(self, token: str) -> None:
        """Log the browser out."""
        await self._revoke_family_of(token)

    async def organizations_of(self, user_id: int) -> list[tuple[Organization, Role]]:
        """The organisations a user may switch to, in the order of joining."""
        rows = await self.session.execute(
            select(Organization, Membership.role)
            .join(Membership, Membership.org_id == Organization.id)
            .where(
                Membership.user_id == user_id,
                Membership.deleted_at.is_(None),
                Organization.deleted_at.is_(None),
            )
            .order_by(Membership.id)
        )
        return [(organization, Role(role)) for organization, role in rows]

    async def _authenticate(self, email: str, password: str, org_id: int | None) -> Actor:
        user = await self.session.scalar(
            select(User)
            .where(User.email == known_email(email), User.deleted_at.is_(None))
            .options(undefer(User.password_hash))
        )
        # An unknown user costs the same time: the answer must not tell who has an account.
        known_hash = user.password_hash if user is not None else None
        right = await asyncio.to_thread(check_password, password, known_hash)
        if user is None or not right:
            raise AuthenticationError(
                "E-mail address or password is wrong.", code="bad_credentials"
            )
        if org_id is None:
            organizations = await self.organizations_of(user.id)
            if not organizations:
                raise AuthenticationError(
                    "You are not a member of any organisation.",
                    code="not_a_member",
                    hint="Ask for an invitation.",
                )
            org_id = organizations[0][0].id
        return await prove_membership(self.session, user.id, org_id)

    async def _issue(self, user_id: int, org_id: int, *, family: str) -> TokenPair:
        refresh_token, _ = await self._store(user_id, org_id, family=family, kind="refresh")
        return TokenPair(
            access_token=create_access_token(user_id, org_id),
            refresh_token=refresh_token,
            expires_in=settings.access_token_minutes * 60,
            org_id=org_id,
        )

    async def _store(
        self, user_id: int, org_id: int, *, family: str, kind: Literal["refresh", "session"]
    ) -> tuple[str, dt.datetime]:
        token = new_token()
        expires_at = dt.datetime.now(dt.UTC) + dt.timedelta(days=settings.refresh_token_days)
        self.session.add(
            RefreshToken(
                user_id=user_id,
                org_id=org_id,
                kind=kind,
                family=family,
                token_hash=hash_token(token),
                expires_at=expires_at,
            )
        )
        await self.session.flush()
        return token, expires_at

    async def _use_up(self, token: str) -> tuple[int, int, str] | None:
        """Revoke a live refresh token, atomically: of parallel calls one gets it."""
        family = await self._lock_family_of(token)
        if family is None:
            return None
        row = (
            await self.session.execute(
                update(RefreshToken)
                .where(
                    RefreshToken.token_hash == hash_token(token),
                    RefreshToken.kind == "refresh",
                    RefreshToken.revoked_at.is_(None),
                    RefreshToken.expires_at > func.now(),
                )
                .values(revoked_at=func.now())
                .returning(RefreshToken.user_id, RefreshToken.org_id)
                .execution_options(synchronize_session=False)
            )
        ).one_or_none()
        return None if row is None else (row.user_id, row.org_id, family)

    async def _revoke_family_of(self, token: str) -> None:
        family = await self._lock_family_of(token)
        await self.session.execute(
            update(RefreshToken)
            .where(RefreshToken.family == family, RefreshToken.revoked_at.is_(None))
            .values(revoked_at=func.now())
            .execution_options(synchronize_session=False)
        )

    async def _lock_family_of(self, token: str) -> str | None:
        """One transaction at a time in a family: no new link can slip past its revocation."""
        family = await self.session.scalar(
            select(RefreshToken.family).where(RefreshToken.token_hash == hash_token(token))
        )
        await self.session.execute(
            select(func.pg_advisory_xact_lock(func.hashtextextended(family or "", 0)))
        )
        return family

    async def _live_session(self, token: str) -> RefreshToken:
        row = await self.session.scalar(
            select(RefreshToken).where(
                RefreshToken.token_hash == hash_token(token),
                RefreshToken.kind == "session",
                RefreshToken.revoked_at.is_(None),
                RefreshToken.expires_at > func.now(),
            )
        )
        if row is None:
            raise AuthenticationError(
                "Your session has ended.", code="session_invalid", hint="Log in again."
            )
        return row


async def actor_for_token(session: AsyncSession, bearer: str) -> Actor:
    """The actor behind an access token or an API key; ``session`` is in system scope.

    Raises :class:`AuthenticationError`, also when the user has left the organisation since.
    """
    if bearer.startswith(API_KEY_PREFIX):
        return await _actor_for_api_key(session, bearer)
    token = read_access_token(bearer)
    return await prove_membership(session, token.user_id, token.org_id)


async def _actor_for_api_key(session: AsyncSession, plaintext: str) -> Actor:
    key = None
    if is_api_key(plaintext):
        key = await session.scalar(
            select(ApiKey).where(
                ApiKey.key_hash == hash_token(plaintext),
                ApiKey.revoked_at.is_(None),
                ApiKey.deleted_at.is_(None),
            )
        )
    now = dt.datetime.now(dt.UTC)
    if key is None or (key.expires_at is not None and key.expires_at <= now):
        raise AuthenticationError(
            "The API key is not valid, has expired or was revoked.",
            code="api_key_invalid",
            hint="Make a new one under API keys.",
        )
    if key.last_used_at is None or now - key.last_used_at > _LAST_USED_EVERY:
        key.last_used_at = now
        await session.flush()
    return await prove_membership(
        session, key.user_id, key.org_id, scopes=frozenset(key.scopes), api_key_id=key.id
    )


def known_email(email: str) -> str:
    """The address to look up; an empty one, which nobody has, for what is no address."""
    try:
        return normal_email(email)
    except InvalidInput:
        return ""


def normal_email(email: str) -> str:
    """The address as it is stored; raises :class:`InvalidInput`."""
    email = email.strip().lower()
    if len(email) > 320 or not email.isprintable() or not _EMAIL.fullmatch(email):
        raise InvalidInput("This is not an e-mail address.", code="email_invalid", field="email")
    return email


def _slug(name: str) -> str:
    """Lower-case ASCII letters and digits of ``name`` with hyphens between, at most 50."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_name).strip("-")[:50] or "org"
