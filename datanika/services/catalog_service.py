"""What exists in the destinations, as the runs reported it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Text, cast, exists, func, select, update
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH, insert
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.docs import EntryCheck
from datanika.contracts.events import ColumnInfo, NodeFinished
from datanika.errors import NotFound
from datanika.models import CatalogEntry, Transformation
from datanika.services.actor import Actor
from datanika.services.paging import (
    OLDEST,
    PageRequest,
    RowPage,
    contains,
    fetch_page,
    rows_of,
    sorts_of,
)

FRESHNESS = ":freshness"
"""Name of an entry's check that is no test's, and that no test can have."""
SORTS = sorts_of(CatalogEntry, "schema_name", "name", "updated_at")


class CatalogService:
    """An organisation's tables and views."""

    def __init__(self, session: AsyncSession, actor: Actor) -> None:
        self.session = session
        self.actor = actor

    async def list(
        self,
        page: PageRequest = OLDEST,
        *,
        connection_id: int | None = None,
        schema_name: str | None = None,
        kind: str | None = None,
        search: str | None = None,
    ) -> RowPage[CatalogEntry]:
        """The organisation's tables and views; ``search`` is a part of the name of one or of
        one of its columns, or of what its transformation says: description, tags, columns'
        descriptions."""
        self.actor.require("catalog:read")
        query = rows_of(CatalogEntry).where(
            CatalogEntry.org_id == self.actor.org_id, CatalogEntry.deleted_at.is_(None)
        )
        if connection_id is not None:
            query = query.where(CatalogEntry.connection_id == connection_id)
        if schema_name is not None:
            query = query.where(CatalogEntry.schema_name == schema_name)
        if kind is not None:
            query = query.where(CatalogEntry.kind == kind)
        if search is not None:
            names = func.jsonb_path_query_array(CatalogEntry.columns, cast("$[*].name", JSONPATH))
            query = query.where(
                contains(CatalogEntry.name, search)
                | contains(cast(names, Text), search)
                | _is_described(search)
            )
        return await fetch_page(self.session, query, SORTS, page)

    async def places(self) -> Sequence[tuple[str, str]]:
        """Every (schema, kind) that there is, sorted: what a list can be narrowed to."""
        self.actor.require("catalog:read")
        rows = await self.session.execute(
            select(CatalogEntry.schema_name, CatalogEntry.kind)
            .where(CatalogEntry.org_id == self.actor.org_id, CatalogEntry.deleted_at.is_(None))
            .distinct()
            .order_by(CatalogEntry.schema_name, CatalogEntry.kind)
        )
        return [(schema, kind) for schema, kind in rows]

    async def built_by(self, row: Transformation) -> CatalogEntry | None:
        """What the transformation built last; None of one that was not built, or builds none."""
        self.actor.require("catalog:read")
        found: CatalogEntry | None = await self.session.scalar(
            select(CatalogEntry)
            .where(
                CatalogEntry.org_id == self.actor.org_id,
                CatalogEntry.connection_id == row.destination_id,
                CatalogEntry.name == (row.spec.get("alias") or row.name),
                CatalogEntry.deleted_at.is_(None),
            )
            .order_by(CatalogEntry.refreshed_at.desc().nulls_last())
            .limit(1)
        )
        return found

    async def get(self, entry_id: int) -> CatalogEntry:
        """Raises :class:`NotFound`, also for another organisation's entry."""
        self.actor.require("catalog:read")
        entry = await self.session.scalar(
            select(CatalogEntry).where(
                CatalogEntry.id == entry_id,
                CatalogEntry.org_id == self.actor.org_id,
                CatalogEntry.deleted_at.is_(None),
            )
        )
        if entry is None:
            raise NotFound("There is no such catalog entry.", code="catalog_entry_not_found")
        return entry


def _is_described(search: str) -> ColumnElement[bool]:
    """Whether the transformation that makes an entry has ``search`` in its words."""
    spec = Transformation.spec
    paths = ("$.description", "$.tags[*]", "$.columns[*].description")
    said = func.concat_ws(
        " ",
        *(cast(func.jsonb_path_query_array(spec, cast(path, JSONPATH)), Text) for path in paths),
    )
    return exists().where(
        Transformation.org_id == CatalogEntry.org_id,
        Transformation.destination_id == CatalogEntry.connection_id,
        Transformation.kind.in_(("model", "seed", "snapshot")),
        func.coalesce(spec["alias"].as_string(), Transformation.name) == CatalogEntry.name,
        Transformation.deleted_at.is_(None),
        contains(said, search),
    )


async def record_catalog_entry(
    session: AsyncSession, org_id: int, connection_id: int, event: NodeFinished, run_id: int | None
) -> CatalogEntry | None:
    """Make or refresh the entry of the relation that a node left in the destination.

    None for a node without one (a test, an ephemeral model). ``org_id`` was proven by the run's
    token. A report without columns or rows keeps those that are known.
    """
    if event.relation is None:
        return None
    schema_name, _, name = event.relation.partition(".")
    reported: dict[str, Any] = {
        "kind": str(event.details.get("materialized") or event.resource_type)[:16],
        "upstream": list(event.depends_on),
        "run_id": run_id,
        "refreshed_at": event.at,
        "deleted_at": None,
    }
    if event.columns:
        reported["columns"] = [column.model_dump(mode="json") for column in event.columns]
    if event.source_columns:
        reported["source_columns"] = [
            column.model_dump(mode="json") for column in event.source_columns
        ]
    if event.rows is not None:
        reported["rows"] = event.rows
    if event.docs is not None:
        reported["docs"] = event.docs.model_dump(mode="json")
    if event.details.get("status") == "documented":
        # Nothing has built it now: it is as fresh as it was.
        for name in ("run_id", "refreshed_at"):
            reported.pop(name)
    key = {
        "org_id": org_id,
        "connection_id": connection_id,
        "schema_name": schema_name,
        "name": name,
    }
    entry: CatalogEntry | None = await session.scalar(
        insert(CatalogEntry)
        .values(**key, **({"columns": []} | reported))
        .on_conflict_do_update(index_elements=[*key], set_=reported | {"updated_at": func.now()})
        .returning(CatalogEntry)
        .execution_options(populate_existing=True)
    )
    return entry


async def record_checks(
    session: AsyncSession, org_id: int, connection_id: int, event: NodeFinished, run_id: int
) -> None:
    """Keep how a test or a source's freshness ended, at the entries that it is about; and what dbt
    says of a source's table, where a load or a person has made it."""
    relations = list(event.checked)
    kept: dict[str, Any] = {}
    if relations:
        is_test = event.resource_type == "test"
        message = event.failure.message if event.failure is not None else None
        check = EntryCheck(
            kind="test" if is_test else "freshness",
            state=event.state,
            column=event.details.get("column"),
            failures=event.details.get("failures"),
            message=message or event.details.get("message") or None,
            max_loaded_at=event.details.get("max_loaded_at"),
            age_seconds=event.details.get("age_seconds"),
            at=event.at,
            run_id=run_id,
        )
        name = event.name[:255] if is_test else FRESHNESS
        known = {name: check.model_dump(mode="json")}
        kept["checks"] = CatalogEntry.checks.op("||")(cast(known, JSONB))
    elif event.resource_type == "source" and event.docs is not None and event.relation:
        relations, kept["docs"] = [event.relation], event.docs.model_dump(mode="json")
    for relation in relations:
        schema_name, _, table = relation.partition(".")
        await session.execute(
            update(CatalogEntry)
            .where(
                CatalogEntry.org_id == org_id,
                CatalogEntry.connection_id == connection_id,
                CatalogEntry.schema_name == schema_name,
                CatalogEntry.name == table,
            )
            .values(kept)
            .execution_options(synchronize_session=False)
        )


async def columns_read(
    session: AsyncSession, org_id: int, connection_id: int, schema_name: str, names: list[str]
) -> dict[str, tuple[ColumnInfo, ...]]:
    """By table of a destination's schema: what its last successful load read."""
    rows = await session.execute(
        select(CatalogEntry.name, CatalogEntry.source_columns).where(
            CatalogEntry.org_id == org_id,
            CatalogEntry.connection_id == connection_id,
            CatalogEntry.schema_name == schema_name,
            CatalogEntry.name.in_(names),
            CatalogEntry.deleted_at.is_(None),
        )
    )
    return {
        name: tuple(ColumnInfo.model_validate(column) for column in columns)
        for name, columns in rows
        if columns
    }
