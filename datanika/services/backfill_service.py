"""Backfills: start, look, cancel, go on after a failure. Their runs: ``backfill_chunks.py``."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.enums import BackfillState, RunState
from datanika.contracts.overrides import Interval
from datanika.contracts.plan import Plan
from datanika.errors import Conflict, InvalidInput, LimitReached, NotFound
from datanika.models import Backfill, PipelineVersion, Run
from datanika.services.actor import Actor
from datanika.services.audit_service import record
from datanika.services.backfill_chunks import accept_chunk, chunk_at, lock_backfill, plan_chunk
from datanika.services.limits import reason_not_to_run
from datanika.services.paging import NEWEST, PageRequest, RowPage, fetch_page, rows_of, sorts_of
from datanika.services.pipeline_service import PipelineService
from datanika.services.run_rows import lock_run
from datanika.services.run_service import RunService

MAX_CHUNKS = 1000
SORTS = sorts_of(Backfill, "created_at", "interval_start")


@dataclass(frozen=True)
class Progress:
    """A backfill as people see it. ``run`` is the one of the chunk that it has come to."""

    backfill: Backfill
    chunks: int
    chunks_done: int
    run: Run | None

    @property
    def facts(self) -> dict[str, Any]:
        """What is not a column of the row."""
        return {
            "steps": self.backfill.overrides.get("steps"),
            "full": self.backfill.overrides["full"],
            "chunks": self.chunks,
            "chunks_done": self.chunks_done,
            "run_id": self.run.id if self.run else None,
        }


@dataclass(frozen=True)
class Preview:
    """The chunks of a backfill, and what the runs of the first and of the last of them do."""

    chunks: tuple[Interval, ...]
    first: Plan
    last: Plan


class BackfillService:
    """Backfills of the actor's organisation."""

    def __init__(self, session: AsyncSession, actor: Actor) -> None:
        self.session = session
        self.actor = actor

    async def create(
        self,
        pipeline_id: int,
        start: dt.datetime,
        end: dt.datetime,
        chunk_seconds: int,
        *,
        steps: Sequence[str] | None = None,
        full: bool = False,
    ) -> Backfill:
        """Load rows of ``[start, end)`` again; the run of the first chunk is accepted at once.

        Raises :class:`InvalidInput` for an interval without a chunk or with too many, for an
        unknown step, and where no table can be loaded by an interval.
        """
        self.actor.require("run:trigger")
        pipeline = await PipelineService(self.session, self.actor).find(pipeline_id)
        chunks = _check_chunks(start, end, chunk_seconds)
        await self._check_limits()
        backfill = self._new(pipeline_id, start, end, chunk_seconds, steps, full)
        self.session.add(backfill)
        await self.session.flush()
        new = {
            "pipeline_id": pipeline_id,
            "interval_start": start.isoformat(),
            "interval_end": end.isoformat(),
            "chunks": chunks,
        }
        version = await self.session.get_one(PipelineVersion, pipeline.current_version_id)
        await self._start(backfill, version, start)
        await record(self.session, self.actor, "backfill.created", "backfill", backfill.id, new=new)
        return backfill

    async def preview(
        self,
        pipeline_id: int,
        start: dt.datetime,
        end: dt.datetime,
        chunk_seconds: int,
        *,
        steps: Sequence[str] | None = None,
        full: bool = False,
    ) -> Preview:
        """What :meth:`create` would start, without starting it. Raises the same."""
        self.actor.require("pipeline:read")
        pipeline = await PipelineService(self.session, self.actor).find(pipeline_id)
        count = _check_chunks(start, end, chunk_seconds)
        backfill = self._new(pipeline_id, start, end, chunk_seconds, steps, full)
        length = dt.timedelta(seconds=chunk_seconds)
        chunks = tuple(chunk_at(backfill, start + length * number) for number in range(count))
        version = await self.session.get_one(PipelineVersion, pipeline.current_version_id)
        plans = [
            await plan_chunk(self.session, backfill, version, chunk)
            for chunk in {chunks[0].start: chunks[0], chunks[-1].start: chunks[-1]}.values()
        ]
        return Preview(chunks, plans[0], plans[-1])

    def _new(
        self,
        pipeline_id: int,
        start: dt.datetime,
        end: dt.datetime,
        chunk_seconds: int,
        steps: Sequence[str] | None,
        full: bool,
    ) -> Backfill:
        return Backfill(
            org_id=self.actor.org_id,
            pipeline_id=pipeline_id,
            interval_start=start,
            interval_end=end,
            chunk_seconds=chunk_seconds,
            state=BackfillState.RUNNING.value,
            overrides={"steps": list(steps) if steps else None, "full": full},
            created_by=self.actor.user_id,
        )

    async def get(self, backfill_id: int) -> Backfill:
        """The backfill; raises :class:`NotFound`, also for another organisation's."""
        self.actor.require("run:read")
        return await self._find(backfill_id)

    async def list(
        self,
        page: PageRequest = NEWEST,
        *,
        pipeline_id: int | None = None,
        state: BackfillState | None = None,
    ) -> RowPage[Backfill]:
        """The organisation's backfills."""
        self.actor.require("run:read")
        query = rows_of(Backfill).where(
            Backfill.org_id == self.actor.org_id, Backfill.deleted_at.is_(None)
        )
        if pipeline_id is not None:
            query = query.where(Backfill.pipeline_id == pipeline_id)
        if state is not None:
            query = query.where(Backfill.state == state.value)
        return await fetch_page(self.session, query, SORTS, page)

    async def progress(self, backfills: Sequence[Backfill]) -> Sequence[Progress]:
        """How far each has come, by one query. For rows that the actor was given already."""
        query = (
            select(
                Run.backfill_id,
                func.count(func.distinct(Run.interval_start)).filter(
                    Run.state == RunState.SUCCEEDED.value
                ),
                func.max(Run.id),
            )
            .where(
                Run.org_id == self.actor.org_id,
                Run.backfill_id.in_([backfill.id for backfill in backfills]),
            )
            .group_by(Run.backfill_id)
        )
        found = {row[0]: row for row in await self.session.execute(query)}
        newest = await self.session.scalars(
            select(Run).where(Run.id.in_([row[2] for row in found.values()]))
        )
        runs = {run.backfill_id: run for run in newest}
        return [
            Progress(
                one,
                _chunks(one.interval_start, one.interval_end, one.chunk_seconds),
                found[one.id][1] if one.id in found else 0,
                runs.get(one.id),
            )
            for one in backfills
        ]

    async def cancel(self, backfill_id: int) -> Backfill:
        """No further chunk, and an end of the one that runs. Cancelling twice is fine; raises
        :class:`Conflict` ``backfill_ended`` where it ended otherwise."""
        self.actor.require("run:cancel")
        await self._find(backfill_id)
        run = await self._newest_run(backfill_id)
        backfill = await lock_backfill(self.session, backfill_id)
        if backfill.state == BackfillState.CANCELLED.value:
            return backfill
        if backfill.state != BackfillState.RUNNING.value:
            raise Conflict(f"This backfill has {backfill.state}.", code="backfill_ended")
        # First its own state: then the end of its run is not what ends it.
        backfill.state, backfill.finished_at = BackfillState.CANCELLED.value, func.now()
        await self.session.flush()
        if run is not None and not RunState(run.state).is_final:
            await RunService(self.session, self.actor).cancel(run.id)
        await record(self.session, self.actor, "backfill.cancelled", "backfill", backfill_id)
        return await lock_backfill(self.session, backfill_id)

    async def retry(self, backfill_id: int) -> Backfill:
        """Go on with the chunk that failed or was cancelled. Raises :class:`Conflict`
        ``backfill_not_retryable`` while it runs, and after its success."""
        self.actor.require("run:trigger")
        await self._find(backfill_id)
        run = await self._newest_run(backfill_id)
        backfill = await lock_backfill(self.session, backfill_id)
        await PipelineService(self.session, self.actor).find(backfill.pipeline_id)
        ended = backfill.state in (BackfillState.FAILED.value, BackfillState.CANCELLED.value)
        if run is None or not ended or not RunState(run.state).is_final:
            raise Conflict(
                "There is nothing to go on with: it runs, or has succeeded.",
                code="backfill_not_retryable",
                hint="Wait until it is over, or cancel it.",
            )
        await self._check_limits()
        await record(self.session, self.actor, "backfill.retried", "backfill", backfill_id)
        start = run.interval_start or backfill.interval_start
        if run.state == RunState.SUCCEEDED.value and run.interval_end is not None:
            # It was cancelled while its chunk came to its end.
            start = run.interval_end
        if start >= backfill.interval_end:
            backfill.state = BackfillState.SUCCEEDED.value
            await self.session.flush()
            return backfill
        backfill.state, backfill.finished_at = BackfillState.RUNNING.value, None
        version = await self.session.get_one(PipelineVersion, run.pipeline_version_id)
        await self._start(backfill, version, start)
        return backfill

    async def _start(
        self, backfill: Backfill, version: PipelineVersion, start: dt.datetime
    ) -> None:
        chunk = chunk_at(backfill, start)
        plan = await plan_chunk(self.session, backfill, version, chunk)
        await accept_chunk(self.session, self.actor, backfill, version, chunk, plan)
        await self.session.flush()

    async def _check_limits(self) -> None:
        reason = await reason_not_to_run(self.session, self.actor.org_id)
        if reason is not None:
            raise LimitReached(reason.message, code=reason.code, hint=reason.hint)

    async def _newest_run(self, backfill_id: int) -> Run | None:
        """The run that the backfill has come to, locked; it may end while the lock is waited for,
        and another follow it."""
        query = select(func.max(Run.id)).where(Run.backfill_id == backfill_id)
        while (newest := await self.session.scalar(query)) is not None:
            run = await lock_run(self.session, newest)
            if await self.session.scalar(query) == newest:
                return run
        return None

    async def _find(self, backfill_id: int) -> Backfill:
        found: Backfill | None = await self.session.scalar(
            select(Backfill).where(
                Backfill.org_id == self.actor.org_id,
                Backfill.id == backfill_id,
                Backfill.deleted_at.is_(None),
            )
        )
        if found is None:
            raise NotFound("There is no such backfill.", code="backfill_not_found")
        return found


def _check_chunks(start: dt.datetime, end: dt.datetime, chunk_seconds: int) -> int:
    """How many chunks there are; raises :class:`InvalidInput` for none and for too many."""
    if start >= end:
        raise InvalidInput(
            "The interval ends before it begins.", code="interval_empty", field="interval_end"
        )
    chunks = _chunks(start, end, chunk_seconds)
    if chunks > MAX_CHUNKS:
        raise InvalidInput(
            f"That would be {chunks:,} runs; a backfill has at most {MAX_CHUNKS:,}.",
            code="too_many_chunks",
            field="chunk_seconds",
            hint="Load more in one run, or a shorter interval.",
        )
    return chunks


def _chunks(start: dt.datetime, end: dt.datetime, chunk_seconds: int) -> int:
    return math.ceil((end - start).total_seconds() / chunk_seconds)
