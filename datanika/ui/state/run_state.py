"""One run: its head, and what can be done with it. The rest of its page follows the run through
the API's events (``wrappers/run_live.jsx``) and tells this state when it has changed."""

from __future__ import annotations

import uuid

import reflex as rx
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.enums import RunTrigger
from datanika.errors import DatanikaError, NotFound
from datanika.services.actor import Actor
from datanika.services.deployer import cancel_flow_run, submit_next, submit_run
from datanika.services.pipeline_service import PipelineService
from datanika.services.run_comparison import compare_with_last_good
from datanika.services.run_service import RunService
from datanika.ui.state.tenant import TenantState, tenant_session
from datanika.ui.views.run import ComparisonView, RunFacts, comparison_view, run_facts

LOG_LINES = 20_000
"""The end of the log that a page begins with; what is before can be downloaded."""
MAX_ID = 2**63 - 1


class RunPageState(TenantState):
    run: RunFacts = RunFacts()
    found: bool = False
    is_live: bool = False
    log_after: int = 0
    log_skipped: int = 0
    asks_cancel: bool = False
    compares: bool = False
    comparison: ComparisonView = ComparisonView()

    @rx.event
    async def load_run(self) -> None:
        """Show the run of the address. A tab that was offline loads it again: what is open in it
        stays so."""
        run_id = _id(self.router.page.params.get("run_id", ""))
        if run_id != self.run.id:
            self.reset()
        async with self._attempt() as (session, actor):
            if run_id is None:
                raise NotFound("There is no such run.", code="run_not_found")
            await self._read(session, actor, run_id)
            if not self.found:
                self.log_after, self.log_skipped = await RunService(session, actor).log_start(
                    run_id, LOG_LINES
                )
            self.found = True

    @rx.event
    async def refresh(self) -> None:
        """The page has heard that the run is in another state."""
        if not self.found:
            return
        async with self._attempt() as (session, actor):
            await self._read(session, actor, self.run.id)

    @rx.event
    def ask_cancel(self) -> None:
        """Ask whether it is meant."""
        self.asks_cancel = self.found and self.is_live

    @rx.event
    def close_dialogs(self) -> None:
        self.asks_cancel = self.compares = False

    @rx.event
    async def cancel(self) -> None:
        """Ask the run to stop. What was committed stays, and the page says what that is."""
        self.asks_cancel = False
        async with self._attempt() as (session, actor):
            run = await RunService(session, actor).cancel(self.run.id)
            await self._read(session, actor, run.id)
        if self.error:
            return
        self._succeed("run.was_cancelled")
        if run.flow_run_id is not None:
            await cancel_flow_run(run.flow_run_id)
        if run.state == "cancelled":
            await submit_next(run.org_id)

    @rx.event
    async def retry(self) -> rx.event.EventSpec | None:
        """Only what did not succeed, and what is downstream of it, as a new run."""
        async with self._attempt() as (session, actor):
            run = await RunService(session, actor).retry(self.run.id, f"ui-{uuid.uuid4()}")
        if self.error:
            return None
        await submit_run(run.id)
        self._succeed("run.was_retried")
        return rx.redirect(f"/runs/{run.id}")

    @rx.event
    async def run_again(self) -> rx.event.EventSpec | None:
        """Start the same pipeline once more and show the new run."""
        return await start_run(self, self.run.pipeline_id)

    @rx.event
    async def compare(self) -> None:
        """Beside the last good run of the pipeline."""
        async with self._attempt() as (session, actor):
            self.comparison = comparison_view(
                await compare_with_last_good(session, actor, self.run.id)
            )
            self.compares = True

    async def _read(self, session: AsyncSession, actor: Actor, run_id: int) -> None:
        run = await RunService(session, actor).get(run_id)
        names = await PipelineService(session, actor).names([run.pipeline_id])
        self.run = run_facts(run, names.get(run.pipeline_id, ""))
        self.is_live = not self.run.is_final


def _id(text: str) -> int | None:
    """The id that an address has; None where it is none."""
    return int(text) if text.isdecimal() and text.isascii() and int(text) <= MAX_ID else None


async def start_run(state: TenantState, pipeline_id: int) -> rx.event.EventSpec | None:
    """Trigger a run by hand; leads to its page, or sets the state's error."""
    try:
        async with tenant_session() as (session, actor):
            run = await RunService(session, actor).trigger(
                pipeline_id, idempotency_key=f"ui-{uuid.uuid4()}", trigger=RunTrigger.MANUAL
            )
    except DatanikaError as error:
        state._fail(error)
        return None
    await submit_run(run.id)
    state._succeed("run.was_started")
    return rx.redirect(f"/runs/{run.id}")
