"""A list that is read a page at a time."""

from __future__ import annotations

from abc import abstractmethod

import reflex as rx


class Paged(rx.State, mixin=True):  # type: ignore[call-arg]
    """For a :class:`~datanika.ui.state.tenant.TenantState`: where each page seen so far begins is
    in ``_cursors``, the last being the present one. ``_load`` reads that page and ends with
    :meth:`_turned`; who filters begins with :meth:`_first_page`."""

    has_newer: bool = False
    has_older: bool = False
    _cursors: list[str | None] = [None]
    _next_cursor: str | None = None

    @rx.event
    async def show_older(self) -> None:
        if self._next_cursor is not None:
            self._cursors = [*self._cursors, self._next_cursor]
            await self._load()

    @rx.event
    async def show_newer(self) -> None:
        if len(self._cursors) > 1:
            self._cursors = self._cursors[:-1]
            await self._load()

    @abstractmethod
    async def _load(self) -> None:
        """Read and show the present page."""

    def _first_page(self) -> None:
        self._cursors = [None]

    def _turned(self, next_cursor: str | None) -> None:
        """Take over where the page after the one that was read begins."""
        self._next_cursor = next_cursor
        # Only what changed is sent to the browser.
        for name, value in (
            ("has_older", next_cursor is not None),
            ("has_newer", len(self._cursors) > 1),
        ):
            if getattr(self, name) != value:
                setattr(self, name, value)
