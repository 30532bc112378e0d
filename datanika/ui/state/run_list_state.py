"""The list of runs, one page at a time."""

from __future__ import annotations

import reflex as rx

from datanika.contracts.enums import RunState
from datanika.services.pipeline_service import PipelineService
from datanika.services.run_service import RunService
from datanika.ui.state.tenant import TenantState, tenant_session
from datanika.ui.views import RunView, run_view

PAGE_SIZE = 25


class RunListState(TenantState):
    """``_cursors``: the run id each page seen so far begins below; the last is the present one."""

    runs: list[RunView] = []
    state_filter: str = ""
    has_newer: bool = False
    has_older: bool = False
    is_empty: bool = False
    _cursors: list[int | None] = [None]

    @rx.event
    async def load_runs(self) -> None:
        """The newest runs."""
        self._cursors = [None]
        await self._load()

    @rx.event
    async def filter_by_state(self, state: str) -> None:
        """Only runs in ``state``; all for an empty or unknown one."""
        self.state_filter = state if state in set(RunState) else ""
        self._cursors = [None]
        await self._load()

    @rx.event
    async def show_older(self) -> None:
        if self.has_older:
            self._cursors = [*self._cursors, self.runs[-1].id]
            await self._load()

    @rx.event
    async def show_newer(self) -> None:
        if len(self._cursors) > 1:
            self._cursors = self._cursors[:-1]
            await self._load()

    async def _load(self) -> None:
        async with tenant_session() as (session, actor):
            found = await RunService(session, actor).list(
                state=RunState(self.state_filter) if self.state_filter else None,
                before_id=self._cursors[-1],
                limit=PAGE_SIZE + 1,
            )
            names = await PipelineService(session, actor).names({run.pipeline_id for run in found})
        self.runs = [run_view(run, names.get(run.pipeline_id, "")) for run in found[:PAGE_SIZE]]
        self.has_older = len(found) > PAGE_SIZE
        self.has_newer = len(self._cursors) > 1
        self.is_empty = not found and not self.state_filter and not self.has_newer
