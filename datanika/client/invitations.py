"""``client.invitations``"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from datanika.client.resource import Resource
from datanika.contracts.api import (
    AcceptIn,
    InvitationIn,
    InvitationOut,
    InvitationSentOut,
    JoinedOut,
    JoinIn,
)

Sort = Literal["id", "-id", "created_at", "-created_at", "expires_at", "-expires_at"]


class Invitations(Resource):
    """Into the organisation, by mail."""

    def list(
        self,
        *,
        search: str | None = None,
        sort: Sort | None = None,
        page_size: int | None = None,
    ) -> Iterator[InvitationOut]:
        """Every open invitation; ``search`` is a part of the e-mail address."""
        return self._items(InvitationOut, "invitations", search=search, sort=sort, limit=page_size)

    def create(
        self, invitation: InvitationIn, *, idempotency_key: str | None = None
    ) -> InvitationSentOut:
        """Invite somebody. The answer has the link, this once."""
        return self._post(
            InvitationSentOut, "invitations", invitation, idempotency_key=idempotency_key
        )

    def resend(self, invitation_id: int) -> InvitationSentOut:
        """A new link; the one before is void."""
        return self._post(InvitationSentOut, f"invitations/{invitation_id}/resend")

    def withdraw(self, invitation_id: int) -> None:
        """Its link is void from now on."""
        self._delete(f"invitations/{invitation_id}")

    def accept(self, token: str) -> JoinedOut:
        """Join with the account of this credential; ``token`` is from the link."""
        return self._post(JoinedOut, "invitations/accept", AcceptIn(token=token))

    def decline(self, token: str) -> None:
        """Say no; the link is void from now on."""
        self._do("invitations/decline", AcceptIn(token=token))

    def register(self, token: str, name: str, password: str) -> JoinedOut:
        """Join with a new account."""
        body = JoinIn(token=token, name=name, password=password)
        return self._post(JoinedOut, "invitations/register", body)
