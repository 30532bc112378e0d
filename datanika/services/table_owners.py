"""Which pipelines write which destination tables: who shares one should know.

Two connections may lead to one database, so a table is known by where it is, not by the connection.
Other organisations are not looked at here: what they load is theirs to know, and the destination
itself tells (``engines/dlt_engine/ownership.py``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.compiler.plan import target_table
from datanika.contracts.catalog import connector_kind
from datanika.contracts.enums import StepKind
from datanika.contracts.plan import Plan
from datanika.contracts.spec import PipelineSpec
from datanika.models import Connection, Organization, Pipeline, PipelineVersion

_PLACES = ("host", "port", "database", "account", "project", "dataset", "catalog", "path", "bucket")
"""Fields of a configuration that say where it leads, of all kinds."""
_Place = tuple[str, ...]
_Written = tuple[_Place, str, str]
"""(place, schema, table)"""


async def owner_name(session: AsyncSession, org_id: int) -> str:
    """A name of the organisation that no other has, in any installation, and that tells nothing."""
    query = select(Organization.created_at).where(Organization.id == org_id)
    created = (await session.scalars(query)).one()
    return hashlib.sha256(f"{org_id}:{created.isoformat()}".encode()).hexdigest()[:32]


async def shared_tables(
    session: AsyncSession, org_id: int, pipeline_id: int, plan: Plan
) -> tuple[str, ...]:
    """A sentence for each table of ``plan`` that another of the organisation's pipelines writes."""
    places = await _places(session, org_id)
    ours = set(_of_plan(plan, places))
    if not ours:
        return ()
    rows = await session.execute(
        select(Pipeline.name, PipelineVersion.spec)
        .join(PipelineVersion, PipelineVersion.id == Pipeline.current_version_id)
        .where(Pipeline.org_id == org_id, Pipeline.id != pipeline_id, Pipeline.deleted_at.is_(None))
        .order_by(Pipeline.name)
    )
    found: dict[_Written, list[str]] = {}
    for name, spec in rows:
        for written in ours.intersection(_of_spec(PipelineSpec.model_validate(spec), places)):
            found.setdefault(written, []).append(name)
    return tuple(
        f"{schema}.{table} is written by {_names(names)}, too: what one of them loads, the other "
        "may replace."
        for (_, schema, table), names in sorted(found.items())
    )


def _names(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def _of_spec(spec: PipelineSpec, places: Mapping[int, _Place]) -> Iterable[_Written]:
    for step in spec.steps:
        if step.kind is StepKind.LOAD and step.destination_id in places:
            for table in step.tables:
                target = target_table(table)
                if target is not None:
                    yield places[step.destination_id], step.target_schema, target


async def _places(session: AsyncSession, org_id: int) -> dict[int, _Place]:
    rows = await session.execute(
        select(Connection.id, Connection.kind, Connection.config).where(
            Connection.org_id == org_id, Connection.deleted_at.is_(None)
        )
    )
    return {row.id: _place(row.kind, row.id, row.config) for row in rows}


def _place(kind: str, connection_id: int, config: Mapping[str, Any]) -> _Place:
    """Where a connection leads; its own id where its configuration does not say."""
    fields = connector_kind(kind).config_schema.get("properties", {})
    given = {name: config.get(name, fields.get(name, {}).get("default")) for name in _PLACES}
    found = [f"{name}={str(value).lower()}" for name, value in given.items() if value]
    return (kind, *found) if found else (kind, f"connection={connection_id}")


def _of_plan(plan: Plan, places: Mapping[int, _Place]) -> Iterable[_Written]:
    for planned in plan.steps:
        if planned.kind is StepKind.LOAD and planned.destination.id in places:
            for table in planned.step.tables:
                place = places[planned.destination.id]
                yield place, planned.step.target_schema, str(table.target)
