"""Incremental cursors as versioned objects: where each is, where it has been, and rewinds.

The destination itself remembers the position that the next load starts from; here is its history.
A rewind is one more version. The next load that starts takes it, once, and says so in its own.
"""

from __future__ import annotations

import builtins
import datetime as dt
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.compiler.plan import target_table
from datanika.contracts.enums import StepKind, WriteDisposition
from datanika.contracts.events import CursorMoved
from datanika.contracts.spec import PipelineSpec, TableSpec
from datanika.contracts.steps import CursorRewind
from datanika.errors import InvalidInput, NotFound
from datanika.models import CursorVersion, PipelineVersion, Run
from datanika.services.actor import Actor
from datanika.services.audit_service import record
from datanika.services.paging import NEWEST, PageRequest, RowPage, fetch_page, sorts_of
from datanika.services.pipeline_service import PipelineService

SORTS = sorts_of(CursorVersion)
RUN, REWIND = "run", "rewind"
MAX_VALUE = 1000

CursorValue = str | int | float


@dataclass(frozen=True, slots=True)
class Cursor:
    """The cursor of one table of a pipeline's present specification. ``version`` is where it is,
    None before the first load; ``is_pending``: a rewind that no load has taken yet."""

    step_key: str
    target: str
    column: str
    write_disposition: WriteDisposition
    version: CursorVersion | None
    is_pending: bool


class CursorService:
    """Cursors of the pipelines of the actor's organisation."""

    def __init__(self, session: AsyncSession, actor: Actor) -> None:
        self.session = session
        self.actor = actor

    async def list(self, pipeline_id: int) -> list[Cursor]:
        """Each table that the pipeline loads incrementally, in the specification's order."""
        self.actor.require("cursor:read")
        return await self._cursors(pipeline_id)

    async def _cursors(self, pipeline_id: int) -> builtins.list[Cursor]:
        tables = await self._tables(pipeline_id)
        latest = await _latest(self.session, self.actor.org_id, pipeline_id)
        found = []
        for (step_key, target), table in tables.items():
            assert table.cursor is not None
            rewind, run = (latest.get((step_key, target, origin)) for origin in (REWIND, RUN))
            is_pending = rewind is not None and _taken(run) < rewind.number
            found.append(
                Cursor(
                    step_key=step_key,
                    target=target,
                    column=table.cursor.column,
                    write_disposition=table.write_disposition,
                    version=rewind if is_pending else run,
                    is_pending=is_pending,
                )
            )
        return found

    async def history(
        self, pipeline_id: int, step_key: str, target: str, page: PageRequest = NEWEST
    ) -> RowPage[CursorVersion]:
        """Every place that a cursor has been at, also of a table that is loaded no more."""
        self.actor.require("cursor:read")
        await PipelineService(self.session, self.actor).find(pipeline_id)
        query = select(CursorVersion).where(
            CursorVersion.org_id == self.actor.org_id,
            CursorVersion.pipeline_id == pipeline_id,
            CursorVersion.step_key == step_key,
            CursorVersion.target == target,
        )
        return await fetch_page(self.session, query, SORTS, page)

    async def rewind(
        self,
        pipeline_id: int,
        step_key: str,
        target: str,
        *,
        to_version: int | None = None,
        value: CursorValue | None = None,
        accept_duplicates: bool = False,
    ) -> CursorVersion:
        """Let the next load read again from an earlier version, or ``value``, or the start (None).

        A run that has begun goes on as it began. Raises :class:`NotFound` ``cursor_not_found`` and
        ``cursor_version_not_found``, :class:`InvalidInput` ``rewind_duplicates``,
        ``cursor_forward`` and ``cursor_value_invalid``.
        """
        self.actor.require("cursor:rewind")
        tables = await self._tables(pipeline_id)
        table = tables.get((step_key, target))
        if table is None or table.cursor is None:
            raise NotFound(
                "This pipeline has no such cursor.",
                code="cursor_not_found",
                hint="Its cursors are at /pipelines/{id}/cursors.",
            )
        if table.write_disposition is WriteDisposition.APPEND and not accept_duplicates:
            raise InvalidInput(
                "This table is appended to: rows that are read again would be there twice.",
                code="rewind_duplicates",
                field="accept_duplicates",
                hint="Load it with merge and a primary key; or delete those rows from the "
                "destination first, and say accept_duplicates.",
            )
        await _lock(self.session, pipeline_id, step_key, target)
        before = await self._present(pipeline_id, step_key, target)
        if to_version is not None:
            version = await self._version(pipeline_id, step_key, target, to_version)
            if version.cursor_column != table.cursor.column:
                raise InvalidInput(
                    f"In that version the cursor was the column {version.cursor_column}.",
                    code="cursor_value_invalid",
                    field="to_version",
                    hint="Give a value of its present column instead.",
                )
            state = dict(version.state)
        else:
            state = {"last": value}
        last = state.get("last")
        if last is not None:
            _check_back(last, before.value if before else None)
        version = await _append(
            self.session,
            self.actor.org_id,
            pipeline_id,
            step_key,
            target,
            column=table.cursor.column,
            value=None if last is None else str(last),
            state={key: item for key, item in state.items() if key in ("last", "seen")},
            origin=REWIND,
            moved_by=self.actor.user_id,
        )
        at = {"step": step_key, "target": target}
        await record(
            self.session, self.actor, "cursor.rewound", "pipeline", pipeline_id,
            old={**at, "value": before.value if before else None},
            new={**at, "value": version.value, "number": version.number},
        )  # fmt: skip
        return version

    async def _tables(self, pipeline_id: int) -> dict[tuple[str, str], TableSpec]:
        """The tables with a cursor by (step, target)."""
        pipeline = await PipelineService(self.session, self.actor).find(pipeline_id)
        version = await self.session.get_one(PipelineVersion, pipeline.current_version_id)
        found = {}
        for step in PipelineSpec.model_validate(version.spec).steps:
            if step.kind is StepKind.LOAD:
                for table in step.tables:
                    target = target_table(table)
                    if table.cursor is not None and target is not None:
                        found[step.key, target] = table
        return found

    async def _present(self, pipeline_id: int, step_key: str, target: str) -> CursorVersion | None:
        for cursor in await self._cursors(pipeline_id):
            if (cursor.step_key, cursor.target) == (step_key, target):
                return cursor.version
        return None

    async def _version(
        self, pipeline_id: int, step_key: str, target: str, number: int
    ) -> CursorVersion:
        version: CursorVersion | None = await self.session.scalar(
            select(CursorVersion).where(
                CursorVersion.org_id == self.actor.org_id,
                CursorVersion.pipeline_id == pipeline_id,
                CursorVersion.step_key == step_key,
                CursorVersion.target == target,
                CursorVersion.number == number,
            )
        )
        if version is None:
            raise NotFound(
                "This cursor has no such version.",
                code="cursor_version_not_found",
                hint="Its history has the numbers.",
            )
        return version


async def record_position(session: AsyncSession, run: Run, event: CursorMoved) -> None:
    """A load has committed. A position that is reported again is no new version."""
    await _lock(session, run.pipeline_id, event.step_key, event.target)
    last = await session.scalar(
        select(CursorVersion)
        .where(
            CursorVersion.org_id == run.org_id,
            CursorVersion.pipeline_id == run.pipeline_id,
            CursorVersion.step_key == event.step_key,
            CursorVersion.target == event.target,
            CursorVersion.origin == RUN,
        )
        .order_by(CursorVersion.number.desc())
        .limit(1)
    )
    if last is not None and (last.cursor_column, last.state) == (event.column, event.state):
        return
    await _append(
        session,
        run.org_id,
        run.pipeline_id,
        event.step_key,
        event.target,
        column=event.column,
        value=event.value,
        state=event.state,
        origin=RUN,
        run_id=run.id,
    )


async def load_rewinds(
    session: AsyncSession, org_id: int, pipeline_id: int, step_key: str
) -> tuple[CursorRewind, ...]:
    """The last rewind of each table of a step, for its next load."""
    latest = await _latest(session, org_id, pipeline_id)
    return tuple(
        CursorRewind(
            target=target,
            number=version.number,
            column=version.cursor_column,
            state=version.state,
        )
        for (step, target, origin), version in sorted(latest.items())
        if (step, origin) == (step_key, REWIND)
    )


async def _latest(
    session: AsyncSession, org_id: int, pipeline_id: int
) -> dict[tuple[str, str, str], CursorVersion]:
    """The last version of each origin of each cursor."""
    place = (CursorVersion.step_key, CursorVersion.target, CursorVersion.origin)
    query = (
        select(CursorVersion)
        .distinct(*place)
        .where(CursorVersion.org_id == org_id, CursorVersion.pipeline_id == pipeline_id)
        .order_by(*place, CursorVersion.number.desc())
    )
    return {(one.step_key, one.target, one.origin): one for one in await session.scalars(query)}


def _taken(run: CursorVersion | None) -> int:
    """The number of the last rewind that a load has taken."""
    taken = run.state.get("rewind", 0) if run is not None else 0
    return taken if isinstance(taken, int) else 0


async def _lock(session: AsyncSession, pipeline_id: int, step_key: str, target: str) -> None:
    """One writer of a cursor's history at a time, until the transaction ends."""
    key = f"cursor/{pipeline_id}/{step_key}/{target}"
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": key}
    )


async def _append(
    session: AsyncSession,
    org_id: int,
    pipeline_id: int,
    step_key: str,
    target: str,
    *,
    column: str,
    value: str | None,
    state: dict[str, Any],
    origin: str,
    run_id: int | None = None,
    moved_by: int | None = None,
) -> CursorVersion:
    number = await session.scalar(
        select(func.max(CursorVersion.number)).where(
            CursorVersion.org_id == org_id,
            CursorVersion.pipeline_id == pipeline_id,
            CursorVersion.step_key == step_key,
            CursorVersion.target == target,
        )
    )
    version = CursorVersion(
        org_id=org_id,
        pipeline_id=pipeline_id,
        step_key=step_key,
        target=target,
        number=(number or 0) + 1,
        cursor_column=column[:255],
        value=None if value is None else value[:MAX_VALUE],
        state=state,
        origin=origin,
        run_id=run_id,
        moved_by=moved_by,
    )
    session.add(version)
    await session.flush()
    return version


def _check_back(value: CursorValue, present: str | None) -> None:
    """``value`` must be of the kind of the present one, and not beyond it."""
    if present is None:
        return
    for read in (_number, _moment):
        now, then = read(present), read(str(value))
        if now is None:
            continue
        if then is None:
            raise InvalidInput(
                f"The cursor is at {present}: {value!r} is not a value of that kind.",
                code="cursor_value_invalid",
                field="value",
            )
        if then > now:
            raise _forward(present)
        return
    if str(value) > present:
        raise _forward(present)


def _forward(present: str) -> InvalidInput:
    return InvalidInput(
        f"The cursor is at {present}: a later value would leave rows out.",
        code="cursor_forward",
        field="value",
        hint="A rewind goes back. To load less, change the table's filter or initial value.",
    )


def _number(value: str) -> Any:
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _moment(value: str) -> Any:
    try:
        moment = dt.datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)
