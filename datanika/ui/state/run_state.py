"""One run, followed while it runs."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence

import reflex as rx
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.enums import RunTrigger
from datanika.contracts.events import utcnow
from datanika.contracts.plan import Plan
from datanika.db import get_session
from datanika.errors import DatanikaError
from datanika.models import Run, RunLog, RunStep
from datanika.services.actor import Actor
from datanika.services.deployer import cancel_flow_run, submit_run
from datanika.services.pipeline_service import PipelineService
from datanika.services.run_service import RunService
from datanika.ui.errors import error_key
from datanika.ui.run_graph import RunGraph, build_graph
from datanika.ui.session import actor_of
from datanika.ui.state.tenant import TenantState, is_open, tenant_session
from datanika.ui.views import LogRow, RunView, StepRow, log_row, run_view, step_rows

POLL_SECONDS = 0.7
LOG_LINES = 400
"""The end of the log that a page holds; the API has all of it."""


class RunPageState(TenantState):
    run: RunView = RunView()
    found: bool = False
    is_live: bool = False
    graph: RunGraph = RunGraph()
    steps: list[StepRow] = []
    log: list[LogRow] = []
    last_log_id: int = 0

    @rx.event
    async def load_run(self) -> rx.event.EventSpec | None:
        """Show the run of the address, and go on showing it while it is not over."""
        self.reset()
        try:
            run_id = int(self.router.page.params.get("run_id", ""))
        except ValueError:
            self.error = "error.not_found"
            return None
        try:
            async with tenant_session() as (session, actor):
                self._show(*await _read(session, actor, run_id, after_id=None))
        except DatanikaError as error:
            self.error = error_key(error)
            return None
        return RunPageState.follow(run_id) if self.is_live else None

    @rx.event(background=True)
    async def follow(self, run_id: int) -> None:
        """Read the run again and again until it is over or nobody looks at it any more.

        Each round proves the session anew: a logout ends the stream.
        """
        while True:
            await asyncio.sleep(POLL_SECONDS)
            async with self:
                looking = self.run.id == run_id and self.is_live and is_open(self, self.run.href)
                headers, after_id = self.router_data.get("headers", {}), self.last_log_id
            actor = await actor_of(headers) if looking else None
            if actor is None:
                return
            async with get_session(actor.scope) as session:
                news = await _read(session, actor, run_id, after_id)
            async with self:
                if self.run.id != run_id or self.last_log_id != after_id:
                    return
                self._show(*news)

    @rx.event
    async def cancel(self) -> None:
        """Ask the run to stop."""
        try:
            async with tenant_session() as (session, actor):
                run = await RunService(session, actor).cancel(self.run.id)
        except DatanikaError as error:
            self.error = error_key(error)
            return
        if run.flow_run_id is not None:
            await cancel_flow_run(run.flow_run_id)

    @rx.event
    async def run_again(self) -> rx.event.EventSpec | None:
        """Start the same pipeline once more and show the new run."""
        return await start_run(self, self.run.pipeline_id)

    def _show(
        self, run: Run, pipeline: str, steps: Sequence[RunStep], lines: Sequence[RunLog]
    ) -> None:
        """Take over what was read. Only what changed is sent to the browser."""
        view = run_view(run, pipeline)
        rows = step_rows(steps, run.started_at, run.finished_at or utcnow())
        graph = build_graph(Plan.model_validate(run.plan), steps)
        for name, value in (
            ("run", view),
            ("steps", rows),
            ("graph", graph),
            ("found", True),
            ("is_live", not view.is_final),
        ):
            if getattr(self, name) != value:
                setattr(self, name, value)
        if lines:
            self.log = [*self.log, *map(log_row, lines)][-LOG_LINES:]
            self.last_log_id = lines[-1].id


async def _read(
    session: AsyncSession, actor: Actor, run_id: int, after_id: int | None
) -> tuple[Run, str, Sequence[RunStep], Sequence[RunLog]]:
    """The run, its pipeline's name, its steps, and its log after ``after_id`` (None: its end)."""
    service = RunService(session, actor)
    run = await service.get(run_id)
    names = await PipelineService(session, actor).names([run.pipeline_id])
    steps = await service.steps(run_id)
    if after_id is None:
        lines = await service.log_tail(run_id, LOG_LINES)
    else:
        lines = await service.logs(run_id, after_id, LOG_LINES)
    return run, names.get(run.pipeline_id, ""), steps, lines


async def start_run(state: TenantState, pipeline_id: int) -> rx.event.EventSpec | None:
    """Trigger a run by hand; leads to its page, or sets the state's error."""
    try:
        async with tenant_session() as (session, actor):
            run = await RunService(session, actor).trigger(
                pipeline_id, idempotency_key=f"ui-{uuid.uuid4()}", trigger=RunTrigger.MANUAL
            )
    except DatanikaError as error:
        state.error = error_key(error)
        return None
    await submit_run(run.id)
    return rx.redirect(f"/runs/{run.id}")
