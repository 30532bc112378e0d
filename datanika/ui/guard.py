"""Deny by default: an event of somebody who is not logged in never reaches its handler.

Any websocket client may name any event handler, and Reflex sends every state it holds for a tab
to whoever presents that tab's token. So before each event the sender is proven, and a tab whose
sender changed (logout, another account) first forgets everything it knew.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import reflex as rx
from reflex.event import Event
from reflex.middleware import Middleware
from reflex.state import BaseState, StateUpdate
from reflex_base.event.context import EventContext

from datanika.services.invitation_service import PATH as INVITATION_PAGE
from datanika.services.sign_up import CONFIRM_PAGE, FORGOT_PAGE, RESET_PAGE, SIGN_UP_PAGE
from datanika.ui.session import sender_of, set_actor
from datanika.ui.state.i18n import I18nState
from datanika.ui.state.invitation_state import InvitationState
from datanika.ui.state.session import SessionState
from datanika.ui.state.tenant import TenantState, tenant_states

LOGIN_PAGE = "/login"
NOWHERE_PAGE = "/no-organization"
_ENTRANCES = (
    LOGIN_PAGE, SIGN_UP_PAGE, NOWHERE_PAGE, FORGOT_PAGE, RESET_PAGE, CONFIRM_PAGE, INVITATION_PAGE,
)  # fmt: skip

PUBLIC_EVENTS = frozenset(
    {
        # Reflex's own life cycle of a tab: what it sends is what the reset below left there.
        "reflex___state____state.hydrate",
        "reflex___state____state.hydrate_and_load",
        "reflex___state____state.set_is_hydrated",
        "reflex___state____state.reflex___state____on_load_internal_state.on_load_internal",
        "reflex___state____state.reflex___state____on_load_internal_state.set_is_hydrated",
        *(f"{I18nState.get_full_name()}.{handler}" for handler in ("load_locale", "set_locale")),
        f"{SessionState.get_full_name()}.load_login",
        f"{InvitationState.get_full_name()}.load_invitation",
    }
)


class DenyByDefault(Middleware):
    """Runs before every event handler."""

    async def preprocess(self, app: rx.App, state: BaseState, event: Event) -> StateUpdate | None:
        """None lets the event pass; an update is sent instead of handling it."""
        router_data = EventContext.get().router_data or state.router_data
        sender = await sender_of(router_data.get("headers", {}))
        # Who is in no organisation reaches no more than who is not logged in.
        actor = sender if sender is not None and sender.is_member else None
        set_actor(actor)
        root = state._get_root_state()
        identity = (sender.user_id, sender.org_id) if sender else None
        session: SessionState = await root.get_state(SessionState)
        if session._identity != identity:
            await _forget(root)
            session._identity = identity
        if actor is not None or event.name in PUBLIC_EVENTS:
            return None
        delta = await root._get_resolved_delta()
        root._clean()
        entrance = LOGIN_PAGE if sender is None else NOWHERE_PAGE
        return StateUpdate(delta=delta, events=_send_to(entrance, router_data))


async def _forget(root: BaseState) -> None:
    for cls in tenant_states():
        tenant_state: TenantState = await root.get_state(cls)
        tenant_state.reset()


def _send_to(page: str, router_data: dict[str, Any]) -> list[Event]:
    path = str(router_data.get("asPath") or router_data.get("pathname") or "/")
    if path.startswith(_ENTRANCES):
        return []
    where = f"{LOGIN_PAGE}?next={quote(path)}" if page == LOGIN_PAGE else page
    events: list[Event] = Event.from_event_type([rx.redirect(where)])
    return events
