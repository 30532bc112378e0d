"""The organisation's whole lineage by tables, in pages that a browser can draw as they come."""

from __future__ import annotations

from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.api.lineage import LineageMapOut, LineageReadOut, LineageTableOut
from datanika.models import CatalogEntry, LineageEdge
from datanika.services.actor import Actor
from datanika.services.lineage_service import Node

MAX_TABLES = 2000
"""Entries on a page, at most."""


async def lineage_map(
    session: AsyncSession, actor: Actor, after: int = 0, limit: int = MAX_TABLES
) -> LineageMapOut:
    """Entries with an id beyond ``after``, and what goes into them."""
    actor.require("catalog:read")
    rows = (
        await session.execute(
            select(
                CatalogEntry.id,
                CatalogEntry.connection_id,
                CatalogEntry.schema_name,
                CatalogEntry.name,
                CatalogEntry.kind,
                func.jsonb_array_length(CatalogEntry.columns),
            )
            .where(
                CatalogEntry.org_id == actor.org_id,
                CatalogEntry.deleted_at.is_(None),
                CatalogEntry.id > after,
            )
            .order_by(CatalogEntry.id)
            .limit(limit + 1)
        )
    ).all()
    shown = rows[:limit]
    keys = {row[0]: Node((row[1], row[2], row[3])).key for row in shown}
    tables = {
        keys[row[0]]: LineageTableOut(
            key=keys[row[0]],
            entry_id=row[0],
            connection_id=row[1],
            schema_name=row[2],
            name=row[3],
            kind=row[4],
            columns=row[5],
        )
        for row in shown
    }
    reads = []
    for target, connection_id, schema, name, known in await _reads(session, actor, keys):
        source = Node((connection_id, schema, name)).key
        reads.append(LineageReadOut(source=source, target=keys[target]))
        if known is None:
            tables[source] = LineageTableOut(
                key=source,
                entry_id=None,
                connection_id=connection_id,
                schema_name=schema,
                name=name,
                kind="source",
                columns=0,
            )
    return LineageMapOut(
        tables=list(tables.values()),
        reads=reads,
        next_after=shown[-1][0] if len(rows) > limit else None,
    )


async def _reads(
    session: AsyncSession, actor: Actor, entry_ids: dict[int, str]
) -> list[tuple[int, int, str, str, int | None]]:
    """(entry, connection, schema, name, entry of what is read or None)"""
    if not entry_ids:
        return []
    edge = LineageEdge
    rows = await session.execute(
        select(
            edge.entry_id, edge.from_connection_id, edge.from_schema, edge.from_name,
            CatalogEntry.id,
        )
        .outerjoin(
            CatalogEntry,
            and_(
                CatalogEntry.org_id == edge.org_id,
                CatalogEntry.connection_id == edge.from_connection_id,
                CatalogEntry.schema_name == edge.from_schema,
                CatalogEntry.name == edge.from_name,
                CatalogEntry.deleted_at.is_(None),
            ),
        )
        .where(
            edge.org_id == actor.org_id,
            edge.kind == "reads",
            edge.entry_id.between(min(entry_ids), max(entry_ids)),
        )
        .order_by(edge.id)
    )  # fmt: skip
    return [tuple(row) for row in rows if row[0] in entry_ids]
