"""What runs tell of lineage becomes edges: of a dbt node from its SQL, of a loaded table from its
plan and its columns. The caller's session is in the run's organisation."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from sqlalchemy import delete, insert, update
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.events import NodeFinished
from datanika.contracts.lineage import (
    ColumnLineage,
    LineageKind,
    SourceColumn,
    StatementLineage,
)
from datanika.contracts.plan import PlanLoad
from datanika.contracts.spec import TableSpec
from datanika.models import CatalogEntry, LineageEdge

MAX_EDGES = 20_000
"""Of one relation. More say nothing to anybody, and are what only hostile SQL has."""
_PLAIN = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
"""A name that dlt leaves as it is, whatever the naming convention."""


async def store_lineage(
    session: AsyncSession, entry: CatalogEntry, connection_id: int, lineage: StatementLineage
) -> None:
    """Replace what is known of ``entry``; the relations that it reads are in ``connection_id``."""
    rows = list(_edges(lineage))
    if len(rows) > MAX_EDGES:
        lineage = StatementLineage(
            columns=tuple(
                ColumnLineage(column=one.column, kind=LineageKind.UNKNOWN, reason="too many inputs")
                for one in lineage.columns
            ),
            rows=None,
            rows_reason="too many inputs",
            reads=lineage.reads[:MAX_EDGES],
            reason="too many inputs",
        )
        rows = list(_edges(lineage))
    await session.execute(delete(LineageEdge).where(LineageEdge.entry_id == entry.id))
    same: dict[str, Any] = {
        "org_id": entry.org_id,
        "entry_id": entry.id,
        "from_connection_id": connection_id,
    }
    if rows:
        await session.execute(insert(LineageEdge), [same | row for row in rows])
    await session.execute(
        update(CatalogEntry)
        .where(CatalogEntry.id == entry.id)
        .values(
            lineage={
                "columns": {
                    one.column: {"kind": one.kind.value, "reason": one.reason}
                    for one in lineage.columns
                },
                "rows_reason": lineage.rows_reason,
                "reason": lineage.reason,
            }
        )
    )


def _edges(lineage: StatementLineage) -> Iterable[dict[str, Any]]:
    for relation in lineage.reads:
        yield _edge(relation, None, None, "reads")
    for one in lineage.rows or ():
        yield _edge(one.relation, one.column, None, "rows")
    for column in lineage.columns:
        for one in column.inputs:
            yield _edge(one.relation, one.column, column.column, column.kind.value)
        for one in column.indirect:
            yield _edge(one.relation, one.column, column.column, "indirect")


def _edge(relation: str, source: str | None, target: str | None, kind: str) -> dict[str, Any]:
    schema, _, name = relation.partition(".")
    return {
        "from_schema": schema[:255],
        "from_name": name[:1000],
        "from_column": source and source[:255],
        "to_column": target and target[:255],
        "kind": kind,
    }


def lineage_of_load(planned: PlanLoad, event: NodeFinished) -> StatementLineage | None:
    """Of a loaded table: each column that has the name of one of the source is a copy of it.

    Where the name was changed, or the source's columns are not known, the column is unknown. None
    for a table that the plan does not have or that reported no columns.
    """
    table = next((t for t in planned.step.tables if (t.target or t.name) == event.name), None)
    if table is None or not event.columns:
        return None
    relation = f"{planned.step.source_schema or ''}.{table.name}"
    sources = [column.name for column in event.source_columns]
    folded = Counter(re.sub(r"[^a-z0-9]", "", name.lower()) for name in sources)
    columns = []
    for column in event.columns:
        name = column.name
        if name.startswith("_dlt_"):
            columns.append(_unknown(name, "made by dlt"))
        elif name in sources and _PLAIN.fullmatch(name) and folded[name.replace("_", "")] == 1:
            hidden = name in {*table.hash, *(mask.column for mask in table.mask)}
            kind = LineageKind.TRANSFORMED if hidden else LineageKind.COPY
            source = SourceColumn(relation=relation, column=name)
            columns.append(ColumnLineage(column=name, kind=kind, inputs=(source,)))
        else:
            columns.append(_unknown(name, "no column of the source has this name"))
    rows = tuple(SourceColumn(relation=relation, column=name) for name in _deciding(table))
    return StatementLineage(columns=tuple(columns), rows=rows, reads=(relation,))


def _deciding(table: TableSpec) -> list[str]:
    """Columns of the source that decide which rows there are."""
    cursor = [table.cursor.column] if table.cursor else []
    deleted = [table.delete_column] if table.delete_column else []
    names = [*(one.column for one in table.filters), *cursor, *deleted, *table.primary_key]
    return sorted({str(name) for name in names})


def _unknown(column: str, reason: str) -> ColumnLineage:
    return ColumnLineage(column=column, kind=LineageKind.UNKNOWN, reason=reason)
