"""``client.organizations``"""

from __future__ import annotations

from collections.abc import Sequence

from datanika.client.resource import Resource, if_match
from datanika.contracts.api import (
    MemberOut,
    OrganizationIn,
    OrganizationItem,
    OrganizationOut,
    OrganizationPatch,
    TransferIn,
)


class Organizations(Resource):
    """One's organisations, and the one that the credential is of, called the current one."""

    def list(self) -> Sequence[OrganizationItem]:
        """Those that one is a member of; a key sees its own."""
        return self._whole(OrganizationItem, "organizations")

    def create(
        self, organization: OrganizationIn, *, idempotency_key: str | None = None
    ) -> OrganizationOut:
        """Another organisation, of one's own; ``client.auth.switch`` goes there."""
        return self._post(
            OrganizationOut, "organizations", organization, idempotency_key=idempotency_key
        )

    def current(self) -> OrganizationOut:
        """The current organisation, and its limits."""
        return self._get(OrganizationOut, "organization")

    def update(
        self,
        organization: OrganizationOut | None,
        change: OrganizationPatch,
        *,
        revision: int | None = None,
        overwrite: bool = False,
    ) -> OrganizationOut:
        """Change what is given of the current organisation, which was read as ``organization``.
        Raises :class:`PreconditionFailed` if somebody was faster, unless ``overwrite``."""
        condition = if_match(organization, revision, overwrite)
        return self._patch(OrganizationOut, "organization", change, condition)

    def delete(
        self,
        organization: OrganizationOut | None,
        *,
        revision: int | None = None,
        overwrite: bool = False,
    ) -> None:
        """Delete the current organisation, which was read as ``organization``."""
        self._delete("organization", if_match(organization, revision, overwrite))

    def leave(self) -> None:
        """Leave the current organisation. Its owner cannot."""
        self._do("organization/leave")

    def transfer(self, user_id: int) -> MemberOut:
        """Make a member the owner of the current organisation; oneself becomes an admin."""
        return self._post(MemberOut, "organization/transfer", TransferIn(user_id=user_id))
