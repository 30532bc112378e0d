"""The organisation's pipelines, each with its last run and its next one."""

from __future__ import annotations

import datetime as dt
from typing import Any

import reflex as rx
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.compiler import next_fires
from datanika.contracts.events import utcnow
from datanika.services.actor import Actor
from datanika.services.deployer import deploy_after_commit
from datanika.services.paging import MAX_LIMIT, PageRequest
from datanika.services.pipeline_service import PipelineService
from datanika.services.run_service import RunService
from datanika.services.schedule_service import ScheduleService, schedule_spec
from datanika.ui.state.paged import Paged
from datanika.ui.state.run_state import start_run
from datanika.ui.state.tenant import TenantState
from datanika.ui.views.pipelines import PipelineListRow, pipeline_list_row

PAGE = 50


class PipelineListState(Paged, TenantState):
    pipelines: list[PipelineListRow] = []
    is_empty: bool = False
    search: str = ""
    deleting: int = 0
    deleting_name: str = ""

    @rx.event
    async def load_pipelines(self) -> None:
        self.search, self.deleting = "", 0
        self._first_page()
        await self._load()

    @rx.event
    async def find(self, search: str) -> None:
        """Only pipelines whose name has ``search`` in it."""
        self.search = search[:200]
        self._first_page()
        await self._load()

    @rx.event
    async def run_pipeline(self, pipeline_id: int) -> rx.event.EventSpec | None:
        """Start a run and show it."""
        return await start_run(self, pipeline_id)

    @rx.event
    async def pause_pipeline(self, pipeline_id: int) -> None:
        """No schedule starts it any more."""
        await self._switch(pipeline_id, is_paused=True)

    @rx.event
    async def resume_pipeline(self, pipeline_id: int) -> None:
        """Its schedules start it again."""
        await self._switch(pipeline_id, is_paused=False)

    @rx.event
    def ask_delete(self, pipeline_id: int) -> None:
        names = {one.id: one.name for one in self.pipelines}
        if pipeline_id in names:
            self.deleting, self.deleting_name = pipeline_id, names[pipeline_id]

    @rx.event
    def close_delete(self) -> None:
        self.deleting = 0

    @rx.event
    async def delete_pipeline(self) -> None:
        pipeline_id, self.deleting = self.deleting, 0
        async with self._attempt() as (session, actor):
            await PipelineService(session, actor).delete(pipeline_id)
        if self.error:
            return
        await deploy_after_commit(pipeline_id)
        await self._load()
        self._succeed("pipelines.deleted")

    async def _switch(self, pipeline_id: int, *, is_paused: bool) -> None:
        async with self._attempt() as (session, actor):
            await PipelineService(session, actor).update(pipeline_id, is_paused=is_paused)
        if self.error:
            return
        await deploy_after_commit(pipeline_id)
        await self._load()
        if is_paused:
            self._succeed("pipelines.paused_done")
        else:
            self._succeed("pipelines.resumed_done")

    async def _load(self) -> None:
        async with self._attempt() as (session, actor):
            service = PipelineService(session, actor)
            request = PageRequest(PAGE, self._cursors[-1], "name")
            found = await service.list(request, search=self.search or None)
            versions = await service.current_versions(found.rows)
            ids = [one.id for one in found.rows]
            latest = await RunService(session, actor).latest(ids)
            following = await _next_times(session, actor, found.rows)
        if self.error:
            return
        self.pipelines = [
            pipeline_list_row(
                one,
                [step["key"] for step in versions[one.id].spec["steps"]],
                latest.get(one.id),
                following.get(one.id),
            )
            for one in found.rows
        ]
        self._turned(found.next_cursor)
        self.is_empty = not self.pipelines and not self.search and not self.has_newer


async def _next_times(
    session: AsyncSession, actor: Actor, pipelines: Any
) -> dict[int, dt.datetime]:
    """When a schedule starts each pipeline next; one that is paused has no such time."""
    ids = [one.id for one in pipelines if not one.is_paused]
    schedules = await ScheduleService(session, actor).list(
        PageRequest(limit=MAX_LIMIT), pipeline_ids=ids, is_active=True
    )
    times: dict[int, dt.datetime] = {}
    now = utcnow()
    for schedule in schedules.rows:
        for fire in next_fires(schedule_spec(schedule), now, 1):
            known = times.get(schedule.pipeline_id)
            times[schedule.pipeline_id] = fire if known is None else min(known, fire)
    return times
