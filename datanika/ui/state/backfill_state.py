"""Backfills of a pipeline: start one after a look at its chunks, follow it, cancel, go on."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import reflex as rx
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.enums import RunState
from datanika.contracts.events import utcnow
from datanika.db import get_session
from datanika.errors import InvalidInput
from datanika.services.actor import Actor
from datanika.services.backfill_service import BackfillService, Preview
from datanika.services.deployer import cancel_flow_run, submit_next
from datanika.services.paging import PageRequest
from datanika.ui.session import actor_of
from datanika.ui.state.pipeline_head_state import PipelineHeadState
from datanika.ui.state.schedule_state import moment_of, seconds_of
from datanika.ui.state.tenant import TenantState, is_open
from datanika.ui.views.pipelines import BackfillRow, backfill_row, minute

POLL_SECONDS = 2.0
PAGE = 50
YEAR = 366 * 86_400
SHOWN_CHUNKS = 60


class BackfillState(TenantState):
    backfills: list[BackfillRow] = []
    opens: bool = False
    edit: dict[str, str] = {}
    chunks: list[dict[str, str]] = []
    more_chunks: int = 0
    total: int = 0
    left_out: list[str] = []
    problem: str = ""
    cancelling: int = 0
    _round: int = 0
    _of: int = 0
    _form: dict[str, Any] = {}

    @rx.event
    async def load_backfills(self) -> rx.event.EventSpec | None:
        return await self._read()

    @rx.event
    def open_new(self) -> None:
        """A form with the last seven days in it."""
        self._clear_error()
        today = utcnow().replace(hour=0, minute=0, second=0, microsecond=0)
        self.edit = {
            "start": f"{today - dt.timedelta(days=7):%Y-%m-%dT%H:%M}",
            "end": f"{today:%Y-%m-%dT%H:%M}",
            "chunk": "1",
            "chunk_unit": "days",
        }
        self.chunks, self.total, self.more_chunks = [], 0, 0
        self.left_out, self.problem, self.opens, self._form = [], "", True, {}

    @rx.event
    def close_new(self) -> None:
        self.opens = False

    @rx.event
    async def preview(self, form: dict[str, Any]) -> None:
        """The chunks that the form would load, and what they leave out."""
        self._form = {}
        head = await self.get_state(PipelineHeadState)
        async with self._attempt() as (session, actor):
            service = BackfillService(session, actor)
            found = await service.preview(head.pipeline_id, **_wanted(form, head.steps))
        self.problem = self.error_detail if self.error else ""
        if self.error:
            self.chunks, self.total, self.more_chunks, self.left_out = [], 0, 0, []
            return
        self._form = form
        self._show(found)

    @rx.event
    async def start(self) -> rx.event.EventSpec | None:
        """Start what was looked at: the first chunk's run is accepted at once."""
        head = await self.get_state(PipelineHeadState)
        async with self._attempt() as (session, actor):
            service = BackfillService(session, actor)
            wanted = _wanted(self._form, head.steps)
            await service.create(head.pipeline_id, **wanted)
            org_id = actor.org_id
        if self.error:
            self.problem = self.error_detail
            return None
        self.opens = False
        await submit_next(org_id)
        following = await self._read()
        self._succeed("backfill.started")
        return following

    @rx.event
    def ask_cancel(self, backfill_id: int) -> None:
        self.cancelling = backfill_id

    @rx.event
    def close_cancel(self) -> None:
        self.cancelling = 0

    @rx.event
    async def cancel(self) -> rx.event.EventSpec | None:
        """No further chunk; the one that runs is cancelled."""
        backfill_id, self.cancelling = self.cancelling, 0
        async with self._attempt() as (session, actor):
            service = BackfillService(session, actor)
            [progress] = await service.progress([await service.cancel(backfill_id)])
            run, org_id = progress.run, actor.org_id
            flow_run = run.flow_run_id if run else None
            stops = bool(run and run.state == RunState.CANCELLING.value)
        if self.error:
            return None
        if flow_run is not None and stops:
            await cancel_flow_run(flow_run)
        await submit_next(org_id)
        following = await self._read()
        self._succeed("backfill.cancelled")
        return following

    @rx.event
    async def retry(self, backfill_id: int) -> rx.event.EventSpec | None:
        """Go on with the chunk that failed or was cancelled."""
        async with self._attempt() as (session, actor):
            await BackfillService(session, actor).retry(backfill_id)
            org_id = actor.org_id
        if self.error:
            return None
        await submit_next(org_id)
        following = await self._read()
        self._succeed("backfill.started")
        return following

    @rx.event(background=True)
    async def follow(self, number: int) -> None:
        """Read the list again while one of it runs and the page is looked at."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            async with self:
                head = await self.get_state(PipelineHeadState)
                pipeline_id = head.pipeline_id
                path = f"/pipelines/{pipeline_id}/backfills"
                looks = self._round == number and is_open(self, path)
                headers = self.router_data.get("headers", {})
            actor = await actor_of(headers) if looks else None
            if actor is None:
                return
            async with get_session(actor.scope) as session:
                rows = await _rows(session, actor, pipeline_id)
            async with self:
                if self._round != number:
                    return
                if self.backfills != rows:
                    self.backfills = rows
                if not any(one.is_live for one in rows):
                    return

    async def _read(self) -> rx.event.EventSpec | None:
        head = await self.get_state(PipelineHeadState)
        async with self._attempt() as (session, actor):
            pipeline, _ = await head._show(session, actor, self)
            if self._of not in (0, pipeline.id):
                # Not always: who is quick has opened a dialog of this page already.
                self.reset()
            self._of = pipeline.id
            self.backfills = await _rows(session, actor, pipeline.id)
        if self.error or not any(one.is_live for one in self.backfills):
            return None
        self._round += 1
        return BackfillState.follow(self._round)

    def _show(self, found: Preview) -> None:
        self.total = len(found.chunks)
        self.chunks = [
            {"number": str(number), "start": minute(one.start), "end": minute(one.end)}
            for number, one in enumerate(found.chunks[:SHOWN_CHUNKS], start=1)
        ]
        self.more_chunks = max(0, self.total - SHOWN_CHUNKS)
        # The last chunk does more than the others: what it leaves out nobody does.
        self.left_out = [
            f"{one.node or one.name or one.step_key}: {one.note}" for one in found.last.left_out
        ]


async def _rows(session: AsyncSession, actor: Actor, pipeline_id: int) -> list[BackfillRow]:
    service = BackfillService(session, actor)
    found = await service.list(PageRequest(PAGE, None, "-id"), pipeline_id=pipeline_id)
    return [backfill_row(one) for one in await service.progress(found.rows)]


def _wanted(form: dict[str, Any], steps: list[str]) -> dict[str, Any]:
    """Arguments of the service; raises :class:`InvalidInput` with the field."""
    moments = {name: moment_of(str(form.get(name, "")), "UTC", name) for name in ("start", "end")}
    for name, moment in moments.items():
        if moment is None:
            raise InvalidInput("A moment is needed.", code="invalid_input", field=name)
    seconds = seconds_of(form, "chunk")
    if not 60 <= seconds <= 10 * YEAR:
        raise InvalidInput("A chunk is a minute at least.", field="chunk_seconds")
    chosen = [key for key in steps if form.get(f"step_{key}")]
    return {
        **moments,
        "chunk_seconds": seconds,
        "steps": chosen or None,
        "full": bool(form.get("full")),
    }
