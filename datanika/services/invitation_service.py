"""Invitations: membership offered to an address, for seven days, once.

Two links open one. The inviter's may be handed over: whoever is logged in with the invited address
accepts with it. The mailed one also proves that its reader has the mailbox: they may register with
it. So an inviter, who sees only the first, learns nothing about who has an account.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.config import settings
from datanika.contracts.enums import Role
from datanika.contracts.events import utcnow
from datanika.db import system_scope
from datanika.errors import Conflict, InvalidInput, LimitReached, NotFound, PermissionDenied
from datanika.models import Invitation, Membership, Organization, User
from datanika.security import (
    check_mailed_proof,
    check_password_shape,
    hash_password,
    hash_token,
    mailed_proof,
    new_token,
)
from datanika.services.actor import Actor, prove_membership, require_person
from datanika.services.audit_service import SystemActor, record
from datanika.services.auth import normal_email
from datanika.services.member_service import may_grant
from datanika.services.paging import (
    OLDEST,
    PageRequest,
    RowPage,
    contains,
    fetch_page,
    rows_of,
    sorts_of,
)
from datanika.services.validation import valid_name

LIFETIME: Final = dt.timedelta(days=7)
MOST_OPEN: Final = 200
"""Invitations of one organisation that nobody has answered yet."""
PATH: Final = "/invitation"

SORTS = sorts_of(Invitation, "created_at", "expires_at")


@dataclass(frozen=True, slots=True)
class Sent:
    """An invitation and its links, which are not stored and cannot be shown again."""

    invitation: Invitation
    organization: str
    link: str
    mailed_link: str


@dataclass(frozen=True, slots=True)
class Offer:
    """What an open invitation says to whoever has its link."""

    email: str
    organization: str
    inviter: str
    role: str
    may_register: bool
    """Whether the link came by mail, and the address has no account."""


class InvitationService:
    """Invitations of the actor's organisation, and those that the actor was sent."""

    def __init__(self, session: AsyncSession, actor: Actor) -> None:
        self.session = session
        self.actor = actor

    async def create(self, email: str, role: Role) -> Sent:
        """Invite an address, registered or not: the answer does not tell which.

        Raises :class:`Conflict` ``already_a_member`` and ``already_invited``.
        """
        self.actor.require("member:invite")
        require_person(self.actor)
        email = normal_email(email)
        may_grant(await self._own_role(), role)
        await self._refuse_member(email)
        await self._clear_expired(email)
        open_ones = await self.session.scalar(
            select(func.count())
            .select_from(Invitation)
            .where(*self._open(), Invitation.expires_at > func.now())
        )
        if (open_ones or 0) >= MOST_OPEN:
            raise LimitReached(
                f"{MOST_OPEN} invitations wait for an answer.", hint="Withdraw some of them."
            )
        token = new_token()
        invitation = Invitation(
            org_id=self.actor.org_id,
            email=email,
            role=role.value,
            token_hash=hash_token(token),
            invited_by=self.actor.user_id,
            expires_at=utcnow() + LIFETIME,
        )
        try:
            async with self.session.begin_nested():
                self.session.add(invitation)
        except IntegrityError:
            raise Conflict(
                "This address has an invitation that waits for an answer.",
                code="already_invited",
                field="email",
                hint="Send it again, or withdraw it.",
            ) from None
        await self._record("invitation.created", invitation)
        return await self._sent(invitation, token)

    async def list(
        self, page: PageRequest = OLDEST, search: str | None = None
    ) -> RowPage[Invitation]:
        """Those that nobody has accepted or withdrawn; ``search`` is a part of the address."""
        self.actor.require("member:invite")
        query = rows_of(Invitation).where(*self._open())
        if search is not None:
            query = query.where(contains(Invitation.email, search))
        return await fetch_page(self.session, query, SORTS, page)

    async def get(self, invitation_id: int, *, lock: bool = False) -> Invitation:
        """An invitation that waits for its answer; raises :class:`NotFound`."""
        self.actor.require("member:invite")
        query = select(Invitation).where(*self._open(), Invitation.id == invitation_id)
        if lock:
            query = query.with_for_update().execution_options(populate_existing=True)
        found = await self.session.scalar(query)
        if found is None:
            raise NotFound("There is no such invitation.", code="invitation_not_found")
        return found

    async def resend(self, invitation_id: int) -> Sent:
        """A new link for seven days, from the actor; the one before is dead."""
        require_person(self.actor)
        invitation = await self.get(invitation_id, lock=True)
        may_grant(await self._own_role(), Role(invitation.role))
        token = new_token()
        invitation.token_hash = hash_token(token)
        invitation.expires_at = utcnow() + LIFETIME
        invitation.invited_by = self.actor.user_id
        await self.session.flush()
        await self._record("invitation.resent", invitation)
        return await self._sent(invitation, token)

    async def withdraw(self, invitation_id: int) -> None:
        """Nobody can accept it any more."""
        invitation = await self.get(invitation_id, lock=True)
        may_grant(await self._own_role(), Role(invitation.role))
        invitation.deleted_at = utcnow()
        await self.session.flush()
        await self._record("invitation.withdrawn", invitation)

    async def accept(self, token: str) -> Membership:
        """Join with either link, as the person whose address was invited."""
        async with system_scope(self.session, self.actor.scope):
            return await join(self.session, await self._mine(token), self.actor.user_id)

    async def decline(self, token: str) -> None:
        """Nobody can accept it any more, as the person whose address was invited wishes."""
        async with system_scope(self.session, self.actor.scope):
            invitation = await self._mine(token)
            invitation.deleted_at = utcnow()
            await self.session.flush()
            # They are no member: what is written down is the organisation's.
            by = SystemActor(invitation.org_id, self.actor.email, self.actor.user_id)
            await record(
                self.session, by, "invitation.declined", "invitation", invitation.id,
                new={"email": invitation.email, "role": invitation.role},
            )  # fmt: skip

    async def _mine(self, token: str) -> Invitation:
        """The open invitation of the actor's address; in system scope."""
        require_person(self.actor)
        invitation = await open_invitation(self.session, token.partition(".")[0])
        if invitation.email != self.actor.email:
            raise PermissionDenied(
                "This invitation is for another e-mail address.",
                code="invitation_of_another",
                hint="Log in with the address that was invited.",
            )
        return invitation

    async def _own_role(self) -> Role:
        """The actor's role now, until the transaction ends."""
        role = await self.session.scalar(
            select(Membership.role)
            .where(
                Membership.org_id == self.actor.org_id,
                Membership.user_id == self.actor.user_id,
                Membership.deleted_at.is_(None),
            )
            .with_for_update(read=True)
        )
        if role is None:
            raise PermissionDenied("You are no member any more.", code="not_a_member")
        return Role(role)

    async def _refuse_member(self, email: str) -> None:
        member = await self.session.scalar(
            select(Membership.id)
            .join(User, User.id == Membership.user_id)
            .where(
                Membership.org_id == self.actor.org_id,
                Membership.deleted_at.is_(None),
                User.email == email,
            )
        )
        if member is not None:
            raise Conflict(
                "This person is a member already.", code="already_a_member", field="email"
            )

    async def _clear_expired(self, email: str) -> None:
        rows = await self.session.scalars(
            select(Invitation)
            .where(*self._open(), Invitation.email == email, Invitation.expires_at <= func.now())
            .with_for_update()
        )
        for row in rows:
            row.deleted_at = utcnow()
        await self.session.flush()

    def _open(self) -> tuple[ColumnElement[bool], ...]:
        return (
            Invitation.org_id == self.actor.org_id,
            Invitation.deleted_at.is_(None),
            Invitation.accepted_at.is_(None),
        )

    async def _sent(self, invitation: Invitation, token: str) -> Sent:
        organization = await self.session.get_one(Organization, self.actor.org_id)
        proven = f"{token}.{mailed_proof(token)}"
        return Sent(invitation, organization.name, _link(token), _link(proven))

    async def _record(self, action: str, invitation: Invitation) -> None:
        await record(
            self.session, self.actor, action, "invitation", invitation.id,
            new={"email": invitation.email, "role": invitation.role},
        )  # fmt: skip


async def register_invited(
    session: AsyncSession, token: str, name: str, password: str
) -> Membership:
    """Make a user of the mailed link's reader, and a member. ``session`` is in system scope.

    Raises :class:`Conflict` ``email_taken`` for who has an account: they log in and accept.
    """
    plain, _, proof = token.partition(".")
    invitation = await open_invitation(session, plain)
    if not check_mailed_proof(plain, proof):
        raise InvalidInput(
            "This link was not mailed to you: it can only be accepted by who is logged in.",
            code="invitation_not_mailed",
            field="token",
            hint="Use the link in the mail, or register first and accept the invitation then.",
        )
    name = valid_name(name)
    check_password_shape(password)
    user = User(
        email=invitation.email,
        name=name,
        password_hash=await asyncio.to_thread(hash_password, password),
        email_verified_at=utcnow(),
    )
    try:
        async with session.begin_nested():
            session.add(user)
    except IntegrityError:
        raise _email_taken() from None
    return await join(session, invitation, user.id)


async def read_offer(session: AsyncSession, token: str) -> Offer:
    """What the page of a link shows; raises :class:`InvalidInput`. ``session`` is in system scope.

    Whether the address has an account, only the mailed link tells.
    """
    plain, _, proof = token.partition(".")
    invitation = await open_invitation(session, plain)
    organization = await session.get_one(Organization, invitation.org_id)
    inviter = await session.scalar(select(User.email).where(User.id == invitation.invited_by))
    known = await session.scalar(select(User.id).where(User.email == invitation.email))
    return Offer(
        email=invitation.email,
        organization=organization.name,
        inviter=inviter or "",
        role=invitation.role,
        may_register=known is None and check_mailed_proof(plain, proof),
    )


async def open_invitation(session: AsyncSession, token: str) -> Invitation:
    """The locked invitation of a link, if it can be accepted. ``session`` is in system scope.

    What is used, withdrawn, expired, unknown, or came from somebody who may not offer that role
    any more: all of it is :class:`InvalidInput` ``invitation_invalid``.
    """
    invitation = await session.scalar(
        select(Invitation)
        .join(Organization, Organization.id == Invitation.org_id)
        .where(
            Invitation.token_hash == hash_token(token),
            Invitation.deleted_at.is_(None),
            Invitation.accepted_at.is_(None),
            Invitation.expires_at > func.now(),
            Organization.deleted_at.is_(None),
        )
        .with_for_update(of=Invitation)
        .execution_options(populate_existing=True)
    )
    if invitation is not None:
        inviter = await session.scalar(
            select(Membership.role)
            .join(User, User.id == Membership.user_id)
            .where(
                Membership.org_id == invitation.org_id,
                Membership.user_id == invitation.invited_by,
                Membership.deleted_at.is_(None),
                User.deleted_at.is_(None),
            )
            # Nobody demotes the inviter until this transaction ends.
            .with_for_update(read=True, of=Membership)
        )
        if inviter is not None and not Role(invitation.role).covers(Role(inviter)):
            return invitation
    raise InvalidInput(
        "This invitation is not valid any more.",
        code="invitation_invalid",
        field="token",
        hint="Ask for a new one.",
    )


async def join(session: AsyncSession, invitation: Invitation, user_id: int) -> Membership:
    """Make the user a member as the locked invitation says, and use it up.

    Raises :class:`Conflict` ``already_a_member``. ``session`` is in system scope.
    """
    membership = await session.scalar(
        select(Membership)
        .where(Membership.org_id == invitation.org_id, Membership.user_id == user_id)
        .with_for_update()
    )
    if membership is not None and membership.deleted_at is None:
        raise Conflict("You are a member already.", code="already_a_member")
    if membership is None:
        membership = Membership(org_id=invitation.org_id, user_id=user_id)
        session.add(membership)
    membership.role, membership.deleted_at = invitation.role, None
    # Who comes back is new again in the order of joining.
    membership.created_at = invitation.accepted_at = utcnow()
    await session.flush()
    actor = await prove_membership(session, user_id, invitation.org_id)
    await record(
        session, actor, "invitation.accepted", "invitation", invitation.id,
        new={"email": invitation.email, "role": invitation.role},
    )  # fmt: skip
    return membership


def _email_taken() -> Conflict:
    return Conflict(
        "There is already an account with this e-mail address.",
        code="email_taken",
        hint="Log in, and accept the invitation then.",
    )


def _link(token: str) -> str:
    return f"{settings.public_url.rstrip('/')}{PATH}?{urlencode({'token': token})}"
