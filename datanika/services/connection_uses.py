"""What uses a connection: steps of the pipelines as they are now, and transformations."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import BigInteger, cast, column, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.models import Pipeline, PipelineVersion, Transformation

Role = Literal["source", "destination"]


@dataclass(frozen=True, slots=True)
class ConnectionUse:
    """One pipeline or transformation, and what the connection is to it."""

    kind: Literal["pipeline", "transformation"]
    id: int
    name: str
    roles: tuple[Role, ...]


async def uses_of(
    session: AsyncSession, org_id: int, connection_ids: Collection[int]
) -> dict[int, list[ConnectionUse]]:
    """What uses each of the connections; pipelines first, by name. Two queries, however many.

    For a caller that has checked its own permission.
    """
    found: dict[int, list[ConnectionUse]] = {one: [] for one in connection_ids}
    if not found:
        return found
    steps = func.jsonb_array_elements(PipelineVersion.spec["steps"]).table_valued(
        column("value", JSONB), joins_implicitly=True
    )
    source = cast(steps.c.value["source_id"].astext, BigInteger)
    destination = cast(steps.c.value["destination_id"].astext, BigInteger)
    rows = await session.execute(
        select(Pipeline.id, Pipeline.name, source, destination)
        .join(PipelineVersion, PipelineVersion.id == Pipeline.current_version_id)
        .where(
            Pipeline.org_id == org_id,
            Pipeline.deleted_at.is_(None),
            source.in_(found) | destination.in_(found),
        )
        .order_by(Pipeline.name, Pipeline.id)
    )
    names: dict[int, str] = {}
    roles: dict[tuple[int, int], set[Role]] = {}
    for pipeline_id, name, source_id, destination_id in rows:
        names[pipeline_id] = name
        if source_id in found:
            roles.setdefault((source_id, pipeline_id), set()).add("source")
        if destination_id in found:
            roles.setdefault((destination_id, pipeline_id), set()).add("destination")
    for (connection_id, pipeline_id), each in roles.items():
        ordered: tuple[Role, ...] = tuple(sorted(each, reverse=True))
        found[connection_id].append(
            ConnectionUse("pipeline", pipeline_id, names[pipeline_id], ordered)
        )
    transformations = await session.execute(
        select(Transformation.id, Transformation.name, Transformation.destination_id)
        .where(
            Transformation.org_id == org_id,
            Transformation.deleted_at.is_(None),
            Transformation.destination_id.in_(found),
        )
        .order_by(Transformation.name, Transformation.id)
    )
    for transformation_id, name, connection_id in transformations:
        found[connection_id].append(
            ConnectionUse("transformation", transformation_id, name, ("destination",))
        )
    return found
