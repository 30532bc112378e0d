"""What is new about a run since the last look, as the events of its stream.

Log lines are exact: writers hold the run's lock, so their ids rise in the order of the commits, and
a look that follows an id leaves none out and gives none twice. Steps and the run are states: a look
gives those that changed as they are now, and what they were in between may never be told.

The id of an event is the last line's, and a digest of the states that the reader has then. Who
goes on from it gets the states again only if one has changed since.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, literal_column, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from datanika.contracts.api import (
    LogArrived,
    LogOut,
    RunChanged,
    RunEnded,
    RunOut,
    RunStepOut,
    StepChanged,
    StreamedEvent,
)
from datanika.errors import NotFound
from datanika.models import Run, RunLog, RunStep
from datanika.services.actor import Actor

LINES = 500
"""Log lines of one look."""

# The transaction that wrote the row. `updated_at` is when one began, which is no order.
_VERSION: ColumnElement[int] = literal_column("run_steps.xmin")


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found, in the order to send it in."""

    events: Sequence[StreamedEvent]
    is_over: bool = False
    """The run has ended, and there is no more to tell."""
    has_more: bool = False
    """There were too many log lines for one look: do not wait."""


class RunStream:
    """A reader's place in the stream of one run. It holds no session.

    :param after: the id of the last event that the reader has, or of the last log line; None for
        the beginning.
    """

    def __init__(self, run_id: int, after: str | None = None) -> None:
        self.run_id = run_id
        line, _, self._digest = (after or "0").partition("-")
        self._line = int(line)
        self._steps: dict[int, int] = {}
        self._state: tuple[str, int] | None = None
        self._resumed = bool(self._digest)

    async def look(self, session: AsyncSession, actor: Actor) -> Look:
        """What is new; raises :class:`NotFound` and :class:`PermissionDenied`."""
        actor.require("run:read")
        # Read first: what ends a run is committed after its last line and its last step.
        run = await self._run(session, actor)
        lines = await self._lines(session)
        events: list[StreamedEvent] = []
        for line in lines:
            self._line = line.id
            events.append(LogArrived(id=self._id(), data=LogOut.model_validate(line)))
        if len(lines) == LINES:
            return Look(events, has_more=True)
        query = select(RunStep.id, _VERSION).where(RunStep.run_id == self.run_id)
        versions = {row[0]: row[1] for row in await session.execute(query)}
        state = (run.state, run.attempt)
        digest = _digest(versions, state)
        answer = RunOut.model_validate(run)
        if not self._resumed or digest != self._digest:
            changed = [key for key, version in versions.items() if self._steps.get(key) != version]
            events += await self._changed_steps(session, changed)
            if state != self._state:
                events.append(RunChanged(id=self._id(), data=answer))
            self._digest = digest
            if events:
                # Only who has all of them has the new states.
                events[-1].id = self._id()
        self._steps, self._state, self._resumed = versions, state, False
        if answer.state.is_final:
            events.append(RunEnded(id=self._id(), data=answer))
        return Look(events, is_over=answer.state.is_final)

    def _id(self) -> str:
        return f"{self._line}-{self._digest}" if self._digest else str(self._line)

    async def _run(self, session: AsyncSession, actor: Actor) -> Run:
        query = select(Run).where(
            Run.org_id == actor.org_id, Run.id == self.run_id, Run.deleted_at.is_(None)
        )
        run = await session.scalar(query.options(defer(Run.plan, raiseload=True)))
        if run is None:
            raise NotFound("There is no such run.", code="run_not_found")
        return run

    async def _lines(self, session: AsyncSession) -> Sequence[RunLog]:
        query = (
            select(RunLog)
            .where(RunLog.run_id == self.run_id, RunLog.id > self._line)
            .order_by(RunLog.id)
            .limit(LINES)
        )
        return (await session.scalars(query)).all()

    async def _changed_steps(
        self, session: AsyncSession, changed: Sequence[int]
    ) -> list[StreamedEvent]:
        if not changed:
            return []
        query = select(RunStep).where(RunStep.id.in_(changed)).order_by(RunStep.id)
        return [
            StepChanged(id=self._id(), data=RunStepOut.model_validate(step))
            for step in await session.scalars(query)
        ]


def _digest(versions: dict[int, int], state: tuple[str, int]) -> str:
    told = repr((sorted(versions.items()), state))
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()
