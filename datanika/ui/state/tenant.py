"""The base of every state that may hold a tenant's data."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import reflex as rx
from reflex_base.registry import RegistrationContext
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.db import get_session
from datanika.services.actor import Actor
from datanika.ui.session import require_actor


class TenantState(rx.State):
    """Its vars start empty, are filled by handlers after :func:`tenant_session`, and are reset
    when the tab's user changes. ``error`` is a translation key."""

    error: str = ""


def tenant_states() -> list[type[TenantState]]:
    """Every state class that may hold a tenant's data."""
    found: list[type[TenantState]] = [TenantState]
    for cls in found:
        found.extend(cls.__subclasses__())
    return found


@asynccontextmanager
async def tenant_session() -> AsyncIterator[tuple[AsyncSession, Actor]]:
    """A session in the scope of whoever sent the event, and the proof of who that is."""
    actor = require_actor()
    async with get_session(actor.scope) as session:
        yield session, actor


def is_open(state: TenantState, path: str) -> bool:
    """Whether the state's tab is still connected and shows the page at ``path``."""
    namespace = RegistrationContext.get().app.event_namespace
    shown: str = state.router.url.path
    return state.router.session.client_token in namespace.token_to_sid and (
        shown.rstrip("/") == path.rstrip("/")
    )
