"""A person's own account: profile, password, address, logins, second factor, linked logins.

``session`` is in system scope: what logs people in is hidden from the application's own role.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import undefer

from datanika.contracts.events import utcnow
from datanika.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from datanika.models import LoginSession, User, UserIdentity
from datanika.security import check_password, check_password_shape, hash_password
from datanika.services.account_audit import record_everywhere
from datanika.services.actor import Actor, require_person
from datanika.services.auth import normal_email
from datanika.services.erasure import erase
from datanika.services.login_sessions import LoginSessions
from datanika.services.mail import Mail
from datanika.services.paging import NEWEST, PageRequest, RowPage, fetch_page, sorts_of
from datanika.services.second_factor import Enrolment, SecondFactor
from datanika.services.sign_up import CONFIRM_PAGE, FORGOT_PAGE
from datanika.services.takeover import forget_links, revoke_keys
from datanika.services.throttle import attempt
from datanika.services.user_tokens import issue
from datanika.services.validation import valid_name

FRESH = dt.timedelta(minutes=10)
"""How young a login must be to stand for the password of somebody who has none."""

SESSION_SORTS = sorts_of(LoginSession, "created_at", "last_used_at")
IDENTITY_SORTS = sorts_of(UserIdentity, "created_at")


class AccountService:
    """The actor's account. Raises :class:`PermissionDenied` ``person_required`` for an API key."""

    def __init__(self, session: AsyncSession, actor: Actor, address: str = "") -> None:
        require_person(actor)
        self.session = session
        self.actor = actor
        self.address = address
        self.logins = LoginSessions(session)
        self.second_factor = SecondFactor(session, actor.user_id)

    async def user(self) -> User:
        """The actor's row, locked until the transaction ends."""
        user: User | None = await self.session.scalar(
            select(User)
            .where(User.id == self.actor.user_id, User.deleted_at.is_(None))
            .options(undefer(User.password_hash))
            .with_for_update()
        )
        if user is None:
            raise NotFound("There is no such user.", code="user_not_found")
        return user

    async def change_profile(self, name: str | None, locale: str | None) -> User:
        """None leaves it as it is."""
        user = await self.user()
        if name is not None:
            user.name = valid_name(name)
        if locale is not None:
            user.locale = locale
        await self.session.flush()
        return user

    async def change_password(
        self, current: str | None, new: str, *, keys_too: bool = False
    ) -> Mail:
        """Another password (or a first one); every other login ends. The notice. ``keys_too``:
        see ``takeover.py``."""
        user = await self.user()
        await self.prove(user, current, "current_password")
        check_password_shape(new)
        user.password_hash = await asyncio.to_thread(hash_password, new)
        await self.session.flush()
        await self.logins.revoke(user.id, keep=self.actor.session_id)
        await forget_links(self.session, user.id)
        if keys_too:
            await revoke_keys(self.session, user.id)
        await record_everywhere(
            self.session, user.id, "user.password_changed", new={"keys_revoked": keys_too}
        )
        return Mail("password_changed", user.email, user.locale, path=FORGOT_PAGE)

    async def request_email_change(self, email: str, password: str | None) -> Mail:
        """The mail to the new address: a link to confirm it, or, where it has an account already,
        only that it has. The answer does not tell which."""
        user = await self.user()
        await self.prove(user, password)
        email = normal_email(email)
        await attempt("reset", self.address, f"change {self.actor.user_id}")
        other = await self.session.scalar(
            select(User).where(User.email == email, User.deleted_at.is_(None))
        )
        if other is not None:
            return Mail("already_registered", email, other.locale, path="/login")
        token = await issue(self.session, user.id, "change_email", {"email": email})
        return Mail("change_email", email, user.locale, path=CONFIRM_PAGE, query={"token": token})

    async def sessions(self, page: PageRequest = NEWEST) -> RowPage[LoginSession]:
        """The user's logins that have not ended."""
        query = select(LoginSession).where(
            LoginSession.user_id == self.actor.user_id,
            LoginSession.revoked_at.is_(None),
            LoginSession.expires_at > func.now(),
        )
        return await fetch_page(self.session, query, SESSION_SORTS, page)

    async def end_session(self, session_id: int) -> None:
        """Also the one this request came with. Raises :class:`NotFound`."""
        if not await self.logins.revoke(self.actor.user_id, only=session_id):
            raise NotFound("There is no such login.", code="session_not_found")
        await record_everywhere(
            self.session, self.actor.user_id, "user.session_revoked", new={"session_id": session_id}
        )

    async def end_other_sessions(self) -> int:
        """How many ended."""
        ended = await self.logins.revoke(self.actor.user_id, keep=self.actor.session_id)
        if ended:
            await record_everywhere(
                self.session, self.actor.user_id, "user.session_revoked", new={"ended": ended}
            )
        return ended

    async def set_up_totp(self, password: str | None) -> Enrolment:
        """The first of two steps: what the authenticator app is given."""
        await self.prove(await self.user(), password)
        return await self.second_factor.set_up()

    async def enable_totp(self, code: str) -> list[str]:
        """The second step, with a code of the app; the recovery codes."""
        codes = await self.second_factor.enable(code, self.address)
        await record_everywhere(self.session, self.actor.user_id, "user.totp_enabled")
        return codes

    async def disable_totp(self, password: str | None, code: str) -> None:
        """With password and a code of the app, or a recovery code."""
        user = await self.user()
        if user.totp_enabled_at is None:
            raise Conflict("The second factor is off.", code="totp_not_enabled")
        await self.prove(user, password)
        await self.second_factor.check(code, self.address)
        await self.second_factor.disable()
        await record_everywhere(self.session, user.id, "user.totp_disabled")

    async def erase(self, password: str | None) -> Sequence[str]:
        """End the account; see ``erasure.py``. The flow runs that Prefect should cancel."""
        user = await self.user()
        await self.prove(user, password)
        return await erase(self.session, user)

    async def identities(self, page: PageRequest = NEWEST) -> RowPage[UserIdentity]:
        """The user's logins at other providers."""
        query = select(UserIdentity).where(UserIdentity.user_id == self.actor.user_id)
        return await fetch_page(self.session, query, IDENTITY_SORTS, page)

    async def unlink(self, identity_id: int) -> None:
        """Raises :class:`NotFound`; :class:`Conflict` for the last way to log in."""
        user = await self.user()
        mine = (
            await self.session.scalars(
                select(UserIdentity).where(UserIdentity.user_id == self.actor.user_id)
            )
        ).all()
        found = next((one for one in mine if one.id == identity_id), None)
        if found is None:
            raise NotFound("There is no such linked login.", code="identity_not_found")
        if user.password_hash is None and len(mine) == 1:
            raise Conflict(
                "This is the only way you can log in.",
                code="last_login_method",
                hint="Choose a password first.",
            )
        await self.session.delete(found)
        await self.session.flush()
        await record_everywhere(
            self.session, user.id, "user.login_unlinked", new={"provider": found.provider}
        )

    async def prove(self, user: User, password: str | None, field: str = "password") -> None:
        """Raise unless the password is right or, for an account that has none, the login young.

        :class:`InvalidInput` ``password_wrong``, :class:`PermissionDenied` ``fresh_login_needed``.
        """
        if user.password_hash is None:
            await self._prove_fresh()
            return
        counted = await attempt("confirm", self.address, str(user.id))
        if not await asyncio.to_thread(check_password, password or "", user.password_hash):
            raise InvalidInput("The password is wrong.", code="password_wrong", field=field)
        await counted.succeeded()

    async def _prove_fresh(self) -> None:
        began = await self.session.scalar(
            select(LoginSession.created_at).where(LoginSession.id == self.actor.session_id)
        )
        if began is None or utcnow() - began > FRESH:
            raise PermissionDenied(
                "You have no password, and your login is not young enough to stand for it.",
                code="fresh_login_needed",
                hint="Log out, log in again, and repeat this within ten minutes.",
            )
