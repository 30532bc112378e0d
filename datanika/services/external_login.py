"""What a login at another provider opens here: a known identity's account, a new account, or,
only where nobody could be taken over, the account that has its address.

System scope.
"""

from __future__ import annotations

import datetime as dt
import secrets
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import undefer

from datanika.contracts.base import Contract
from datanika.contracts.events import utcnow
from datanika.db import SYSTEM, get_session
from datanika.errors import AuthenticationError, Conflict, DatanikaError
from datanika.models import User, UserIdentity
from datanika.security import keyring
from datanika.services.account_audit import record_everywhere
from datanika.services.auth import AuthService, create_account, normal_email
from datanika.services.login_sessions import BrowserSession, Origin
from datanika.services.openid import Flow, Identity, is_trusted, provider_failed
from datanika.services.sign_up import check_open
from datanika.services.throttle import attempt
from datanika.services.user_tokens import first_use

STATE_LIFETIME: Final = dt.timedelta(minutes=10)


class PendingLogin(Contract):
    """What a browser carries, encrypted, from the start of a login to its callback."""

    provider: str
    state: str
    nonce: str
    verifier: str
    next_page: str
    user_id: int | None = None
    """Whose account gets the identity; None for a login."""
    expires_at: dt.datetime

    @classmethod
    def begin(
        cls, provider: str, verifier: str, next_page: str, user_id: int | None = None
    ) -> PendingLogin:
        return cls(
            provider=provider,
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=verifier,
            next_page=next_page,
            user_id=user_id,
            expires_at=utcnow() + STATE_LIFETIME,
        )

    def sealed(self) -> str:
        """For a cookie."""
        return keyring().encrypt(self.model_dump(mode="json"))

    def flow(self, redirect_uri: str) -> Flow:
        return Flow(redirect_uri, self.nonce, self.verifier)


async def resume(cookie: str | None, provider: str, state: str, address: str) -> PendingLogin:
    """The login that this browser began with ``state``, which is used up.

    Raises :class:`AuthenticationError` ``state_invalid``, :class:`TooManyRequests`.
    """
    pending = _opened(cookie)
    if (
        pending is not None
        and pending.provider == provider
        and secrets.compare_digest(pending.state.encode(), state.encode("utf-8", "replace"))
        and pending.expires_at > utcnow()
    ):
        async with get_session(SYSTEM, beside=True) as session:
            if await first_use(session, state, "oidc_state"):
                return pending
    await attempt("oidc", address)
    raise AuthenticationError(
        "This login was not begun in this browser, or too long ago.",
        code="state_invalid",
        hint="Begin again on the login page.",
    )


def _opened(cookie: str | None) -> PendingLogin | None:
    if not cookie:
        return None
    try:
        opened: dict[str, Any] = keyring().decrypt(cookie)
        return PendingLogin.model_validate(opened)
    except (DatanikaError, ValueError):
        return None


class ExternalLogin:
    """Logins with one provider's identities."""

    def __init__(self, session: AsyncSession, provider: str, origin: Origin | None = None) -> None:
        self.session = session
        self.provider = provider
        self.origin = origin

    async def enter(self, identity: Identity, locale: str = "en") -> BrowserSession:
        """A browser's session for whoever has the identity.

        Raises :class:`AuthenticationError` ``provider_email_not_verified`` and ``account_exists``.
        """
        known = await self._known(identity)
        user_id = known.user_id if known else (await self._adopt(identity, locale)).id
        service = AuthService(self.session, self.origin)
        return await service.open_browser(await service.enter(user_id), f"oidc:{self.provider}")

    async def link(self, identity: Identity, user_id: int) -> None:
        """Let the identity open the account of somebody who is logged in.

        Raises :class:`Conflict` ``identity_taken`` when it opens another one.
        """
        known = await self._known(identity)
        if known is None:
            await self._add(await self.session.get_one(User, user_id), identity)
        elif known.user_id != user_id:
            raise _taken()

    async def _known(self, identity: Identity) -> UserIdentity | None:
        if not 1 <= len(identity.subject) <= 255 or not identity.subject.isprintable():
            raise provider_failed("The provider did not say who logged in.")
        found: UserIdentity | None = await self.session.scalar(
            select(UserIdentity).where(
                UserIdentity.provider == self.provider, UserIdentity.subject == identity.subject
            )
        )
        return found

    async def _adopt(self, identity: Identity, locale: str) -> User:
        if not identity.email_verified:
            raise AuthenticationError(
                "The provider has not verified your e-mail address.",
                code="provider_email_not_verified",
                hint="Confirm the address there, then log in again.",
            )
        email = normal_email(identity.email)
        user: User | None = await self.session.scalar(
            select(User)
            .where(User.email == email, User.deleted_at.is_(None))
            .options(undefer(User.password_hash))
            .with_for_update()
        )
        if user is None:
            check_open()
            name = _printable(identity.name) or email
            user = User(email=email, name=name, locale=locale, email_verified_at=utcnow())
            await create_account(self.session, user, name)
        elif await self._could_be_taken_over(user):
            raise AuthenticationError(
                "There is an account with this e-mail address already.",
                code="account_exists",
                hint="Log in the way you did before, and link this provider in your account.",
            )
        user.email_verified_at = user.email_verified_at or utcnow()
        await self._add(user, identity)
        return user

    async def _could_be_taken_over(self, user: User) -> bool:
        """Whether somebody opens the account already, and the provider's word is not enough.

        Also a trusted provider opens no account whose address its owner has never confirmed:
        whoever registered it may be somebody else, and would keep their password.
        """
        others = await self.session.scalar(
            select(func.count(UserIdentity.id)).where(UserIdentity.user_id == user.id)
        )
        if user.password_hash is None and not others:
            return False
        return not is_trusted(self.provider) or user.email_verified_at is None

    async def _add(self, user: User, identity: Identity) -> None:
        row = UserIdentity(
            user_id=user.id,
            provider=self.provider,
            subject=identity.subject,
            email=_printable(identity.email)[:320],
        )
        try:
            async with self.session.begin_nested():
                self.session.add(row)
        except IntegrityError:
            raise _taken() from None
        await record_everywhere(
            self.session, user.id, "user.login_linked", new={"provider": self.provider}
        )


def _taken() -> Conflict:
    return Conflict("This login opens another account.", code="identity_taken")


def _printable(text: str) -> str:
    """At most 200 characters of what may be shown."""
    return "".join(one for one in text if one.isprintable()).strip()[:200]
