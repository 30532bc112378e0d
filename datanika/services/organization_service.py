"""The organisation and its members.

Nobody grants a role at or above their own, nobody acts on an equal or higher member, and
ownership moves only by transfer: so an organisation always has exactly one owner.
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.base import Contract
from datanika.contracts.enums import Role
from datanika.db import SYSTEM, get_session
from datanika.errors import Conflict, NotFound, PermissionDenied
from datanika.models import Membership, Organization, User
from datanika.services.actor import Actor
from datanika.services.audit_service import record
from datanika.services.auth import known_email
from datanika.services.validation import valid_name


class Member(Contract):
    """A user's place in the organisation."""

    user_id: int
    email: str
    name: str
    role: Role
    joined_at: dt.datetime


class OrganizationService:
    """The actor's organisation."""

    def __init__(self, session: AsyncSession, actor: Actor) -> None:
        self.session = session
        self.actor = actor

    async def get(self) -> Organization:
        self.actor.require("organization:read")
        organization = await self.session.get(Organization, self.actor.org_id)
        if organization is None:
            raise NotFound("There is no such organisation.", code="organization_not_found")
        return organization

    async def rename(self, name: str) -> Organization:
        self.actor.require("organization:update")
        organization = await self.get()
        old, organization.name = organization.name, valid_name(name)
        await self.session.flush()
        await record(
            self.session, self.actor, "organization.renamed", "organization", organization.id,
            old={"name": old}, new={"name": organization.name},
        )  # fmt: skip
        return organization

    async def members(self) -> list[Member]:
        """In the order of joining."""
        self.actor.require("member:read")
        rows = await self.session.execute(
            self._members().order_by(Membership.created_at, Membership.id)
        )
        return [Member.model_validate(dict(row._mapping)) for row in rows]

    async def add_member(self, email: str, role: Role) -> Member:
        """Make a registered user a member. Raises :class:`NotFound` ``user_not_registered``."""
        self.actor.require("member:invite")
        self._may_grant(role)
        user_id = await _user_id(email)
        membership = await self.session.scalar(
            select(Membership)
            .where(Membership.org_id == self.actor.org_id, Membership.user_id == user_id)
            .with_for_update()
        )
        if membership is None:
            membership = Membership(org_id=self.actor.org_id, user_id=user_id)
            self.session.add(membership)
        elif membership.deleted_at is None:
            raise Conflict("This user is already a member.", code="already_a_member", field="email")
        membership.role = role
        membership.deleted_at = None
        await self.session.flush()
        await self._record("member.added", user_id, new={"email": email, "role": role})
        return await self._member(user_id)

    async def set_role(self, user_id: int, role: Role) -> Member:
        self.actor.require("member:update")
        membership = await self._lower_member(user_id)
        self._may_grant(role)
        old, membership.role = membership.role, role
        await self.session.flush()
        await self._record("member.role_changed", user_id, old={"role": old}, new={"role": role})
        return await self._member(user_id)

    async def remove_member(self, user_id: int) -> None:
        """From the next request on the user is no member."""
        self.actor.require("member:remove")
        membership = await self._lower_member(user_id)
        membership.deleted_at = dt.datetime.now(dt.UTC)
        await self.session.flush()
        await self._record("member.removed", user_id, old={"role": membership.role})

    async def transfer_ownership(self, user_id: int) -> Member:
        """Make another member the owner, and the owner an admin."""
        if self.actor.role is not Role.OWNER or self.actor.scopes is not None:
            raise PermissionDenied(
                "Only the owner, logged in, can transfer the organisation.", code="owner_only"
            )
        mine = await self._membership(self.actor.user_id)
        theirs = await self._lower_member(user_id)
        # The row, not the actor: it may have been transferred since this request began.
        if mine.role != Role.OWNER:
            raise PermissionDenied("You are no longer the owner.", code="owner_only")
        old = theirs.role
        mine.role, theirs.role = Role.ADMIN, Role.OWNER
        await self.session.flush()
        await self._record(
            "organization.transferred", user_id, old={"role": old}, new={"role": Role.OWNER}
        )
        return await self._member(user_id)

    def _may_grant(self, role: Role) -> None:
        if role.covers(self.actor.role):
            raise PermissionDenied(
                f"You cannot make somebody {role}: that is not below your own role.",
                code="role_not_below_own",
                hint="Ownership moves only by transfer." if role is Role.OWNER else None,
            )

    async def _lower_member(self, user_id: int) -> Membership:
        """The locked membership of somebody the actor may act on."""
        membership = await self._membership(user_id)
        if Role(membership.role).covers(self.actor.role):
            raise PermissionDenied(
                "This member's role is not below your own.", code="member_not_below"
            )
        return membership

    async def _membership(self, user_id: int) -> Membership:
        membership = await self.session.scalar(
            select(Membership)
            .where(
                Membership.org_id == self.actor.org_id,
                Membership.user_id == user_id,
                Membership.deleted_at.is_(None),
            )
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        if membership is None:
            raise NotFound("There is no such member.", code="member_not_found")
        return membership

    async def _member(self, user_id: int) -> Member:
        row = (await self.session.execute(self._members().where(User.id == user_id))).one()
        return Member.model_validate(dict(row._mapping))

    def _members(self) -> Select[tuple[int, str, str, str, dt.datetime]]:
        return (
            select(
                User.id.label("user_id"),
                User.email,
                User.name,
                Membership.role,
                Membership.created_at.label("joined_at"),
            )
            .join(User, User.id == Membership.user_id)
            .where(
                Membership.org_id == self.actor.org_id,
                Membership.deleted_at.is_(None),
                User.deleted_at.is_(None),
            )
        )

    async def _record(self, action: str, user_id: int, **change: dict[str, object]) -> None:
        await record(self.session, self.actor, action, "user", user_id, **change)


async def _user_id(email: str) -> int:
    """A registered user by e-mail. In system scope: row-level security hides who is no member."""
    async with get_session(SYSTEM) as session:
        user_id = await session.scalar(
            select(User.id).where(User.email == known_email(email), User.deleted_at.is_(None))
        )
    if user_id is None:
        raise NotFound(
            "Nobody with this e-mail address has registered.",
            code="user_not_registered",
            field="email",
            hint="Ask them to register first.",
        )
    return user_id
