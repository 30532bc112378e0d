"""Who is asking: registration, passwords, bearer tokens. What a login goes on with: see
``login_sessions.py``; what a stranger's sign-up is answered: ``sign_up.py``.

Everything here needs a session in system scope: before somebody is known there is no tenant.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import secrets
import unicodedata
from functools import partial
from typing import Final

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import undefer

from datanika.config import settings
from datanika.contracts.enums import Role
from datanika.errors import AuthenticationError, Conflict, InvalidInput
from datanika.models import ApiKey, LoginSession, Membership, Organization, User
from datanika.security import (
    API_KEY_PREFIX,
    check_password,
    check_password_shape,
    hash_password,
    hash_token,
    is_api_key,
    read_access_token,
)
from datanika.services.account_audit import record_everywhere
from datanika.services.actor import Actor, prove_membership, prove_person
from datanika.services.audit_service import record
from datanika.services.failed_logins import note_failure
from datanika.services.login_sessions import (
    BrowserSession,
    LoginSessions,
    Origin,
    TokenPair,
    first_organization,
)
from datanika.services.second_factor import SecondFactor
from datanika.services.throttle import attempt
from datanika.services.validation import valid_name

_EMAIL: Final = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s.]{2,}")
_LAST_USED_EVERY: Final = dt.timedelta(minutes=1)


class AuthService:
    """Logging in and out. ``session`` is in system scope."""

    def __init__(self, session: AsyncSession, origin: Origin | None = None) -> None:
        self.session = session
        self.logins = LoginSessions(session, origin)

    async def register(
        self, email: str, password: str, name: str, organization_name: str
    ) -> tuple[User, Organization]:
        """A new user who owns a new organisation. Raises :class:`Conflict` ``email_taken``: what
        a stranger is answered is for ``sign_up.py``."""
        check_password_shape(password)
        user = User(
            email=normal_email(email),
            name=valid_name(name),
            password_hash=await asyncio.to_thread(hash_password, password),
        )
        return user, await create_account(self.session, user, organization_name)

    async def login(
        self, email: str, password: str, org_id: int | None = None, totp_code: str | None = None
    ) -> TokenPair:
        """Tokens for ``org_id``, else for the organisation the user joined first, if any.

        Raises :class:`AuthenticationError`: ``bad_credentials``, ``email_not_verified``,
        ``totp_required``, ``totp_wrong``, ``not_a_member``; :class:`TooManyRequests`.
        """
        actor = await self._authenticate(email, password, org_id, totp_code)
        login = await self.logins.open(actor.user_id, "refresh", "password")
        pair = await self.logins.issue_tokens(login, actor)
        await self._record(login)
        return pair

    async def create_session(
        self, email: str, password: str, org_id: int | None = None, totp_code: str | None = None
    ) -> BrowserSession:
        """A session for the UI's httpOnly cookie. Raises as :meth:`login` does."""
        actor = await self._authenticate(email, password, org_id, totp_code)
        return await self.open_browser(actor, "password")

    async def open_browser(self, actor: Actor, method: str) -> BrowserSession:
        """A browser's session for somebody who has proven who they are by ``method``."""
        login = await self.logins.open(actor.user_id, "session", method)
        opened = await self.logins.issue_cookie(login, actor)
        await self._record(login)
        return opened

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

    async def enter(self, user_id: int, org_id: int | None = None) -> Actor:
        """The user in ``org_id``, else in the organisation they joined first, else nowhere."""
        org_id = org_id or await first_organization(self.session, user_id)
        if org_id is None:
            return await prove_person(self.session, user_id)
        return await prove_membership(self.session, user_id, org_id)

    async def _authenticate(
        self, email: str, password: str, org_id: int | None, totp_code: str | None
    ) -> Actor:
        account, address = known_email(email), self.logins.origin.address
        counted = await attempt(
            "login", address, account, is_known_here=partial(self.logins.came_from_here, account)
        )
        user = await self.session.scalar(
            select(User)
            .where(User.email == account, User.deleted_at.is_(None))
            .options(undefer(User.password_hash))
        )
        # An unknown user costs the same time: the answer must not tell who has an account.
        known_hash = user.password_hash if user is not None else None
        right = await asyncio.to_thread(check_password, password, known_hash)
        if user is None or not right:
            await note_failure(account, user.id if user else None, "password", address)
            raise AuthenticationError(
                "E-mail address or password is wrong.", code="bad_credentials"
            )
        await counted.succeeded()
        if settings.needs_verified_email and user.email_verified_at is None:
            raise AuthenticationError(
                "Your e-mail address is not confirmed yet.",
                code="email_not_verified",
                hint="Open the link in the mail we sent, or ask for a new one.",
            )
        if user.totp_enabled_at is not None:
            await self._check_code(user, totp_code)
        return await self.enter(user.id, org_id)

    async def _check_code(self, user: User, code: str | None) -> None:
        address = self.logins.origin.address
        try:
            await SecondFactor(self.session, user.id).check(code, address)
        except AuthenticationError as error:
            if error.code == "totp_wrong":
                await note_failure(user.email, user.id, "second factor", address)
            raise

    async def _record(self, login: LoginSession) -> None:
        await record_everywhere(
            self.session, login.user_id, "user.logged_in",
            new={"method": login.method, "address": login.address},
        )  # fmt: skip


async def create_account(session: AsyncSession, user: User, organization_name: str) -> Organization:
    """Store a new user, and a new organisation that they own.

    Raises :class:`Conflict` ``email_taken``, and :class:`InvalidInput` for the name.
    """
    organization_name = valid_name(organization_name, "organization_name")
    try:
        async with session.begin_nested():
            session.add(user)
    except IntegrityError:
        raise Conflict(
            "There is already a user with this e-mail address.",
            code="email_taken",
            field="email",
            hint="Log in instead.",
        ) from None
    organization = Organization(name=organization_name, slug=organization_slug(organization_name))
    session.add(organization)
    await session.flush()
    session.add(Membership(org_id=organization.id, user_id=user.id, role=Role.OWNER))
    await session.flush()
    actor = await prove_membership(session, user.id, organization.id)
    await record(
        session, actor, "organization.created", "organization", organization.id,
        new={"name": organization.name, "owner": user.email},
    )  # fmt: skip
    return organization


async def actor_for_token(session: AsyncSession, bearer: str) -> Actor:
    """The actor behind an access token or an API key; ``session`` is in system scope.

    Raises :class:`AuthenticationError`, also when the user has left the organisation since.
    """
    if bearer.startswith(API_KEY_PREFIX):
        return await _actor_for_api_key(session, bearer)
    token = read_access_token(bearer)
    return await prove_membership(
        session, token.user_id, token.org_id, login_session_id=token.session_id
    )


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


def organization_slug(name: str) -> str:
    """Lower-case ASCII letters and digits of ``name`` with hyphens between, and a random end."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    start = re.sub(r"[^a-z0-9]+", "-", ascii_name).strip("-")[:50] or "org"
    return f"{start}-{secrets.token_hex(4)}"
