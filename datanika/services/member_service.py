"""The members of an organisation.

Nobody grants a role at or above their own, nobody acts on an equal or higher member, and
ownership moves only by transfer: so an organisation always has exactly one owner. What counts is
the role that the database has while both rows are locked, not the one this request began with.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any

from sqlalchemy import BigInteger, Select, cast, extract, select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.base import Contract
from datanika.contracts.enums import Role
from datanika.contracts.events import utcnow
from datanika.errors import NotFound, PermissionDenied
from datanika.models import Membership, User
from datanika.services.actor import Actor
from datanika.services.audit_service import record
from datanika.services.paging import (
    OLDEST,
    PageRequest,
    RowPage,
    contains,
    fetch_page,
    rows_of,
    sorts_of,
)
from datanika.services.validation import check_revision

SORTS = sorts_of(Membership, "created_at")
_REVISION = cast(extract("epoch", Membership.updated_at) * 1_000_000, BigInteger)
"""When the membership changed last, in microseconds: no two of its states have the same."""
_SHOWN = (
    User.email,
    User.name,
    Membership.created_at.label("joined_at"),
    _REVISION.label("revision"),
)


class Member(Contract):
    """A user's place in the organisation."""

    user_id: int
    email: str
    name: str
    role: Role
    joined_at: dt.datetime
    revision: int


class MemberService:
    """The members of the actor's organisation."""

    def __init__(self, session: AsyncSession, actor: Actor) -> None:
        self.session = session
        self.actor = actor

    async def list(
        self,
        page: PageRequest = OLDEST,
        *,
        role: Role | None = None,
        search: str | None = None,
    ) -> RowPage[Member]:
        """In the order of joining; ``search`` is a part of the e-mail address."""
        self.actor.require("member:read")
        query = self._of_members(rows_of(Membership).add_columns(*_SHOWN))
        if role is not None:
            query = query.where(Membership.role == role.value)
        if search is not None:
            query = query.where(contains(User.email, search))
        return await fetch_page(self.session, query, SORTS, page)

    async def get(self, user_id: int) -> Member:
        """One member; raises :class:`NotFound`."""
        self.actor.require("member:read")
        return await self._shown(user_id)

    async def names(self, user_ids: Collection[int | None]) -> dict[int | None, str]:
        """What those of ``user_ids`` who are members are called: their name, or e-mail address."""
        self.actor.require("member:read")
        query = self._of_members(select(User.id, User.name, User.email).select_from(Membership))
        people = await self.session.execute(query.where(User.id.in_(user_ids)))
        return {user_id: name or email for user_id, name, email in people}

    async def set_role(self, user_id: int, role: Role, revision: int | None = None) -> Member:
        """Give a lower member another role below the actor's own.

        Raises :class:`PreconditionFailed` if the membership is no longer the one of ``revision``.
        """
        self.actor.require("member:update")
        mine, theirs = await self._lower(user_id)
        check_revision((await self._shown(user_id)).revision, revision)
        may_grant(Role(mine.role), role)
        old, theirs.role = theirs.role, role.value
        await self.session.flush()
        await self._record("member.role_changed", user_id, old={"role": old}, new={"role": role})
        return await self._shown(user_id)

    async def remove(self, user_id: int) -> None:
        """From the next request on a lower member is none."""
        self.actor.require("member:remove")
        _, theirs = await self._lower(user_id)
        await self._end(theirs, "member.removed")

    async def leave(self) -> None:
        """Leave the organisation. The owner cannot: they transfer or delete it."""
        if self.actor.api_key_id is not None:
            raise PermissionDenied("Only a person, logged in, can leave.", code="person_required")
        mine = (await self._lock(self.actor.user_id))[self.actor.user_id]
        if mine.role == Role.OWNER:
            raise PermissionDenied(
                "The owner cannot leave.",
                code="owner_stays",
                hint="Transfer the ownership first, or delete the organisation.",
            )
        await self._end(mine, "member.left")

    async def transfer_ownership(self, user_id: int) -> Member:
        """Make another member the owner, and the owner an admin."""
        if self.actor.role is not Role.OWNER or self.actor.scopes is not None:
            raise PermissionDenied(
                "Only the owner, logged in, can transfer the organisation.", code="owner_only"
            )
        mine, theirs = await self._lower(user_id)
        if mine.role != Role.OWNER:
            raise PermissionDenied("You are no longer the owner.", code="owner_only")
        old, mine.role, theirs.role = theirs.role, Role.ADMIN.value, Role.OWNER.value
        await self.session.flush()
        await self._record(
            "organization.transferred", user_id, old={"role": old}, new={"role": Role.OWNER}
        )
        return await self._shown(user_id)

    async def _lower(self, user_id: int) -> tuple[Membership, Membership]:
        """The locked memberships of the actor and of somebody they may act on."""
        rows = await self._lock(self.actor.user_id, user_id)
        mine, theirs = rows[self.actor.user_id], rows[user_id]
        if Role(theirs.role).covers(Role(mine.role)):
            raise PermissionDenied(
                "This member's role is not below your own.", code="member_not_below"
            )
        return mine, theirs

    async def _lock(self, *user_ids: int) -> dict[int, Membership]:
        """Live memberships by user, locked in one order whoever asks; all of them or
        :class:`NotFound`."""
        rows = await self.session.scalars(
            select(Membership)
            .where(
                Membership.org_id == self.actor.org_id,
                Membership.user_id.in_(user_ids),
                Membership.deleted_at.is_(None),
            )
            .order_by(Membership.user_id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        found = {row.user_id: row for row in rows}
        if found.keys() != set(user_ids):
            raise _no_member()
        return found

    async def _end(self, membership: Membership, action: str) -> None:
        membership.deleted_at = utcnow()
        await self.session.flush()
        await self._record(action, membership.user_id, old={"role": membership.role})

    async def _shown(self, user_id: int) -> Member:
        query = select(Membership.user_id, Membership.role, *_SHOWN).where(User.id == user_id)
        row = (await self.session.execute(self._of_members(query))).one_or_none()
        if row is None:
            raise _no_member()
        return Member.model_validate(dict(row._mapping))

    def _of_members(self, query: Select[Any]) -> Select[Any]:
        return query.join(User, User.id == Membership.user_id).where(
            Membership.org_id == self.actor.org_id,
            Membership.deleted_at.is_(None),
            User.deleted_at.is_(None),
        )

    async def _record(self, action: str, user_id: int, **change: dict[str, object]) -> None:
        await record(self.session, self.actor, action, "user", user_id, **change)


def may_grant(own: Role, role: Role) -> None:
    """Raise :class:`PermissionDenied` unless ``role`` is below ``own``."""
    if role.covers(own):
        raise PermissionDenied(
            f"You cannot make somebody {role}: that is not below your own role.",
            code="role_not_below_own",
            hint="Ownership moves only by transfer." if role is Role.OWNER else None,
        )


def _no_member() -> NotFound:
    return NotFound("There is no such member.", code="member_not_found")
