"""The list of runs, one page at a time. Its first page shows what happens as it happens."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import reflex as rx
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.enums import RunState
from datanika.db import get_session
from datanika.models import Run
from datanika.services.actor import Actor
from datanika.services.paging import PageRequest, RowPage
from datanika.services.pipeline_service import PipelineService
from datanika.services.run_service import RunService
from datanika.ui.session import actor_of
from datanika.ui.state.tenant import TenantState, is_open, tenant_session
from datanika.ui.views import RunView, run_view

PAGE_SIZE = 25
POLL_SECONDS = 2.0
PATH = "/"


class RunListState(TenantState):
    """``_cursors``: where each page seen so far begins; the last is the present one."""

    runs: list[RunView] = []
    state_filter: str = ""
    has_newer: bool = False
    has_older: bool = False
    is_empty: bool = False
    _cursors: list[str | None] = [None]
    _next_cursor: str | None = None

    _watching: int = 0

    @rx.event
    async def load_runs(self) -> rx.event.EventSpec:
        """The newest runs, now and while somebody looks at them."""
        self._cursors = [None]
        await self._load()
        self._watching += 1
        return RunListState.watch(self._watching)

    @rx.event(background=True)
    async def watch(self, number: int) -> None:
        """Read the page again and again until it is left. Each round proves the session anew."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            async with self:
                looking = self._watching == number and is_open(self, PATH)
                asked = (self.state_filter, self._cursors[-1])
                headers = self.router_data.get("headers", {})
            actor = await actor_of(headers) if looking else None
            if actor is None:
                return
            async with get_session(actor.scope) as session:
                found, names = await _read(session, actor, *asked)
            async with self:
                if asked == (self.state_filter, self._cursors[-1]) and self._watching == number:
                    self._show(found, names)

    @rx.event
    async def filter_by_state(self, state: str) -> None:
        """Only runs in ``state``; all for an empty or unknown one."""
        self.state_filter = state if state in set(RunState) else ""
        self._cursors = [None]
        await self._load()

    @rx.event
    async def show_older(self) -> None:
        if self.has_older:
            self._cursors = [*self._cursors, self._next_cursor]
            await self._load()

    @rx.event
    async def show_newer(self) -> None:
        if len(self._cursors) > 1:
            self._cursors = self._cursors[:-1]
            await self._load()

    async def _load(self) -> None:
        async with tenant_session() as (session, actor):
            self._show(*await _read(session, actor, self.state_filter, self._cursors[-1]))

    def _show(self, page: RowPage[Run], names: Mapping[int, str]) -> None:
        """Take over what was read. Only what changed is sent to the browser."""
        self._next_cursor = page.next_cursor
        is_first = len(self._cursors) == 1
        for name, value in (
            (
                "runs",
                [run_view(run, names.get(run.pipeline_id, "")) for run in page.rows],
            ),
            ("has_older", page.next_cursor is not None),
            ("has_newer", not is_first),
            ("is_empty", not page.rows and not self.state_filter and is_first),
        ):
            if getattr(self, name) != value:
                setattr(self, name, value)


async def _read(
    session: AsyncSession, actor: Actor, state: str, cursor: str | None
) -> tuple[RowPage[Run], Mapping[int, str]]:
    """A page of runs, and their pipelines' names."""
    found = await RunService(session, actor).list(
        PageRequest(PAGE_SIZE, cursor, "-id"), state=RunState(state) if state else None
    )
    names = await PipelineService(session, actor).names({run.pipeline_id for run in found.rows})
    return found, names
