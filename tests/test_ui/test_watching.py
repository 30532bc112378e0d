"""A followed list shows what is new to whoever may see it at that time, and ends with its page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from datanika.ui.state import watching


class Page:
    """A background handler's state: entered to be changed."""

    def __init__(self, numbers: list[int], sessions: list[Any]) -> None:
        self.router_data: dict[str, Any] = {"headers": {}}
        self._watching = 1
        self.numbers, self.sessions = numbers, sessions
        self.shown: list[int] = []
        self.reads = self.proofs = 0
        self.is_entered = False

    async def __aenter__(self) -> Page:
        self.is_entered = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self.is_entered = False

    async def prove(self, _: Any) -> Any:
        self.proofs += 1
        return self.sessions.pop(0) if len(self.sessions) > 1 else self.sessions[0]

    async def read(self, _actor: Any, _asked: None) -> int:
        self.reads += 1
        return self.numbers[min(self.reads, len(self.numbers)) - 1]

    def show(self, found: int, _asked: None) -> None:
        assert self.is_entered
        self.shown.append(found)


@asynccontextmanager
async def followed(page: Page, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Page]:
    """Until the page was read as often as there are numbers, then it is left."""
    monkeypatch.setattr(watching, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(watching, "actor_of", page.prove)
    monkeypatch.setattr(watching, "is_open", lambda *_: page.reads < len(page.numbers))
    await watching.watch_page(page, 1, "/runs", asked=lambda: None, read=page.read, show=page.show)
    yield page


ADA, ADA_ELSEWHERE = SimpleNamespace(org_id=1), SimpleNamespace(org_id=2)


async def test_only_what_is_new_is_shown_and_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    async with followed(Page([5, 5, 5, 6, 6], [ADA]), monkeypatch) as page:
        assert page.shown == [5, 6]
        assert page.reads == 5
        # At the beginning, and before each time that something was shown.
        assert page.proofs == 3


@pytest.mark.parametrize("later", [None, ADA_ELSEWHERE], ids=["logged out", "switched"])
async def test_nothing_new_is_shown_when_the_session_is_another(
    later: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with followed(Page([5, 6, 7], [ADA, ADA, later]), monkeypatch) as page:
        assert page.shown == [5]
        assert page.reads == 2


async def test_nobody_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with followed(Page([5], [None]), monkeypatch) as page:
        assert (page.reads, page.shown) == (0, [])


async def test_a_page_loaded_anew_ends_the_older_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page([5, 6], [ADA])
    page._watching = 2
    async with followed(page, monkeypatch):
        assert (page.reads, page.shown) == (0, [])
