"""What the runs have told of a table beyond its columns: tests, rows, changes, what made it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Text, cast, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.spec import TransformationSpec
from datanika.models import (
    CatalogEntry,
    Connection,
    Pipeline,
    PipelineVersion,
    Run,
    RunStep,
    Transformation,
    User,
)
from datanika.services.actor import Actor
from datanika.services.event_store import SCHEMA_CHANGES

RECENT_RUNS = 30
"""How many runs of its pipeline are looked at."""
MAX_TESTS = 200


@dataclass(frozen=True, slots=True)
class TestState:
    """The last result of a test."""

    __test__ = False

    name: str
    state: str
    run_id: int
    at: dt.datetime | None
    message: str


@dataclass(frozen=True, slots=True)
class Built:
    """One time that the table was loaded or built."""

    run_id: int
    at: dt.datetime | None
    state: str
    rows: int | None
    changes: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """``transformation_id`` and ``spec`` where a transformation makes the table; ``described``:
    column -> description."""

    connection: str = ""
    pipeline_id: int | None = None
    pipeline: str = ""
    step: str = ""
    owner: str = ""
    transformation_id: int | None = None
    spec: TransformationSpec | None = None
    description: str = ""
    tags: tuple[str, ...] = ()
    described: Mapping[str, str] = field(default_factory=dict)
    tests: tuple[TestState, ...] = ()
    built: tuple[Built, ...] = ()


async def facts_of(session: AsyncSession, actor: Actor, entry: CatalogEntry) -> Facts:
    """Everything for the page of ``entry``; the newest of ``built`` is the last."""
    actor.require("catalog:read")
    connection = await session.get(Connection, entry.connection_id)
    transformation_id, spec = await _maker(session, actor, entry)
    description, tags, described = _words(spec)
    if spec is None:
        description, tags, described = await _words_of_source(session, actor, entry)
    run = await session.get(Run, entry.run_id) if entry.run_id else None
    pipeline = await session.get(Pipeline, run.pipeline_id) if run else None
    common: dict[str, Any] = {
        "connection": connection.name if connection else "",
        "transformation_id": transformation_id,
        "spec": spec,
        "description": description,
        "tags": tags,
        "described": described,
        "owner": str(spec.meta.get("owner") or "") if spec else "",
    }
    if run is None or pipeline is None:
        return Facts(**common)
    author = await session.scalar(
        select(User.email)
        .join(PipelineVersion, PipelineVersion.created_by == User.id)
        .where(PipelineVersion.id == run.pipeline_version_id)
    )
    recent = (
        select(Run.id)
        .where(Run.org_id == actor.org_id, Run.pipeline_id == run.pipeline_id)
        .order_by(Run.id.desc())
        .limit(RECENT_RUNS)
    )
    steps = (
        await session.scalars(
            select(RunStep)
            .where(
                RunStep.run_id.in_(recent),
                RunStep.relation == f"{entry.schema_name}.{entry.name}",
                RunStep.kind != "test",
            )
            .order_by(RunStep.run_id)
        )
    ).all()
    common["owner"] = common["owner"] or author or ""
    last = steps[-1] if steps else None
    return Facts(
        **common,
        pipeline_id=pipeline.id,
        pipeline=pipeline.name,
        step=last.step_key if last else "",
        tests=await _tests(session, actor, entry, last, run.pipeline_id) if last else (),
        built=_built(steps),
    )


def _built(steps: Sequence[RunStep]) -> tuple[Built, ...]:
    return tuple(
        Built(
            step.run_id,
            step.finished_at,
            step.state,
            step.rows,
            tuple(step.details.get(SCHEMA_CHANGES) or ()),
        )
        for step in steps
    )


async def _maker(
    session: AsyncSession, actor: Actor, entry: CatalogEntry
) -> tuple[int | None, TransformationSpec | None]:
    """The transformation whose relation has the entry's name."""
    alias = Transformation.spec["alias"].as_string()
    row = (
        await session.execute(
            select(Transformation.id, Transformation.spec).where(
                Transformation.org_id == actor.org_id,
                Transformation.destination_id == entry.connection_id,
                Transformation.kind.in_(("model", "seed", "snapshot")),
                func.coalesce(alias, Transformation.name) == entry.name,
                Transformation.deleted_at.is_(None),
            )
        )
    ).first()
    if row is None:
        return None, None
    spec = TransformationSpec.model_validate(row.spec)
    if spec.target_schema is not None and not entry.schema_name.endswith(spec.target_schema):
        return None, None
    return row.id, spec


def _words(
    spec: TransformationSpec | None,
) -> tuple[str, tuple[str, ...], dict[str, str]]:
    if spec is None:
        return "", (), {}
    return spec.description, spec.tags, {one.name: one.description for one in spec.columns}


async def _words_of_source(
    session: AsyncSession, actor: Actor, entry: CatalogEntry
) -> tuple[str, tuple[str, ...], dict[str, str]]:
    """What a transformation of the kind source says of a loaded table."""
    specs = await session.scalars(
        select(Transformation.spec).where(
            Transformation.org_id == actor.org_id,
            Transformation.destination_id == entry.connection_id,
            Transformation.kind == "source",
            Transformation.deleted_at.is_(None),
        )
    )
    for one in specs:
        source = TransformationSpec.model_validate(one).source
        if source is None or (source.schema_name or source.source) != entry.schema_name:
            continue
        for table in source.tables:
            if (table.identifier or table.name) == entry.name:
                described = {column.name: column.description for column in table.columns}
                return table.description, table.tags, described
    return "", (), {}


async def _tests(
    session: AsyncSession, actor: Actor, entry: CatalogEntry, step: RunStep, pipeline_id: int
) -> tuple[TestState, ...]:
    """The last result of every test that reads the table, failures first."""
    # dbt calls a loaded table source.<project>.<schema>.<table>.
    name = step.node if "." in step.node and step.kind != "table" else ""
    reads = f'"{name}"' if name else f'.{entry.schema_name}.{entry.name}"'
    recent = (
        select(Run.id)
        .where(Run.org_id == actor.org_id, Run.pipeline_id == pipeline_id)
        .order_by(Run.id.desc())
        .limit(RECENT_RUNS)
    )
    rows = await session.scalars(
        select(RunStep)
        .distinct(RunStep.node)
        .where(
            RunStep.run_id.in_(recent),
            RunStep.kind.in_(("test", "unit_test")),
            cast(RunStep.depends_on, Text).contains(reads, autoescape=True),
        )
        .order_by(RunStep.node, RunStep.run_id.desc())
        .limit(MAX_TESTS)
    )
    found = [
        TestState(row.name, row.state, row.run_id, row.finished_at, row.error_message or "")
        for row in rows
    ]
    order = {"failed": 0, "warned": 1}
    return tuple(sorted(found, key=lambda one: (order.get(one.state, 2), one.name)))
