"""One connection: what it is, what uses it, what was done to it."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.services.audit_service import AuditService
from datanika.services.connection_service import (
    ConnectionService,
    referenced_names,
    secret_names,
)
from datanika.services.connection_uses import uses_of
from datanika.services.paging import PageRequest
from datanika.ui.state.tenant import TenantState
from datanika.ui.views.connections import (
    ConnectionView,
    HistoryRow,
    SettingRow,
    UseRow,
    connection_view,
    history_row,
    setting_rows,
    use_row,
)

TABS = {
    "overview": "connection:read",
    "browse": "connection:test",
    "query": "connection:query",
    "edit": "connection:write",
    "rotate": "connection:write",
}
"""What each side of a connection takes."""
HISTORY = 20


class ConnectionPageState(TenantState):
    connection: ConnectionView = ConnectionView()
    settings: list[SettingRow] = []
    uses: list[UseRow] = []
    history: list[HistoryRow] = []
    found: bool = False
    tab: str = ""
    asks_delete: bool = False
    asks_copy: bool = False

    @rx.event
    async def load_connection(self) -> None:
        """Show the connection of the address; ``?tab=`` says which side of it."""
        notice, number = self.notice, self.notice_number
        self.reset()
        self.notice, self.notice_number = notice, number
        tab = self.router.url.query_parameters.get("tab", "overview")
        self.tab = tab if tab in TABS else "overview"
        try:
            connection_id = int(self.router.page.params.get("connection_id", ""))
        except ValueError:
            self.error = "error.not_found"
            return
        await self._read(connection_id)

    @rx.event
    async def load_form(self) -> None:
        """A page that asks the API itself."""
        self._clear_error()

    @rx.event
    def show_tab(self, tab: str) -> None:
        if tab in TABS:
            self.tab = tab

    @rx.event
    async def tested(self) -> None:
        """Read what the test left behind."""
        if self.found:
            await self._read(self.connection.id)

    @rx.event
    def created(self, connection_id: int) -> rx.event.EventSpec | None:
        """A form made a connection: show it."""
        if not _is_id(connection_id):
            return None
        self._succeed("connection.created")
        return rx.redirect(f"/connections/{connection_id}")

    @rx.event
    async def changed(self) -> None:
        """A form changed the connection: show what it is now."""
        if not self.found:
            return
        await self._read(self.connection.id)
        self.tab = "overview"
        if not self.error:
            self._succeed("connection.saved")

    @rx.event
    def file_done(self, what: str) -> None:
        """A file came or went."""
        if what == "deleted":
            self._succeed("files.deleted")
        elif what == "uploaded":
            self._succeed("files.uploaded")

    @rx.event
    async def ask_delete(self) -> None:
        """Ask, with what uses the connection now."""
        if self.found:
            await self._read(self.connection.id)
            self.asks_delete = not self.error

    @rx.event
    def ask_copy(self) -> None:
        self.asks_copy = self.found

    @rx.event
    def close(self) -> None:
        """Close the dialog that is open."""
        self.asks_delete = self.asks_copy = False

    @rx.event
    async def delete(self) -> rx.event.EventSpec | None:
        """Take the connection away; refused while something uses it."""
        self.asks_delete = False
        async with self._attempt() as (session, actor):
            await ConnectionService(session, actor).delete(self.connection.id)
        if self.error:
            return None
        self._succeed("connection.deleted")
        return rx.redirect("/connections")

    @rx.event
    async def copy_connection(self, form: dict[str, Any]) -> rx.event.EventSpec | None:
        """A new connection with the same settings and secrets."""
        self.asks_copy = False
        name = str(form.get("name", "")) if isinstance(form, dict) else ""
        async with self._attempt() as (session, actor):
            copied = await ConnectionService(session, actor).copy(self.connection.id, name)
            copied_id = copied.id
        if self.error:
            return None
        self._succeed("connection.copied")
        return rx.redirect(f"/connections/{copied_id}")

    async def _read(self, connection_id: int) -> None:
        async with self._attempt() as (session, actor):
            row = await ConnectionService(session, actor).get(connection_id)
            uses = (await uses_of(session, actor.org_id, [row.id]))[row.id]
            history: list[HistoryRow] = []
            if actor.may("audit:read"):
                entries = await AuditService(session, actor).list(
                    PageRequest(HISTORY, None, "-id"),
                    resource_type="connection",
                    resource_id=row.id,
                )
                history = [history_row(entry) for entry in entries.rows]
            self.connection = connection_view(row)
            self.settings = setting_rows(row, secret_names(row), referenced_names(row))
            self.uses = [use_row(use) for use in uses]
            self.history = history
            self.found = True
            if not actor.may(TABS[self.tab]):
                self.tab = "overview"


def _is_id(value: object) -> bool:
    """Anybody may send anything."""
    return isinstance(value, int) and value > 0
