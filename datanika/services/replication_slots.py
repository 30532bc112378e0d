"""Which replication slots the pipelines use, and what a worker has to do about the others."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import BigInteger, Row, func, literal, select
from sqlalchemy.dialects.postgresql import JSONPATH
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.expression import ColumnElement, cast

from datanika.contracts.ad_hoc import KnownSlot, SlotsAction
from datanika.contracts.cdc import pipeline_key, slot_name, steps_with_changes
from datanika.contracts.enums import RunState
from datanika.contracts.events import utcnow
from datanika.errors import NotFound
from datanika.models import Organization, Pipeline, PipelineVersion, Run, SlotRelease
from datanika.services.connection_service import resolve_connection
from datanika.services.slot_releases import SOON, waiting
from datanika.services.table_owners import owner_name

_OPEN = tuple(state.value for state in RunState if not state.is_final)


async def known_slots(
    session: AsyncSession, org_id: int, connection_id: int
) -> tuple[KnownSlot, ...]:
    """Every slot that a step of the organisation has, or may have had, at the connection."""
    owner = await owner_name(session, org_id)
    used, had = await _used(session, org_id), set[tuple[int, str]]()
    rows = await session.execute(
        select(PipelineVersion.pipeline_id, PipelineVersion.spec).where(
            PipelineVersion.org_id == org_id, _reads_changes_of(connection_id)
        )
    )
    for pipeline_id, spec in rows:
        for key, source in steps_with_changes(spec["steps"]):
            if source == connection_id:
                had.add((pipeline_id, key))
    return tuple(
        KnownSlot(
            name=slot_name(owner, pipeline_key(pipeline_id, key)),
            pipeline_id=pipeline_id,
            step_key=key,
            is_used=connection_id in used.get((pipeline_id, key), set()),
            elsewhere=tuple(sorted(used.get((pipeline_id, key), set()) - {connection_id})),
        )
        for pipeline_id, key in sorted(had)
    )


async def slots_action(
    session: AsyncSession, org_id: int, connection_id: int, *, drop: bool
) -> SlotsAction:
    """What to look at, or to drop, with the credentials it takes."""
    known = await known_slots(session, org_id, connection_id)
    return await _action(session, org_id, connection_id, known, drop=drop)


async def _action(
    session: AsyncSession,
    org_id: int,
    connection_id: int,
    known: tuple[KnownSlot, ...],
    *,
    drop: bool,
) -> SlotsAction:
    others = sorted({number for one in known for number in one.elsewhere}) if drop else []
    return SlotsAction(
        connection=await resolve_connection(session, org_id, connection_id),
        known=known,
        others=tuple([await resolve_connection(session, org_id, number) for number in others]),
        drop=drop,
    )


def _reads_changes_of(connection_id: int) -> ColumnElement[bool]:
    path = '$.steps[*] ? (@.source_id == $id && exists(@.tables[*] ? (@.sync == "cdc")))'
    return func.jsonb_path_exists(
        PipelineVersion.spec,
        cast(path, JSONPATH),
        func.jsonb_build_object("id", literal(connection_id, BigInteger)),
    )


async def _used(session: AsyncSession, org_id: int) -> dict[tuple[int, str], set[int]]:
    """(pipeline, step) -> connections whose log it reads: as it is now, and as what runs has it."""
    running = await session.execute(
        select(Run.pipeline_id, Run.plan["steps"]).where(
            Run.org_id == org_id, Run.state.in_(_OPEN), Run.deleted_at.is_(None)
        )
    )
    used: dict[tuple[int, str], set[int]] = {}
    for pipeline_id, steps in (*await _current(session, org_id), *running.all()):
        for key, source in steps_with_changes(steps):
            used.setdefault((pipeline_id, key), set()).add(source)
    return used


async def _current(session: AsyncSession, org_id: int) -> Sequence[Row[tuple[int, Any]]]:
    """(pipeline, its steps) of all that there are now."""
    rows = await session.execute(
        select(Pipeline.id, PipelineVersion.spec["steps"])
        .join(PipelineVersion, PipelineVersion.id == Pipeline.current_version_id)
        .join(Organization, Organization.id == Pipeline.org_id)
        .where(
            Pipeline.org_id == org_id,
            Pipeline.deleted_at.is_(None),
            Organization.deleted_at.is_(None),
        )
    )
    return rows.all()


async def prepare(
    session: AsyncSession, org_id: int, connection_id: int
) -> tuple[SlotsAction | None, Collection[int]]:
    """What a worker has to do for a connection, and the releases that it does. What is used again
    is dropped from the list; what a run still uses waits. System scope."""
    rows = await waiting(session, org_id, connection_id)
    known = {one.name: one for one in await known_slots(session, org_id, connection_id)}
    current = {
        (pipeline_id, key, source)
        for pipeline_id, steps in await _current(session, org_id)
        for key, source in steps_with_changes(steps)
    }
    todo: list[SlotRelease] = []
    for row in rows:
        if (row.pipeline_id, row.step_key, connection_id) in current or row.slot not in known:
            await session.delete(row)
        elif known[row.slot].is_used:
            row.next_attempt_at = utcnow() + SOON
        else:
            todo.append(row)
    await session.flush()
    if not todo:
        return None, ()
    wanted = tuple(known[row.slot] for row in todo)
    try:
        action = await _action(session, org_id, connection_id, wanted, drop=True)
    except NotFound:
        # A deleted connection has no credentials any more: see ConnectionService.delete.
        for row in todo:
            await session.delete(row)
        return None, ()
    return action, [row.id for row in todo]
