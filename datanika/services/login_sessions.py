"""Logins and what keeps them going: rotating refresh tokens, and browsers' session cookies.

Everything here needs a session in system scope.
"""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import bindparam, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.config import settings
from datanika.contracts.base import Contract
from datanika.db import fetch_rows
from datanika.errors import AuthenticationError, NotFound
from datanika.models import LoginSession, Membership, Organization, RefreshToken, User
from datanika.security import create_access_token, hash_token, new_token
from datanika.services.account_audit import record_everywhere
from datanika.services.actor import Actor, prove_membership, prove_person, session_revoked
from datanika.services.throttle import attempt

Kind = Literal["refresh", "session"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a login comes from, as its owner will see it in the list of sessions."""

    user_agent: str = ""
    address: str = ""


class TokenPair(Contract):
    access_token: str
    refresh_token: str
    expires_in: int
    """Seconds the access token lives."""
    org_id: int | None
    """None while the user is in no organisation."""


class BrowserSession(Contract):
    """What the httpOnly cookie holds, and until when."""

    token: str
    expires_at: dt.datetime
    org_id: int | None


class LoginSessions:
    """Opens, continues and ends logins. ``session`` is in system scope."""

    def __init__(self, session: AsyncSession, origin: Origin | None = None) -> None:
        self.session = session
        self.origin = origin or Origin()

    async def open(self, user_id: int, kind: Kind, method: str) -> LoginSession:
        """A new login. ``method`` says how its owner proved who they are."""
        now = dt.datetime.now(dt.UTC)
        login = LoginSession(
            user_id=user_id,
            family=secrets.token_hex(16),
            kind=kind,
            method=method,
            user_agent=self.origin.user_agent[:300],
            address=self.origin.address[:45],
            last_used_at=now,
            expires_at=now + dt.timedelta(days=settings.refresh_token_days),
        )
        self.session.add(login)
        await self.session.flush()
        return login

    async def issue_tokens(self, login: LoginSession, actor: Actor) -> TokenPair:
        """The next pair of tokens of the actor's login; it lives as long again from now."""
        return TokenPair(
            access_token=create_access_token(login.user_id, actor.org_id, login.id),
            refresh_token=await self._add_token(login, actor),
            expires_in=settings.access_token_minutes * 60,
            org_id=_org_id(actor),
        )

    async def issue_cookie(self, login: LoginSession, actor: Actor) -> BrowserSession:
        """What a browser keeps of the actor's login."""
        token = await self._add_token(login, actor)
        return BrowserSession(token=token, expires_at=login.expires_at, org_id=_org_id(actor))

    async def refresh(self, token: str, org_id: int | None = None) -> TokenPair:
        """The next pair of the family; ``token`` is used up. With ``org_id`` the pair is of that
        organisation: raises :class:`NotFound` where the user is no member, and ``token`` stays.

        A token that was already used is in two hands: the whole login is revoked, and that stays
        so although this call raises.
        """
        used = await self._use_up(token)
        if used is None:
            await self._punish_reuse(token)
            raise AuthenticationError(
                "The refresh token is not valid, has expired or was used before.",
                code="refresh_token_invalid",
                hint="Log in again.",
            )
        login = await self._of_family(used.family)
        actor = await self._prove(login.user_id, login.id, used.org_id, org_id)
        return await self.issue_tokens(login, actor)

    async def actor_of_cookie(self, token: str) -> Actor:
        """The actor behind a browser's session cookie; raises :class:`AuthenticationError`."""
        found = await fetch_rows(self.session, _LOGIN_OF_COOKIE, {"token_hash": hash_token(token)})
        if not found:
            raise _session_ended()
        login = found[0]
        return await self._prove(login.user_id, login.id, login.org_id, None)

    async def switch_cookie(self, token: str, org_id: int) -> RefreshToken:
        """Go on in another organisation of the same user; raises :class:`NotFound` where they are
        no member."""
        row = await self.live_cookie(token)
        login = await self._of_family(row.family)
        await self._prove(login.user_id, login.id, row.org_id, org_id)
        row.org_id = org_id
        await self.session.flush()
        return row

    async def leave_with_cookie(self, token: str, org_id: int) -> None:
        """The browser whose person leaves ``org_id`` goes on in another organisation of theirs,
        or in none. In system scope, before they are out."""
        row = await self.live_cookie(token)
        row.org_id = await first_organization(self.session, row.user_id, other_than=org_id)
        await self.session.flush()

    async def live_cookie(self, token: str) -> RefreshToken:
        """The row of a browser's session that has not ended."""
        row = await self.session.scalar(
            select(RefreshToken).where(
                RefreshToken.token_hash == hash_token(token), *_IS_LIVE_COOKIE
            )
        )
        if row is None:
            raise _session_ended()
        return row

    async def revoke_by_token(self, token: str) -> None:
        """Log out of the login that ``token`` belongs to. An unknown token is as ended as can
        be."""
        family = await self._lock_family_of(token)
        ended = None if family is None else await self._revoke(family)
        if ended is not None:
            await record_everywhere(self.session, ended, "user.logged_out")

    async def revoke(
        self, user_id: int, *, only: int | None = None, keep: int | None = None
    ) -> int:
        """End a user's logins, or the one called ``only``, but not ``keep``; how many ended."""
        query = select(LoginSession.family).where(
            LoginSession.user_id == user_id, LoginSession.revoked_at.is_(None)
        )
        if only is not None:
            query = query.where(LoginSession.id == only)
        if keep is not None:
            query = query.where(LoginSession.id != keep)
        families = (await self.session.scalars(query.order_by(LoginSession.id))).all()
        for family in families:
            await self._lock_family(family)
            await self._revoke(family)
        return len(families)

    async def _prove(
        self, user_id: int, login_id: int, org_id: int | None, wanted: int | None
    ) -> Actor:
        """The login's actor in the organisation that is ``wanted``, else in ``org_id``, else in the
        one that they have joined meanwhile, if any."""
        chosen = wanted or org_id or await first_organization(self.session, user_id)
        if chosen is None:
            return await prove_person(self.session, user_id, login_id)
        try:
            return await prove_membership(self.session, user_id, chosen, login_session_id=login_id)
        except AuthenticationError as error:
            if wanted is None or error.code != "not_a_member":
                raise
            raise NotFound(
                "You are in no such organisation.", code="organization_not_found", field="org_id"
            ) from None

    async def came_from_here(self, email: str) -> bool:
        """Whether somebody with this address has logged in from here before."""
        return bool(
            await self.session.scalar(
                select(
                    exists().where(
                        LoginSession.user_id == User.id,
                        User.email == email,
                        LoginSession.address == self.origin.address[:45],
                    )
                )
            )
        )

    async def _punish_reuse(self, token: str) -> None:
        family = await self._lock_family_of(token)
        if family is None:
            await attempt("refresh", self.origin.address)
            return
        ended = await self._revoke(family)
        # Once for each login: whoever keeps sending the old token fills no audit log.
        if ended is not None:
            await record_everywhere(
                self.session, ended, "user.session_revoked", new={"reason": "reuse"}, by="system"
            )
        # The one commit of the services: raising would undo the revocation.
        await self.session.commit()

    async def _add_token(self, login: LoginSession, actor: Actor) -> str:
        token, now = new_token(), dt.datetime.now(dt.UTC)
        login.last_used_at = now
        login.expires_at = now + dt.timedelta(days=settings.refresh_token_days)
        self.session.add(
            RefreshToken(
                user_id=login.user_id,
                org_id=_org_id(actor),
                kind=login.kind,
                family=login.family,
                token_hash=hash_token(token),
                expires_at=login.expires_at,
            )
        )
        await self.session.flush()
        return token

    async def _use_up(self, token: str) -> RefreshToken | None:
        """Revoke a live refresh token, atomically: of parallel calls one gets it."""
        if await self._lock_family_of(token) is None:
            return None
        used: RefreshToken | None = await self.session.scalar(
            update(RefreshToken)
            .where(
                RefreshToken.token_hash == hash_token(token),
                RefreshToken.kind == "refresh",
                RefreshToken.revoked_at.is_(None),
                RefreshToken.expires_at > func.now(),
            )
            .values(revoked_at=func.now())
            .returning(RefreshToken)
            .execution_options(synchronize_session=False, populate_existing=True)
        )
        return used

    async def _of_family(self, family: str) -> LoginSession:
        login = await self.session.scalar(select(LoginSession).where(LoginSession.family == family))
        if login is None:
            raise session_revoked()
        return login

    async def _revoke(self, family: str) -> int | None:
        """Whose login that ended; None where it had ended before."""
        await self.session.execute(
            update(RefreshToken)
            .where(RefreshToken.family == family, RefreshToken.revoked_at.is_(None))
            .values(revoked_at=func.now())
            .execution_options(synchronize_session=False)
        )
        user_id: int | None = await self.session.scalar(
            update(LoginSession)
            .where(LoginSession.family == family, LoginSession.revoked_at.is_(None))
            .values(revoked_at=func.now())
            .returning(LoginSession.user_id)
            .execution_options(synchronize_session=False)
        )
        return user_id

    async def _lock_family_of(self, token: str) -> str | None:
        family = await self.session.scalar(
            select(RefreshToken.family).where(RefreshToken.token_hash == hash_token(token))
        )
        await self._lock_family(family or "")
        return family

    async def _lock_family(self, family: str) -> None:
        """One transaction at a time in a family: no new link can slip past its revocation."""
        await self.session.execute(
            select(func.pg_advisory_xact_lock(func.hashtextextended(family, 0)))
        )


async def first_organization(
    session: AsyncSession, user_id: int, *, other_than: int = 0
) -> int | None:
    """The organisation that the user joined first; None for who is in none."""
    org_id: int | None = await session.scalar(
        select(Organization.id)
        .join(Membership, Membership.org_id == Organization.id)
        .where(
            Membership.user_id == user_id,
            Membership.deleted_at.is_(None),
            Organization.deleted_at.is_(None),
            Organization.id != other_than,
        )
        .order_by(Membership.id)
        .limit(1)
    )
    return org_id


def _org_id(actor: Actor) -> int | None:
    return actor.org_id if actor.is_member else None


def _session_ended() -> AuthenticationError:
    return AuthenticationError(
        "Your session has ended.", code="session_invalid", hint="Log in again."
    )


_IS_LIVE_COOKIE = (
    RefreshToken.kind == "session",
    RefreshToken.revoked_at.is_(None),
    RefreshToken.expires_at > func.now(),
)
# Made once: every event of every page asks it.
_LOGIN_OF_COOKIE = (
    select(LoginSession.id, LoginSession.user_id, RefreshToken.org_id)
    .join(RefreshToken, RefreshToken.family == LoginSession.family)
    .where(RefreshToken.token_hash == bindparam("token_hash"), *_IS_LIVE_COOKIE)
)
