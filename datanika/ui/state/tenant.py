"""The base of every state that may hold a tenant's data."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import reflex as rx
from reflex_base.registry import RegistrationContext
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.db import get_session, system_scope
from datanika.errors import DatanikaError, NotFound
from datanika.services.actor import Actor
from datanika.services.login_sessions import LoginSessions
from datanika.ui.errors import error_key
from datanika.ui.session import SESSION_COOKIE, cookie, require_actor


class TenantState(rx.State):
    """Its vars start empty, are filled by handlers after :func:`tenant_session`, and are reset
    when the tab's user changes.

    ``error`` and ``notice`` are translation keys, shared by all states of a tab: the frame shows
    the first above the page and the second as a toast. ``error_detail`` is what the service says
    of its own (a field, a limit, the way out); it carries a code and is not translated.
    """

    error: str = ""
    error_detail: str = ""
    notice: str = ""
    notice_number: int = 0

    @rx.event
    def show_failure(self, reference: str) -> None:
        """Say that the platform failed; ``reference`` is how its log calls that."""
        self.error = "failure.title"
        self.error_detail = reference[:64]

    def _fail(self, error: DatanikaError) -> None:
        """Show why something was refused."""
        self.error = error_key(error)
        message = f"{error.field}: {error.message}" if error.field else error.message
        # The translation says as much as "There is no such run".
        said = [None if isinstance(error, NotFound) else message, error.hint]
        self.error_detail = " ".join(part for part in said if part)

    def _succeed(self, notice: str) -> None:
        """Say that something was done; ``notice`` is a translation key."""
        self._clear_error()
        self.notice = notice
        self.notice_number += 1

    def _clear_error(self) -> None:
        """Forget what was refused before. Handlers that load a page begin with it."""
        self.error = ""
        self.error_detail = ""

    async def _go_on_elsewhere(self, session: AsyncSession, actor: Actor) -> None:
        """Let this browser's session be in another organisation: the actor's own is left."""
        token = cookie(self.router_data.get("headers", {}), SESSION_COOKIE)
        if token:
            async with system_scope(session, actor.scope):
                await LoginSessions(session).leave_with_cookie(token, actor.org_id)

    @asynccontextmanager
    async def _attempt(self) -> AsyncIterator[tuple[AsyncSession, Actor]]:
        """A transaction in the scope of whoever sent the event.

        What a service refuses ends the block, is rolled back, and is shown: after the block
        ``self.error`` says whether that happened.
        """
        self._clear_error()
        try:
            async with tenant_session() as (session, actor):
                yield session, actor
        except DatanikaError as error:
            self._fail(error)


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
