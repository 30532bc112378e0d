"""What stands beside a transformation: what it reads, what reads it, which pipelines build it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Text, cast, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.compiler.jinja_guard import check_template
from datanika.compiler.packages import PACKAGES, packages_of
from datanika.compiler.project import source_places
from datanika.compiler.references import References, read_references
from datanika.contracts.spec import TransformationSpec
from datanika.errors import GuardRefused
from datanika.models import CatalogEntry, Pipeline, PipelineVersion, Transformation
from datanika.services.actor import Actor


@dataclass(frozen=True, slots=True)
class Neighbour:
    """``id``: of the transformation, or, where ``kind`` is ``table``, of the catalog entry; None
    for what is named and is nowhere."""

    name: str
    kind: str
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    parents: tuple[Neighbour, ...] = ()
    children: tuple[Neighbour, ...] = ()


@dataclass(frozen=True, slots=True)
class Runner:
    """A step of a pipeline that dbt works in at the transformation's destination."""

    pipeline_id: int
    pipeline: str
    step: str


async def neighbourhood(session: AsyncSession, actor: Actor, row: Transformation) -> Neighbourhood:
    """One step away. Only texts in which the name stands are parsed, so that a project of hundreds
    of models answers at once."""
    actor.require("transformation:read")
    near = await session.execute(
        select(Transformation.id, Transformation.name, Transformation.spec).where(
            Transformation.org_id == actor.org_id,
            Transformation.destination_id == row.destination_id,
            Transformation.deleted_at.is_(None),
            or_(
                Transformation.id == row.id,
                Transformation.kind.in_(("macro", "source", "project")),
                cast(Transformation.spec, Text).contains(row.name, autoescape=True),
            ),
        )
    )
    ids: dict[str, int] = {}
    specs: dict[str, TransformationSpec] = {}
    for one_id, name, spec in near:
        ids[name], specs[name] = one_id, TransformationSpec.model_validate(spec)
    references = _direct(specs)
    own = references[row.name]
    known = await _ids(session, actor, row.destination_id, own.refs)
    places = source_places(specs.values())
    tables = [places.get(source, source) for source in own.sources]
    entries = await _entries(session, actor, row.destination_id, tables)
    parents = [Neighbour(name, *known.get(name, ("missing", None))) for name in own.refs]
    parents += [
        Neighbour(f"{schema}.{table}", "table", entries.get((schema, table)))
        for schema, table in tables
    ]
    parents += [Neighbour(name, "macro", ids[name]) for name in own.macros if name in ids]
    children = [
        Neighbour(name, specs[name].kind, ids[name])
        for name, found in sorted(references.items())
        if name != row.name and row.name in (*found.refs, *found.macros)
    ]
    return Neighbourhood(tuple(parents), tuple(children))


def _direct(specs: Mapping[str, TransformationSpec]) -> dict[str, References]:
    """What each names itself. One that the guard refuses, an old rule's child, names nothing."""
    macros = macro_names(specs.values())
    found = {}
    for name, spec in specs.items():
        if spec.exposure is not None:
            found[name] = References(spec.exposure.refs, spec.exposure.sources)
            continue
        try:
            tree = check_template(
                spec.sql, field="sql", macros=macros, defines_macros=spec.kind == "macro"
            )
        except GuardRefused:
            found[name] = References()
        else:
            found[name] = read_references(tree) if spec.kind != "seed" else References()
    return found


def macro_names(specs: Iterable[TransformationSpec]) -> frozenset[str]:
    """What templates beside ``specs`` may call: own macros and those of packages in use."""
    known = list(specs)
    return frozenset(one.name for one in known if one.kind == "macro") | frozenset(
        f"{name}.{macro}" for name in packages_of(known) for macro in PACKAGES[name].macros
    )


async def callable_macros(
    session: AsyncSession, actor: Actor, destination_id: int
) -> frozenset[str]:
    """What templates of the destination's project may call."""
    actor.require("transformation:read")
    specs = await session.scalars(
        select(Transformation.spec).where(
            Transformation.org_id == actor.org_id,
            Transformation.destination_id == destination_id,
            Transformation.kind.in_(("macro", "project")),
            Transformation.deleted_at.is_(None),
        )
    )
    return macro_names(TransformationSpec.model_validate(spec) for spec in specs)


async def runners(session: AsyncSession, actor: Actor, destination_id: int) -> tuple[Runner, ...]:
    """By the pipeline's name."""
    actor.require("pipeline:read")
    rows = await session.execute(
        select(Pipeline.id, Pipeline.name, PipelineVersion.spec)
        .join(PipelineVersion, PipelineVersion.id == Pipeline.current_version_id)
        .where(Pipeline.org_id == actor.org_id, Pipeline.deleted_at.is_(None))
        .order_by(Pipeline.name)
    )
    return tuple(
        Runner(pipeline_id, name, step["key"])
        for pipeline_id, name, spec in rows
        for step in spec["steps"]
        if step["kind"] == "transform" and step["destination_id"] == destination_id
    )


async def _ids(
    session: AsyncSession, actor: Actor, destination_id: int, names: Iterable[str]
) -> dict[str, tuple[str, int | None]]:
    rows = await session.execute(
        select(Transformation.name, Transformation.kind, Transformation.id).where(
            Transformation.org_id == actor.org_id,
            Transformation.destination_id == destination_id,
            Transformation.name.in_(list(names)),
            Transformation.deleted_at.is_(None),
        )
    )
    return {name: (kind, one_id) for name, kind, one_id in rows}


async def _entries(
    session: AsyncSession, actor: Actor, connection_id: int, tables: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], int]:
    wanted = list(tables)
    rows = await session.execute(
        select(CatalogEntry.schema_name, CatalogEntry.name, CatalogEntry.id).where(
            CatalogEntry.org_id == actor.org_id,
            CatalogEntry.connection_id == connection_id,
            CatalogEntry.name.in_([table for _, table in wanted]),
            CatalogEntry.deleted_at.is_(None),
        )
    )
    return {(schema, name): one_id for schema, name, one_id in rows if (schema, name) in wanted}
