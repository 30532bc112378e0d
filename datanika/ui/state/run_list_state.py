"""The organisation's runs: filtered, paged, followed while somebody looks."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import reflex as rx
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.enums import RunState, RunTrigger
from datanika.contracts.events import utcnow
from datanika.db import get_session
from datanika.services.actor import Actor
from datanika.services.paging import PageRequest
from datanika.services.pipeline_service import PipelineService
from datanika.services.run_service import RunService
from datanika.ui.shared_reads import SharedReads
from datanika.ui.state.paged import Paged
from datanika.ui.state.run_state import _id
from datanika.ui.state.tenant import TenantState, tenant_session
from datanika.ui.state.watching import POLL_SECONDS, Watching, watch_page
from datanika.ui.views.run_list import RunView, run_view

PAGE_SIZE = 25
PATH = "/runs"
PIPELINES = 200
"""So many can be chosen from; an address may name any."""
PERIODS = {
    "hour": dt.timedelta(hours=1),
    "day": dt.timedelta(days=1),
    "week": dt.timedelta(days=7),
    "month": dt.timedelta(days=30),
}


@dataclass(frozen=True)
class PipelineChoice:
    id: str
    name: str


@dataclass(frozen=True)
class _Filter:
    """What of the runs is shown; ``cursor`` is where the page begins."""

    state: RunState | None = None
    pipeline_id: int | None = None
    trigger: RunTrigger | None = None
    period: str = ""
    cursor: str | None = None

    @property
    def is_empty(self) -> bool:
        return self == _Filter()


class RunListState(Paged, Watching, TenantState):
    runs: list[RunView] = []
    pipelines: list[PipelineChoice] = []
    state_filter: str = ""
    pipeline_filter: str = ""
    trigger_filter: str = ""
    period_filter: str = ""
    is_empty: bool = False

    @rx.event
    async def load_runs(self) -> rx.event.EventSpec:
        """The newest runs, of what the address asks for, now and while somebody looks at them."""
        asked = self.router.url.query_parameters
        self._filter(
            asked.get("state", ""),
            asked.get("pipeline", ""),
            asked.get("trigger", ""),
            asked.get("period", ""),
        )
        async with tenant_session() as (session, actor):
            page = await PipelineService(session, actor).list(PageRequest(PIPELINES, None, "name"))
            self.pipelines = [PipelineChoice(str(row.id), row.name) for row in page.rows]
            await self._read_into(session, actor)
        return RunListState.watch(self._begin_watch())

    @rx.event(background=True)
    async def watch(self, number: int) -> None:
        """Follow the list until it is left."""
        await watch_page(self, number, PATH, asked=self._asked, read=_read_shared, show=self._show)

    @rx.event
    async def filter_by_state(self, state: str) -> None:
        """Only runs in ``state``; all for an empty or unknown one."""
        self._filter(state, self.pipeline_filter, self.trigger_filter, self.period_filter)
        await self._load()

    @rx.event
    async def filter_by_pipeline(self, pipeline: str) -> None:
        """Only runs of the pipeline with this id."""
        self._filter(self.state_filter, pipeline, self.trigger_filter, self.period_filter)
        await self._load()

    @rx.event
    async def filter_by_trigger(self, trigger: str) -> None:
        """Only runs that were started so."""
        self._filter(self.state_filter, self.pipeline_filter, trigger, self.period_filter)
        await self._load()

    @rx.event
    async def filter_by_period(self, period: str) -> None:
        """Only runs of the last hour, day, week or month."""
        self._filter(self.state_filter, self.pipeline_filter, self.trigger_filter, period)
        await self._load()

    @rx.event
    async def clear_filters(self) -> None:
        self._filter("", "", "", "")
        await self._load()

    def _filter(self, state: str, pipeline: str, trigger: str, period: str) -> None:
        """Take over what can be filtered by, and go to the first page."""
        self.state_filter = state if state in set(RunState) else ""
        self.pipeline_filter = pipeline if _id(pipeline) is not None else ""
        self.trigger_filter = trigger if trigger in set(RunTrigger) else ""
        self.period_filter = period if period in PERIODS else ""
        self._first_page()

    def _asked(self) -> _Filter:
        return _Filter(
            RunState(self.state_filter) if self.state_filter else None,
            _id(self.pipeline_filter),
            RunTrigger(self.trigger_filter) if self.trigger_filter else None,
            self.period_filter,
            self._cursors[-1],
        )

    async def _load(self) -> None:
        async with tenant_session() as (session, actor):
            await self._read_into(session, actor)

    async def _read_into(self, session: AsyncSession, actor: Actor) -> None:
        asked = self._asked()
        self._show(await _read(session, actor, asked), asked)

    def _show(self, page: _Page, asked: _Filter) -> None:
        """Take over what was read. Only what changed is sent to the browser."""
        self._turned(page.next_cursor)
        for name, value in (
            ("runs", page.runs),
            ("is_empty", not page.runs and asked.is_empty),
        ):
            if getattr(self, name) != value:
                setattr(self, name, value)


@dataclass(frozen=True)
class _Page:
    runs: list[RunView]
    next_cursor: str | None


_shared: SharedReads[_Page] = SharedReads(POLL_SECONDS / 2)


async def _read_shared(actor: Actor, asked: _Filter) -> _Page:
    """The page as it was at most a second ago."""
    actor.require("run:read")

    async def read() -> _Page:
        async with get_session(actor.scope) as session:
            return await _read(session, actor, asked)

    return await _shared.get((actor.org_id, asked), read)


async def _read(session: AsyncSession, actor: Actor, asked: _Filter) -> _Page:
    """A page of runs, with their pipelines' names."""
    found = await RunService(session, actor).list(
        PageRequest(PAGE_SIZE, asked.cursor, "-id"),
        state=asked.state,
        pipeline_id=asked.pipeline_id,
        trigger=asked.trigger,
        created_after=utcnow() - PERIODS[asked.period] if asked.period else None,
    )
    names = await PipelineService(session, actor).names({run.pipeline_id for run in found.rows})
    runs = [run_view(run, names.get(run.pipeline_id, "")) for run in found.rows]
    return _Page(runs, found.next_cursor)
