"""``client.members``"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from datanika.client.resource import Resource, if_match
from datanika.contracts.api import MemberOut, MemberPatch
from datanika.contracts.enums import Role

Sort = Literal["id", "-id", "created_at", "-created_at"]


class Members(Resource):
    """Who is in the organisation. ``client.invitations`` brings more."""

    def list(
        self,
        *,
        role: Role | None = None,
        search: str | None = None,
        sort: Sort | None = None,
        page_size: int | None = None,
    ) -> Iterator[MemberOut]:
        """Every member; ``search`` is a part of the e-mail address."""
        return self._items(
            MemberOut, "members", role=role, search=search, sort=sort, limit=page_size
        )

    def get(self, user_id: int) -> MemberOut:
        """One member."""
        return self._get(MemberOut, f"members/{user_id}")

    def update(
        self,
        member: MemberOut | int,
        change: MemberPatch,
        *,
        revision: int | None = None,
        overwrite: bool = False,
    ) -> MemberOut:
        """Give a member below oneself another role below one's own. Raises
        :class:`PreconditionFailed` if somebody was faster, unless ``overwrite``."""
        user_id = member if isinstance(member, int) else member.user_id
        condition = if_match(member, revision, overwrite)
        return self._patch(MemberOut, f"members/{user_id}", change, condition)

    def remove(self, user_id: int) -> None:
        """Remove a member below oneself."""
        self._delete(f"members/{user_id}")
