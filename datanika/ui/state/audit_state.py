"""The audit log: who did what, and whether the log is as it was written."""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import urlencode

import reflex as rx

from datanika.errors import InvalidInput
from datanika.services.audit_service import AuditService
from datanika.services.audit_verification import verify_own
from datanika.services.paging import PageRequest
from datanika.ui.state.given import an_id, texts
from datanika.ui.state.paged import Paged
from datanika.ui.state.tenant import TenantState
from datanika.ui.views.settings import AuditRow, Change, audit_row, changes

PAGE_SIZE = 25
FIELDS = ("action", "resource_type", "after", "before")


class AuditState(Paged, TenantState):
    """``verdict``: empty while nobody asked, ``whole`` or ``broken`` (from ``first_bad_id``)."""

    entries: list[AuditRow] = []
    details: list[Change] = []
    shown: AuditRow = AuditRow(0, 0, None, "", "", "")
    shown_hash: str = ""
    export_query: str = ""
    verdict: str = ""
    verified: int = 0
    first_bad_id: int = 0
    is_empty: bool = False
    _filters: dict[str, Any] = {}

    @rx.event
    async def load_audit(self) -> None:
        self._clear_error()
        self._filters, self.export_query = {}, ""
        self._first_page()
        self.verdict, self.shown = "", AuditRow(0, 0, None, "", "", "")
        await self._load()

    @rx.event
    async def find(self, form: dict[str, Any]) -> None:
        """Only entries of an action, a kind of thing, and from a day to a day (UTC)."""
        given = texts(form, *FIELDS)
        async with self._attempt():
            filters: dict[str, Any] = {
                name: given[name][:100] for name in ("action", "resource_type") if name in given
            }
            if "after" in given:
                filters["after"] = _day("after", given["after"])
            if "before" in given:
                # The last day is one of them.
                filters["before"] = _day("before", given["before"]) + dt.timedelta(days=1)
        if self.error:
            return
        self._filters = filters
        self._first_page()
        query = {
            name: value.isoformat() if isinstance(value, dt.datetime) else value
            for name, value in filters.items()
        }
        self.export_query = f"&{urlencode(query)}" if query else ""
        await self._load()

    @rx.event
    async def open_entry(self, entry_id: int) -> None:
        """Show what an entry says has changed."""
        async with self._attempt() as (session, actor):
            row = await AuditService(session, actor).get(an_id(entry_id))
            self.shown, self.details = audit_row(row), changes(row.old, row.new)
            self.shown_hash = row.row_hash

    @rx.event
    def close_entry(self) -> None:
        self.shown, self.details = AuditRow(0, 0, None, "", "", ""), []

    @rx.event
    async def verify(self) -> None:
        """Follow the chain of hashes from the first entry to the last."""
        async with self._attempt() as (session, actor):
            found = await verify_own(session, actor)
            self.verdict = "whole" if found.is_whole else "broken"
            self.verified, self.first_bad_id = found.entries, found.first_bad_id or 0

    async def _load(self) -> None:
        async with self._attempt() as (session, actor):
            page = PageRequest(PAGE_SIZE, self._cursors[-1], "-id")
            found = await AuditService(session, actor).list(page, **self._filters)
            self.entries = [audit_row(row) for row in found.rows]
            self._turned(found.next_cursor)
            self.is_empty = not found.rows


def _day(field: str, text: str) -> dt.datetime:
    try:
        return dt.datetime.combine(dt.date.fromisoformat(text), dt.time(), dt.UTC)
    except ValueError:
        raise InvalidInput("This is not a day: YYYY-MM-DD.", field=field) from None
