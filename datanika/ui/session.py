"""Who is on the other side of a websocket: the session cookie of its handshake, proven anew.

The cookie is httpOnly and set by the API's login. A handshake's headers stay as they were, but
the session they name is looked up for every event: a logout works on pages that are open.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from http.cookies import CookieError, SimpleCookie

from datanika.db import SYSTEM, get_session
from datanika.errors import AuthenticationError
from datanika.services.actor import Actor
from datanika.services.login_sessions import LoginSessions

SESSION_COOKIE = "datanika_session"

_actor: ContextVar[Actor | None] = ContextVar("datanika_ui_actor", default=None)


def cookie(headers: Mapping[str, str], name: str) -> str | None:
    """The value of the cookie ``name`` in a request's headers."""
    try:
        jar = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return None
    return jar[name].value if name in jar else None


async def actor_of(headers: Mapping[str, str]) -> Actor | None:
    """The member of an organisation whose live session ``headers`` carry, or None."""
    sender = await sender_of(headers)
    return sender if sender is not None and sender.is_member else None


async def sender_of(headers: Mapping[str, str]) -> Actor | None:
    """Whose live session ``headers`` carry, in an organisation or in none; or None."""
    token = cookie(headers, SESSION_COOKIE)
    if not token:
        return None
    async with get_session(SYSTEM) as session:
        try:
            return await LoginSessions(session).actor_of_cookie(token)
        except AuthenticationError:
            return None


def set_actor(actor: Actor | None) -> None:
    """Remember who sent the event that this task handles."""
    _actor.set(actor)


def require_actor() -> Actor:
    """Who sent the event being handled; raises :class:`AuthenticationError` for nobody."""
    actor = _actor.get()
    if actor is None:
        raise AuthenticationError("Log in first.")
    return actor
