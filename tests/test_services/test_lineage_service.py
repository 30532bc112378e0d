"""Lineage as it is stored and asked for: graphs, impact, and nobody else's."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from sqlalchemy import func, select

from datanika.contracts.api.lineage import LineageDirection, LineageLevel
from datanika.contracts.enums import StepState
from datanika.contracts.events import ColumnInfo, NodeFinished
from datanika.contracts.lineage import ColumnLineage, LineageKind, SourceColumn, StatementLineage
from datanika.contracts.plan import PlanLoad
from datanika.contracts.shape import Filter, FilterOperator, Mask
from datanika.contracts.spec import ConnectionRef, LoadStep, TableSpec, TransformationSpec
from datanika.db import SYSTEM, get_session
from datanika.errors import NotFound
from datanika.models import Connection, LineageEdge
from datanika.services.catalog_service import record_catalog_entry
from datanika.services.lineage_service import LineageService
from datanika.services.lineage_store import lineage_of_load, store_lineage
from datanika.services.transformation_service import TransformationService
from tests.support.tenants import Tenant, make_tenant


def of(relation: str, column: str) -> SourceColumn:
    return SourceColumn(relation=relation, column=column)


def column(name: str, kind: str, *inputs: SourceColumn) -> ColumnLineage:
    return ColumnLineage(column=name, kind=LineageKind(kind), inputs=inputs)


def loaded(**table: object) -> tuple[PlanLoad, NodeFinished]:
    """A load of ``public.orders`` into ``raw.orders``, and how its table ended."""
    spec = TableSpec.model_validate({"name": "orders", **table})
    planned = PlanLoad(
        step=LoadStep(
            key="load", source_id=1, destination_id=2, target_schema="raw",
            source_schema="public", tables=(spec,),
        ),
        source=ConnectionRef(id=1, name="shop", kind="postgres"),
        destination=ConnectionRef(id=2, name="dwh", kind="postgres"),
    )  # fmt: skip
    names = ("id", "status", "amount", "_dlt_id", "full_name")
    sources = ("id", "status", "amount", "FullName", "unused")
    event = NodeFinished(
        step_key="load", node="raw.orders", name="orders", resource_type="table",
        state=StepState.SUCCEEDED, relation="raw.orders",
        columns=tuple(ColumnInfo(name=name, data_type="text") for name in names),
        source_columns=tuple(ColumnInfo(name=name, data_type="text") for name in sources),
    )  # fmt: skip
    return planned, event


STAGING = StatementLineage(
    columns=(
        column("id", "copy", of("raw.orders", "id")),
        column("paid", "transformed", of("raw.orders", "amount")),
        ColumnLineage(column="odd", kind=LineageKind.UNKNOWN, reason="a function is not known"),
    ),
    rows=(of("raw.orders", "status"),),
    reads=("raw.orders",),
)
MART = StatementLineage(
    columns=(column("total", "aggregated", of("an.stg", "paid")), column("n", "aggregated")),
    rows=(of("an.stg", "id"),),
    reads=("an.stg",),
)


def test_a_load_tells_only_of_columns_whose_names_it_kept() -> None:
    planned, event = loaded(
        mask=(Mask(column="status", how="null"),),
        filters=(Filter(column="amount", operator=FilterOperator.GT, value=1),),
    )
    lineage = lineage_of_load(planned, event)
    assert lineage is not None
    told = {one.column: (one.kind.value, [i.column for i in one.inputs]) for one in lineage.columns}
    assert told == {
        "id": ("copy", ["id"]),
        "status": ("transformed", ["status"]),
        "amount": ("copy", ["amount"]),
        "_dlt_id": ("unknown", []),
        "full_name": ("unknown", []),
    }
    assert lineage.rows == (of("public.orders", "amount"),)
    assert lineage.reads == ("public.orders",)


@dataclass
class Chain:
    """source.public.orders -> raw.orders -> an.stg -> an.mart"""

    tenant: Tenant
    source: int
    entries: dict[str, int]


@pytest.fixture
async def chain(database: str) -> Chain:
    tenant = await make_tenant()
    planned, event = loaded()
    load = lineage_of_load(planned, event)
    assert load is not None
    entries: dict[str, int] = {}
    async with get_session(SYSTEM) as session:
        shop = Connection(org_id=tenant.org_id, name="shop", kind="postgres", config={})
        dwh = Connection(org_id=tenant.org_id, name="dwh", kind="postgres", config={})
        session.add_all([shop, dwh])
        await session.flush()
        for relation, lineage, source in (
            ("raw.orders", load, shop.id),
            ("an.stg", STAGING, dwh.id),
            ("an.mart", MART, dwh.id),
            ("an.mart", MART, dwh.id),
        ):
            columns = tuple(
                ColumnInfo(name=one.column, data_type="text") for one in lineage.columns
            )
            made = event.model_copy(update={"relation": relation, "columns": columns})
            entry = await record_catalog_entry(session, tenant.org_id, dwh.id, made, None)
            assert entry is not None
            await store_lineage(session, entry, source, lineage)
            entries[relation] = entry.id
        edges = await session.scalar(
            select(func.count(LineageEdge.id)).where(LineageEdge.entry_id == entries["an.mart"])
        )
        assert edges == 3, "the second run replaces what the first told"
        return Chain(tenant, shop.id, entries)


async def test_a_graph_of_tables_goes_to_the_source_and_to_the_last_model(chain: Chain) -> None:
    async with get_session(chain.tenant.owner.scope) as session:
        service = LineageService(session, chain.tenant.owner)
        graph = await service.graph(
            chain.entries["an.stg"], column=None, level=LineageLevel.TABLE,
            direction=LineageDirection.BOTH, depth=5, indirect=False,
        )  # fmt: skip
        near = await service.graph(
            chain.entries["an.stg"], column=None, level=LineageLevel.TABLE,
            direction=LineageDirection.UPSTREAM, depth=1, indirect=False,
        )  # fmt: skip
    nodes = {f"{n.schema_name}.{n.name}": (n.kind, n.depth, n.entry_id) for n in graph.nodes}
    assert nodes == {
        "an.stg": ("table", 0, chain.entries["an.stg"]),
        "raw.orders": ("table", 1, chain.entries["raw.orders"]),
        "public.orders": ("source", 2, None),
        "an.mart": ("table", 1, chain.entries["an.mart"]),
    }
    assert not graph.truncated and len(graph.edges) == 3
    assert {n.name for n in near.nodes} == {"stg", "orders"} and near.truncated


async def test_a_column_leads_back_to_the_column_of_the_source(chain: Chain) -> None:
    async with get_session(chain.tenant.owner.scope) as session:
        graph = await LineageService(session, chain.tenant.owner).graph(
            chain.entries["an.mart"], column="total", level=LineageLevel.COLUMN,
            direction=LineageDirection.UPSTREAM, depth=10, indirect=False,
        )  # fmt: skip
    assert [(n.schema_name, n.name, n.column) for n in graph.nodes] == [
        ("an", "mart", "total"),
        ("an", "stg", "paid"),
        ("raw", "orders", "amount"),
        ("public", "orders", "amount"),
    ]
    assert [n.made for n in graph.nodes] == ["aggregated", "transformed", "copy", None]
    assert [edge.kind for edge in graph.edges] == ["aggregated", "transformed", "copy"]


async def test_impact_tells_values_rows_and_what_may_be(chain: Chain) -> None:
    async with get_session(chain.tenant.owner.scope) as session:
        service = LineageService(session, chain.tenant.owner)
        amount = await service.impact(chain.entries["raw.orders"], "amount", 20)
        status = await service.impact(chain.entries["raw.orders"], "status", 20)
    found = {one.name: (one.columns, one.rows, one.unknown) for one in amount.items}
    assert found == {"stg": (["paid"], False, ["odd"]), "mart": (["total"], False, [])}
    found = {one.name: (one.columns, one.rows, one.unknown) for one in status.items}
    assert found == {"stg": ([], True, ["odd"]), "mart": ([], True, [])}


async def test_exposures_are_the_ends_of_the_graph_and_of_impact(chain: Chain) -> None:
    owner = chain.tenant.owner
    async with get_session(SYSTEM) as session:
        dwh = await session.scalar(select(Connection.id).where(Connection.name == "dwh"))
    assert dwh is not None
    async with get_session(owner.scope) as session:
        for spec in (
            {
                "name": "board",
                "refs": ("mart",),
                "url": "https://bi.example",
                "owner_name": "A",
            },
            {"name": "feed", "sources": (("raw", "orders"),), "type": "application"},
        ):
            name = spec.pop("name")
            made = {"name": name, "kind": "exposure", "destination_id": dwh, "exposure": spec}
            await TransformationService(session, owner).put(
                TransformationSpec.model_validate(made), None
            )
    async with get_session(owner.scope) as session:
        service = LineageService(session, owner)
        graph = await service.graph(
            chain.entries["raw.orders"], column=None, level=LineageLevel.TABLE,
            direction=LineageDirection.BOTH, depth=5, indirect=False,
        )  # fmt: skip
        upstream = await service.graph(
            chain.entries["an.mart"], column="total", level=LineageLevel.COLUMN,
            direction=LineageDirection.UPSTREAM, depth=9, indirect=False,
        )  # fmt: skip
        down = await service.graph(
            chain.entries["raw.orders"], column="amount", level=LineageLevel.COLUMN,
            direction=LineageDirection.DOWNSTREAM, depth=9, indirect=False,
        )  # fmt: skip
        impact = await service.impact(chain.entries["raw.orders"], "amount", 20)
    ends = {n.name: n for n in graph.nodes if n.kind == "exposure"}
    assert {name: (n.depth, n.entry_id) for name, n in ends.items()} == {
        "feed": (1, None), "board": (3, None),
    }  # fmt: skip
    assert ends["board"].exposure is not None and ends["feed"].exposure is not None
    assert (ends["board"].exposure.url, ends["board"].exposure.owner_name) == (
        "https://bi.example", "A",
    )  # fmt: skip
    assert ends["feed"].exposure.type == "application"
    keys = {n.key: n.name for n in graph.nodes}
    reads = {(keys[edge.source], keys[edge.target]) for edge in graph.edges}
    assert {("mart", "board"), ("orders", "feed")} <= reads
    assert not [n for n in upstream.nodes if n.kind == "exposure"]
    assert {n.name for n in down.nodes if n.kind == "exposure"} == {"feed", "board"}
    assert {(one.name, one.depth) for one in impact.items if one.kind == "exposure"} == {
        ("feed", 1), ("board", 3),
    }  # fmt: skip


async def test_another_organisation_finds_nothing(chain: Chain) -> None:
    other = await make_tenant("Other")
    async with get_session(other.owner.scope) as session:
        service = LineageService(session, other.owner)
        with pytest.raises(NotFound):
            await service.impact(chain.entries["raw.orders"], "id", 5)
    async with get_session(chain.tenant.owner.scope) as session:
        with pytest.raises(NotFound) as missing:
            await LineageService(session, chain.tenant.owner).impact(
                chain.entries["raw.orders"], "nothing", 5
            )
    assert missing.value.code == "catalog_column_not_found"
