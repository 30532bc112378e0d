"""API keys: made, shown once, revoked."""

from __future__ import annotations

import datetime as dt
from typing import Any

import reflex as rx

from datanika.contracts.api import ApiKeyIn
from datanika.contracts.events import utcnow
from datanika.errors import InvalidInput
from datanika.services.api_key_service import ApiKeyService
from datanika.services.paging import PageRequest
from datanika.services.permissions import PERMISSIONS
from datanika.ui.state.given import an_id, read, texts, ticked
from datanika.ui.state.paged import Paged
from datanika.ui.state.tenant import TenantState
from datanika.ui.views.settings import KeyRow, key_row

PAGE_SIZE = 50
LIFETIMES = ("30", "90", "365", "never")
"""Days; what the form offers."""
SCOPE = "scope_"


class ApiKeyState(Paged, TenantState):
    """``shown_key`` is the key that was just made: nobody can read it again.
    ``scopes`` are those that the viewer can give, by
    resource."""

    keys: list[KeyRow] = []
    scopes: dict[str, list[str]] = {}
    is_empty: bool = False
    is_creating: bool = False
    preset: str = ""
    shown_key: str = ""
    asked_id: int = 0
    asked_name: str = ""

    @rx.event
    async def load_keys(self) -> None:
        self._clear_error()
        self.shown_key, self.asked_id = "", 0
        self._first_page()
        self.preset = "read"
        self.is_creating = self.router.url.query_parameters.get("do") == "create"
        await self._load()

    @rx.event
    def open_form(self) -> None:
        self.is_creating, self.shown_key, self.preset = True, "", "read"

    @rx.event
    def close_form(self) -> None:
        self.is_creating, self.shown_key = False, ""

    @rx.event
    def choose(self, preset: str) -> None:
        """Tick the scopes that read, all of them, or none."""
        if preset in ("read", "all", "none"):
            self.preset = preset

    @rx.event
    async def create(self, form: dict[str, Any]) -> None:
        """Make a key of the form's name, lifetime and ticked scopes."""
        self.shown_key = ""
        async with self._attempt() as (session, actor):
            scopes = [name.replace("__", ":") for name in ticked(form, SCOPE)]
            if not scopes:
                raise InvalidInput("A key needs a scope.", code="scopes_empty", field="scopes")
            expires = expiry(texts(form, "lifetime").get("lifetime", ""))
            given = {**texts(form, "name"), "scopes": scopes}
            if expires is not None:
                given["expires_at"] = expires.isoformat()
            body = read(ApiKeyIn, given)
            service = ApiKeyService(session, actor)
            _, self.shown_key = await service.create(body.name, body.scopes, body.expires_at)
        if self.error:
            self.shown_key = ""
            return
        self._succeed("keys.created")
        await self._load()

    @rx.event
    def ask(self, key_id: int, name: str) -> None:
        """Open the question before a key is revoked."""
        self.asked_id, self.asked_name = key_id, str(name)[:200]

    @rx.event
    def close_question(self) -> None:
        self.asked_id, self.asked_name = 0, ""

    @rx.event
    async def revoke(self) -> None:
        """Revoke the key that was asked about."""
        number = self.asked_id
        self.asked_id, self.asked_name = 0, ""
        async with self._attempt() as (session, actor):
            await ApiKeyService(session, actor).revoke(an_id(number))
        if not self.error:
            self._succeed("keys.revoked")
            await self._load()

    async def _load(self) -> None:
        async with self._attempt() as (session, actor):
            page = PageRequest(PAGE_SIZE, self._cursors[-1], "-id")
            found = await ApiKeyService(session, actor).list(page)
            self.keys = [key_row(one) for one in found.rows]
            self._turned(found.next_cursor)
            self.is_empty = not found.rows and not self.has_newer
            self.scopes = by_resource([name for name in PERMISSIONS if actor.may(name)])


def by_resource(permissions: list[str]) -> dict[str, list[str]]:
    """``resource`` -> its actions, in the order of the table of permissions."""
    found: dict[str, list[str]] = {}
    for name in permissions:
        resource, _, action = name.partition(":")
        found.setdefault(resource, []).append(action)
    return found


def expiry(lifetime: str) -> dt.datetime | None:
    """When a key made now ends; None: never. Raises :class:`InvalidInput`."""
    if lifetime not in LIFETIMES:
        raise InvalidInput("Choose one of the lifetimes.", field="expires_at")
    return None if lifetime == "never" else utcnow() + dt.timedelta(days=int(lifetime))
