"""An invitation, for whoever opened the link of its mail."""

from __future__ import annotations

from urllib.parse import urlencode

import reflex as rx

from datanika.db import SYSTEM, get_session
from datanika.errors import DatanikaError
from datanika.services.invitation_service import PATH, read_offer
from datanika.ui.session import sender_of
from datanika.ui.state.tenant import TenantState


class InvitationState(TenantState):
    """``view`` says who is looking: the invited person (``answer``), one who has no account yet
    (``join``), nobody who is logged in (``login``), somebody else (``other``); ``invalid`` for a
    link that opens nothing. Only the first two are told what the invitation says."""

    view: str = ""
    organization: str = ""
    inviter: str = ""
    role: str = ""
    login_path: str = ""

    @rx.event
    async def load_invitation(self) -> None:
        """Read what the address's link is worth."""
        self.reset()
        token = self.router.url.query_parameters.get("token", "")
        sender = await sender_of(self.router_data.get("headers", {}))
        try:
            async with get_session(SYSTEM) as session:
                offer = await read_offer(session, token)
        except DatanikaError:
            self.view = "invalid"
            return
        if sender is not None and sender.email != offer.email:
            self.view = "other"
            return
        if sender is None and not offer.may_register:
            self.view = "login"
            link = f"{PATH}?{urlencode({'token': token})}"
            self.login_path = f"/login?{urlencode({'next': link})}"
            return
        self.view = "join" if sender is None else "answer"
        self.organization, self.inviter = offer.organization, offer.inviter
        self.role = offer.role
