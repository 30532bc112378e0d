"""The head of a pipeline's pages: its name, whether it is paused, and what may be done with it."""

from __future__ import annotations

import uuid
from typing import Any

import reflex as rx
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.enums import RunTrigger
from datanika.contracts.overrides import RunOverrides
from datanika.errors import NotFound
from datanika.services.actor import Actor
from datanika.services.deployer import deploy_after_commit, submit_run
from datanika.services.pipeline_service import PipelineService
from datanika.services.run_service import RunService
from datanika.ui.state.tenant import TenantState


class PipelineHeadState(TenantState):
    pipeline_id: int = 0
    name: str = ""
    description: str = ""
    version: int = 0
    is_paused: bool = False
    pause_reason: str = ""
    steps: list[str] = []
    runs_open: bool = False
    deletes_open: bool = False

    @rx.event
    def open_run(self) -> None:
        """Ask how the run shall differ."""
        self._clear_error()
        self.runs_open = True

    @rx.event
    def close_run(self) -> None:
        self.runs_open = False

    @rx.event
    async def start(self, form: dict[str, Any]) -> rx.event.EventSpec | None:
        """Run with what the form says, and show the run."""
        chosen = tuple(key for key in self.steps if form.get(f"step_{key}"))
        async with self._attempt() as (session, actor):
            run = await RunService(session, actor).trigger(
                self.pipeline_id,
                idempotency_key=f"ui-{uuid.uuid4()}",
                trigger=RunTrigger.MANUAL,
                ignore_dependencies=bool(form.get("ignore_dependencies")),
                overrides=RunOverrides(
                    full_refresh=bool(form.get("full_refresh")), steps=chosen or None
                ),
            )
        if self.error:
            return None
        self.runs_open = False
        await submit_run(run.id)
        return rx.redirect(f"/runs/{run.id}")

    @rx.event
    async def pause(self) -> None:
        """No schedule starts it any more."""
        if await self._switch(is_paused=True):
            self._succeed("pipelines.paused_done")

    @rx.event
    async def resume(self) -> None:
        """Its schedules start it again."""
        if await self._switch(is_paused=False):
            self._succeed("pipelines.resumed_done")

    @rx.event
    def ask_delete(self) -> None:
        self.deletes_open = True

    @rx.event
    def close_delete(self) -> None:
        self.deletes_open = False

    @rx.event
    async def delete(self) -> rx.event.EventSpec | None:
        """Take the pipeline away, and go back to the list."""
        self.deletes_open = False
        async with self._attempt() as (session, actor):
            await PipelineService(session, actor).delete(self.pipeline_id)
        if self.error:
            return None
        await deploy_after_commit(self.pipeline_id)
        self._succeed("pipelines.deleted")
        return rx.redirect("/pipelines")

    async def _switch(self, *, is_paused: bool) -> bool:
        async with self._attempt() as (session, actor):
            row = await PipelineService(session, actor).update(
                self.pipeline_id, is_paused=is_paused
            )
        if self.error:
            return False
        self.is_paused, self.pause_reason = row.is_paused, row.pause_reason or ""
        await deploy_after_commit(self.pipeline_id)
        return True

    async def _show(self, session: AsyncSession, actor: Actor, state: TenantState) -> Any:
        """Fill the head for the page of ``state``; the pipeline and its present version. Raises
        :class:`NotFound`."""
        before, self.pipeline_id = self.pipeline_id, 0
        pipeline_id = pipeline_in_address(state)
        service = PipelineService(session, actor)
        pipeline = await service.get(pipeline_id)
        if before != pipeline_id:
            self.runs_open = self.deletes_open = False
        version = await service.current_version(pipeline)
        self.pipeline_id, self.name = pipeline.id, pipeline.name
        self.description, self.version = pipeline.description, pipeline.version
        self.is_paused, self.pause_reason = pipeline.is_paused, pipeline.pause_reason or ""
        self.steps = [step["key"] for step in version.spec["steps"]]
        return pipeline, version


def pipeline_in_address(state: TenantState) -> int:
    """The id in the page's address; raises :class:`NotFound` where there is none."""
    text = str(state.router.page.params.get("pipeline_id", ""))
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise NotFound("There is no such pipeline.", code="pipeline_not_found")
    return int(text)
