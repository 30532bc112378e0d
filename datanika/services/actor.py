"""The proof that somebody may act in an organisation.

Every service that touches a tenant's rows takes an :class:`Actor`. Nothing but
:func:`prove_membership`, and :func:`prove_person` for who is in no organisation, can make one, so a
handler that forgot to check cannot even call.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import BigInteger, bindparam, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.enums import Role
from datanika.db import TenantScope, fetch_rows
from datanika.errors import AuthenticationError, PermissionDenied
from datanika.models import ApiKey, LoginSession, Membership, Organization, User
from datanika.services.permissions import PERMISSIONS

_PROOF: Final = object()
NOWHERE: Final = 0
"""The organisation of people who are in none. No organisation has this id."""


@dataclass(frozen=True, slots=True)
class Actor:
    """A user in an organisation, with the role proven at the start of this request; or, in
    :data:`NOWHERE`, one who is in no organisation and may do nothing there."""

    user_id: int
    org_id: int
    email: str
    role: Role
    scopes: frozenset[str] | None = None
    """Permissions an API key is limited to; None for a person."""
    api_key_id: int | None = None
    session_id: int | None = None
    """The login that a person came with; None for an API key."""
    is_operator: bool = False
    """Whether this person runs the platform itself. A key never has it."""
    _proof: object = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self._proof is not _PROOF:
            raise TypeError("An Actor comes from prove_membership(), nowhere else.")

    @property
    def scope(self) -> TenantScope:
        """The session scope of this actor's organisation."""
        return TenantScope(self.org_id)

    @property
    def is_member(self) -> bool:
        """Whether the actor is in an organisation at all."""
        return self.org_id != NOWHERE

    def may(self, permission: str) -> bool:
        """Whether role and scopes allow ``permission``."""
        if not self.is_member:
            return False
        if self.scopes is not None and permission not in self.scopes:
            return False
        return self.role.covers(PERMISSIONS[permission])

    def require(self, permission: str) -> None:
        """Raise :class:`PermissionDenied` unless :meth:`may`."""
        if not self.is_member:
            raise PermissionDenied(
                "You are in no organisation.",
                code="no_organization",
                hint="Accept an invitation, or make an organisation: POST /api/v1/organizations.",
            )
        if not self.may(permission):
            raise PermissionDenied(
                f"This needs the permission {permission}, which your role or key does not have.",
                hint=f"Ask somebody with the role {PERMISSIONS[permission]} or higher.",
            )


def require_person(actor: Actor) -> None:
    """Raise :class:`PermissionDenied` ``person_required`` for an API key: it belongs to one
    organisation, and is not the person who made it."""
    if actor.session_id is None:
        raise PermissionDenied(
            "This is for people who are logged in, not for API keys.",
            code="person_required",
            hint="Log in, and send the access token.",
        )


async def prove_membership(
    session: AsyncSession,
    user_id: int,
    org_id: int,
    scopes: frozenset[str] | None = None,
    api_key_id: int | None = None,
    login_session_id: int | None = None,
) -> Actor:
    """The actor for a live membership of a live user; raises :class:`AuthenticationError`.

    With ``login_session_id`` that login must live, too. ``session`` must be able to see the
    membership: system scope, or the organisation's own.
    """
    asked = {"user_id": user_id, "org_id": org_id, "session_id": login_session_id}
    row = next(iter(await fetch_rows(session, _PROOF_OF_MEMBERSHIP, asked)), None)
    if row is None:
        raise AuthenticationError("You are not a member of this organisation.", code="not_a_member")
    if login_session_id is not None and not row.session_lives:
        raise session_revoked()
    return Actor(
        user_id,
        org_id,
        row.email,
        Role(row.role),
        scopes=scopes,
        api_key_id=api_key_id,
        session_id=login_session_id,
        is_operator=row.is_instance_admin and api_key_id is None,
        _proof=_PROOF,
    )


async def prove_again(session: AsyncSession, actor: Actor) -> Actor:
    """``actor`` as it is now: for who waits between transactions. ``session`` is in its scope.

    Raises :class:`AuthenticationError` when the membership, the login or the key has ended.
    """
    scopes = None
    if actor.api_key_id is not None:
        kept = await session.scalar(
            select(ApiKey.scopes).where(
                ApiKey.id == actor.api_key_id,
                ApiKey.revoked_at.is_(None),
                ApiKey.deleted_at.is_(None),
                or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now()),
            )
        )
        if kept is None:
            raise AuthenticationError(
                "The API key has expired or was revoked.",
                code="api_key_invalid",
                hint="Make a new one under API keys.",
            )
        scopes = frozenset(kept)
    return await prove_membership(
        session, actor.user_id, actor.org_id, scopes, actor.api_key_id, actor.session_id
    )


async def prove_person(
    session: AsyncSession, user_id: int, login_session_id: int | None = None
) -> Actor:
    """The actor of a live user in :data:`NOWHERE`; raises :class:`AuthenticationError`.

    With ``login_session_id`` that login must live, too. ``session`` is in system scope.
    """
    email = await session.scalar(
        select(User.email).where(User.id == user_id, User.deleted_at.is_(None))
    )
    lives = login_session_id is None or await session.scalar(
        select(LoginSession.id).where(
            LoginSession.id == login_session_id,
            LoginSession.user_id == user_id,
            LoginSession.revoked_at.is_(None),
            LoginSession.expires_at > func.now(),
        )
    )
    if email is None or not lives:
        raise session_revoked()
    return Actor(user_id, NOWHERE, email, Role.VIEWER, session_id=login_session_id, _proof=_PROOF)


def session_revoked() -> AuthenticationError:
    """For a login that its owner, or the platform, has ended."""
    return AuthenticationError(
        "This login has ended.", code="session_revoked", hint="Log in again."
    )


# Made once: every request asks it.
_PROOF_OF_MEMBERSHIP = (
    select(
        User.email,
        User.is_instance_admin,
        Membership.role,
        exists(
            select(LoginSession.id).where(
                LoginSession.id == bindparam("session_id", type_=BigInteger),
                LoginSession.user_id == Membership.user_id,
                LoginSession.revoked_at.is_(None),
                LoginSession.expires_at > func.now(),
            )
        ).label("session_lives"),
    )
    .join(User, User.id == Membership.user_id)
    .join(Organization, Organization.id == Membership.org_id)
    .where(
        Membership.user_id == bindparam("user_id"),
        Membership.org_id == bindparam("org_id"),
        Membership.deleted_at.is_(None),
        User.deleted_at.is_(None),
        Organization.deleted_at.is_(None),
    )
)
