"""What a stranger may ask for by an e-mail address: an account, a new password, a confirmation.

The answer never tells whether the address has an account, and takes as long either way: the same
statements run for nobody. The mail tells its owner. Everything here needs system scope.
"""

from __future__ import annotations

import asyncio
import secrets

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import undefer

from datanika.config import settings
from datanika.contracts.events import utcnow
from datanika.errors import Conflict, PermissionDenied
from datanika.models import User
from datanika.security import check_password_shape, hash_password
from datanika.services.account_audit import record_everywhere
from datanika.services.auth import create_account, known_email, normal_email
from datanika.services.login_sessions import LoginSessions, Origin
from datanika.services.mail import Mail
from datanika.services.takeover import forget_links, revoke_keys
from datanika.services.throttle import attempt
from datanika.services.user_tokens import forget, issue, token_invalid, use_up
from datanika.services.validation import valid_name

SIGN_UP_PAGE = "/sign-up"
CONFIRM_PAGE = "/verify-email"
RESET_PAGE = "/reset-password"
FORGOT_PAGE = "/forgot-password"


def check_open() -> None:
    """Raise :class:`PermissionDenied` ``registration_closed`` where only the invited come in."""
    if settings.registration == "closed":
        raise PermissionDenied(
            "Nobody can make an account here by themselves.",
            code="registration_closed",
            hint="Ask an admin of an organisation for an invitation.",
        )


class SignUp:
    """Requests of those who are not logged in, and the links of the mails they got."""

    def __init__(self, session: AsyncSession, origin: Origin | None = None) -> None:
        self.session = session
        self.origin = origin or Origin()

    async def register(
        self, email: str, password: str, name: str, organization_name: str, locale: str = "en"
    ) -> Mail:
        """A new user who owns a new organisation, unless the address has an account; the mail that
        tells which. Raises :class:`InvalidInput`, :class:`TooManyRequests` and
        :class:`PermissionDenied` ``registration_closed``."""
        check_open()
        email, name = normal_email(email), valid_name(name)
        organization_name = valid_name(organization_name, "organization_name")
        check_password_shape(password)
        await attempt("register", self.origin.address, email)
        hashed = await asyncio.to_thread(hash_password, password)
        user = User(email=email, name=name, password_hash=hashed, locale=locale)
        known = await self._find(email)
        if known is None:
            try:
                await create_account(self.session, user, organization_name)
            except Conflict:
                # Registered twice at once.
                known = await self._find(email)
        if known is not None:
            await self._pretend(User(name=name, password_hash=hashed), organization_name)
            await issue(self.session, None, "verify_email", {"email": email})
            return Mail("already_registered", email, known.locale, path="/login")
        return await self._confirmation(user)

    async def resend_confirmation(self, email: str) -> Mail | None:
        """A new link to confirm the address; None (and the same work) where there is nothing to
        confirm."""
        account = known_email(email)
        await attempt("reset", self.origin.address, f"confirm {account}")
        user = await self._find(account)
        if user is None or user.email_verified_at is not None:
            await issue(self.session, None, "verify_email", {"email": account})
            return None
        return await self._confirmation(user)

    async def request_reset(self, email: str) -> Mail | None:
        """A link to choose a new password; None (and the same work) for an unknown address."""
        account = known_email(email)
        await attempt("reset", self.origin.address, account)
        user = await self._find(account)
        token = await issue(self.session, user.id if user else None, "reset_password")
        if user is None:
            return None
        return Mail(
            "reset_password", user.email, user.locale, path=RESET_PAGE, query={"token": token}
        )

    async def reset_password(self, token: str, password: str, *, keys_too: bool = False) -> Mail:
        """Set another password, end every login; the notice. Whoever has the link has the mailbox:
        its address is confirmed by it. ``keys_too``: see ``takeover.py``. Raises
        :class:`InvalidInput`."""
        check_password_shape(password)
        row = await use_up(self.session, token, "reset_password")
        user = await self._locked(row.user_id)
        user.password_hash = await asyncio.to_thread(hash_password, password)
        user.email_verified_at = user.email_verified_at or utcnow()
        await self.session.flush()
        await forget_links(self.session, user.id)
        await LoginSessions(self.session).revoke(user.id)
        if keys_too:
            await revoke_keys(self.session, user.id)
        await record_everywhere(
            self.session, user.id, "user.password_reset", new={"keys_revoked": keys_too}
        )
        return Mail("password_changed", user.email, user.locale, path=FORGOT_PAGE)

    async def confirm(self, token: str) -> list[Mail]:
        """Confirm an address, a new user's or a changed one; the notices.

        Raises :class:`InvalidInput` ``token_invalid``, :class:`Conflict` ``email_taken``.
        """
        row = await use_up(self.session, token, "verify_email", "change_email")
        user = await self._locked(row.user_id)
        if row.purpose == "change_email":
            return await self._change_email(user, row.data["email"])
        if user.email != row.data["email"]:
            raise token_invalid()
        if user.email_verified_at is None:
            user.email_verified_at = utcnow()
            await self.session.flush()
            await record_everywhere(self.session, user.id, "user.email_verified")
        return []

    async def _change_email(self, user: User, email: str) -> list[Mail]:
        if await self._find(email) is not None:
            raise Conflict(
                "Another account has this address meanwhile.", code="email_taken", field="token"
            )
        old, user.email, user.email_verified_at = user.email, email, utcnow()
        await self.session.flush()
        await forget(self.session, user.id, "change_email", "reset_password", "verify_email")
        await record_everywhere(self.session, user.id, "user.email_changed", new={"old_email": old})
        return [Mail("email_changed", old, user.locale, {"email": email})]

    async def _confirmation(self, user: User) -> Mail:
        token = await issue(self.session, user.id, "verify_email", {"email": user.email})
        return Mail(
            "verify_email", user.email, user.locale, path=CONFIRM_PAGE, query={"token": token}
        )

    async def _pretend(self, user: User, organization_name: str) -> None:
        """Make an account for nobody, and undo it."""
        user.email = f"{secrets.token_hex(16)}@nobody.invalid"
        undone = await self.session.begin_nested()
        await create_account(self.session, user, organization_name)
        await undone.rollback()

    async def _find(self, email: str) -> User | None:
        found: User | None = await self.session.scalar(
            select(User).where(User.email == email, User.deleted_at.is_(None))
        )
        return found

    async def _locked(self, user_id: int | None) -> User:
        user: User | None = await self.session.scalar(
            select(User)
            .where(User.id == user_id, User.deleted_at.is_(None))
            .options(undefer(User.password_hash))
            .with_for_update()
        )
        if user is None:
            raise token_invalid()
        return user
