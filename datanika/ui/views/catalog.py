"""What the catalog's pages show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from datanika.contracts.api.lineage import ImpactedOut
from datanika.models import CatalogEntry
from datanika.services.catalog_facts import Built, Facts, TestState
from datanika.ui.views import iso

CHART_WIDTH = 320
CHART_HEIGHT = 64


@dataclass(frozen=True)
class EntryRow:
    id: int
    schema_name: str
    name: str
    kind: str
    connection: str
    columns: int
    rows: int | None
    refreshed_at: str | None
    match: str
    href: str


def entry_row(entry: CatalogEntry, connection: str, search: str) -> EntryRow:
    """``match``: the columns that ``search`` is a part of, where the name is not."""
    wanted = search.casefold()
    named = [str(column["name"]) for column in entry.columns]
    match = [name for name in named if wanted and wanted in name.casefold()]
    return EntryRow(
        id=entry.id,
        schema_name=entry.schema_name,
        name=entry.name,
        kind=entry.kind,
        connection=connection,
        columns=len(named),
        rows=entry.rows,
        refreshed_at=iso(entry.refreshed_at),
        match=", ".join(match[:5]),
        href=f"/catalog/{entry.id}",
    )


@dataclass(frozen=True)
class EntryView:
    """A table at the head of its page."""

    id: int = 0
    schema_name: str = ""
    name: str = ""
    kind: str = ""
    connection_id: int = 0
    connection: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    rows: int | None = None
    refreshed_at: str | None = None
    owner: str = ""
    pipeline: str = ""
    pipeline_href: str = ""
    step: str = ""
    run_href: str = ""
    transformation: str = ""
    transformation_href: str = ""
    last_state: str = ""


def entry_view(entry: CatalogEntry, facts: Facts) -> EntryView:
    maker = facts.transformation_id
    return EntryView(
        id=entry.id,
        schema_name=entry.schema_name,
        name=entry.name,
        kind=entry.kind,
        connection_id=entry.connection_id,
        connection=facts.connection,
        description=facts.description,
        tags=facts.tags,
        rows=entry.rows,
        refreshed_at=iso(entry.refreshed_at),
        owner=facts.owner,
        pipeline=facts.pipeline,
        pipeline_href=f"/pipelines/{facts.pipeline_id}" if facts.pipeline_id else "",
        step=facts.step,
        run_href=f"/runs/{entry.run_id}" if entry.run_id else "",
        transformation=facts.spec.name if facts.spec else "",
        transformation_href=f"/transformations/{maker}" if maker else "",
        last_state=facts.built[-1].state if facts.built else "",
    )


@dataclass(frozen=True)
class ColumnView:
    """``made`` and ``reason``: as the lineage tells."""

    name: str
    data_type: str
    nullable: bool
    description: str
    tests: list[str]
    made: str
    reason: str


def column_views(entry: CatalogEntry, facts: Facts) -> list[ColumnView]:
    told: Mapping[str, Any] = (entry.lineage or {}).get("columns") or {}
    tests = {column.name: column.tests for column in facts.spec.columns} if facts.spec else {}
    return [
        ColumnView(
            name=str(column["name"]),
            data_type=str(column.get("data_type") or ""),
            nullable=bool(column.get("nullable", True)),
            description=facts.described.get(str(column["name"]), ""),
            tests=[
                one if isinstance(one, str) else next(iter(one), "")
                for one in tests.get(str(column["name"]), ())
            ],
            made=str((told.get(column["name"]) or {}).get("kind") or ""),
            reason=str((told.get(column["name"]) or {}).get("reason") or ""),
        )
        for column in entry.columns
    ]


@dataclass(frozen=True)
class CheckView:
    """The last result of a test."""

    name: str
    state: str
    at: str | None
    message: str
    run: str
    href: str


def check_view(test: TestState) -> CheckView:
    return CheckView(
        name=test.name,
        state=test.state,
        at=iso(test.at),
        message=test.message,
        run=f"#{test.run_id}",
        href=f"/runs/{test.run_id}",
    )


@dataclass(frozen=True)
class ChangeView:
    """A column that became another; ``before`` and ``after`` are types or empty."""

    key: str
    at: str | None
    change: str
    column: str
    before: str
    after: str
    run: str
    href: str


def change_views(built: tuple[Built, ...]) -> list[ChangeView]:
    """The newest first."""
    return [
        ChangeView(
            key=f"{one.run_id}/{change['column']}",
            at=iso(one.at),
            change=str(change["change"]),
            column=str(change["column"]),
            before=str(change.get("before") or ""),
            after=str(change.get("after") or ""),
            run=f"#{one.run_id}",
            href=f"/runs/{one.run_id}",
        )
        for one in reversed(built)
        for change in one.changes
    ][:100]


@dataclass(frozen=True)
class RowsChart:
    """``points``: of an SVG polyline; empty where fewer than two runs told their rows."""

    points: str = ""
    area: str = ""
    first: int | None = None
    last: int | None = None
    least: int | None = None
    most: int | None = None


def rows_chart(built: tuple[Built, ...]) -> RowsChart:
    rows = [one.rows for one in built if one.rows is not None]
    if len(rows) < 2:
        return RowsChart(last=rows[-1] if rows else None)
    least, most = min(rows), max(rows)
    height, step = CHART_HEIGHT - 8, CHART_WIDTH / (len(rows) - 1)
    span = max(most - least, 1)
    places = [
        f"{index * step:.1f},{4 + height - (value - least) / span * height:.1f}"
        for index, value in enumerate(rows)
    ]
    return RowsChart(
        points=" ".join(places),
        area=" ".join([f"0,{CHART_HEIGHT}", *places, f"{CHART_WIDTH},{CHART_HEIGHT}"]),
        first=rows[0],
        last=rows[-1],
        least=least,
        most=most,
    )


@dataclass(frozen=True)
class ImpactView:
    """``columns``: whose values change; ``unknown``: that may; ``rows``: it may have others."""

    name: str
    kind: str
    columns: str
    unknown: str
    rows: bool
    href: str


def impact_view(one: ImpactedOut) -> ImpactView:
    return ImpactView(
        name=f"{one.schema_name}.{one.name}",
        kind=one.kind,
        columns=", ".join(one.columns),
        unknown=", ".join(one.unknown),
        rows=one.rows,
        href=f"/catalog/{one.entry_id}",
    )
