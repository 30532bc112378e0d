"""The whole map of an organisation, page by page, and what is around one of its tables."""

from __future__ import annotations

import pytest

from datanika.contracts.spec import TransformationSpec
from datanika.db import get_session
from datanika.models import CatalogEntry
from datanika.services.catalog_facts import facts_of
from datanika.services.catalog_service import CatalogService
from datanika.services.lineage_map import lineage_map
from datanika.services.paging import PageRequest
from datanika.services.transformation_graph import Neighbour, neighbourhood, runners
from datanika.services.transformation_service import TransformationService
from tests.support import shop_runs
from tests.support import story as stories
from tests.support.lineage_map import make_map
from tests.support.postgres import Warehouse
from tests.support.shop_runs import MODEL, Shop
from tests.support.tenants import make_tenant


@pytest.fixture
async def shop(database: str, warehouse: Warehouse) -> Shop:
    owner = await stories.register(stories.new_email(), "The Shop")
    return await shop_runs.make_shop(owner, warehouse)


async def test_pages_of_the_map_are_the_whole_and_nobody_elses(database: str) -> None:
    mine, theirs = await make_tenant(), await make_tenant("Theirs")
    await make_map(mine.owner, 40)
    await make_map(theirs.owner, 8)
    async with get_session(mine.owner.scope) as session:
        whole = await lineage_map(session, mine.owner)
        tables, reads, after = {}, [], 0
        while True:
            page = await lineage_map(session, mine.owner, after, 7)
            tables |= {table.key: table for table in page.tables}
            reads += page.reads
            if page.next_after is None:
                break
            after = page.next_after
    assert whole.next_after is None
    assert len(whole.tables) == 40 + 10
    assert {table.key for table in whole.tables} == tables.keys()
    assert [table for table in whole.tables if table.kind == "source"][0].entry_id is None
    assert len(whole.reads) == len(reads) == 10 + 30 * 2
    assert {one.source for one in reads} | {one.target for one in reads} <= tables.keys()


async def test_a_model_knows_its_neighbours_and_a_table_what_its_runs_told(shop: Shop) -> None:
    actor = shop.story.actor

    def spec(name: str, sql: str, **more: object) -> TransformationSpec:
        content = {"name": name, "sql": sql, "destination_id": shop.warehouse_id, **more}
        return TransformationSpec.model_validate(content)

    failed = await shop_runs.loaded(shop, 3)
    await shop_runs.built(shop, failed, failure="Got 1 result")
    async with get_session(actor.scope) as session:
        service = TransformationService(session, actor)
        await service.create(
            spec("cents", "{% macro cents(c) %}{{ c }} * 100{% endmacro %}", kind="macro")
        )
        row = await service.create(
            spec(
                MODEL,
                "select id, {{ cents('amount') }} as amount from {{ source('raw', 'orders') }}",
                description="Tidy orders.",
                tags=["money"],
                target_schema="analytics",
                meta={"owner": "finance"},
            )
        )
        reader = await service.create(spec("revenue", f"select * from {{{{ ref('{MODEL}') }}}}"))
        await service.create(spec("other", f"select 1 as id -- not {MODEL}"))
        near = await neighbourhood(session, actor, row)
        entries = {
            entry.name: entry
            for entry in (await CatalogService(session, actor).list(PageRequest())).rows
        }
        raw = await session.get_one(CatalogEntry, entries["orders"].id)
        assert near.children == (Neighbour("revenue", "model", reader.id),)
        assert near.parents[0] == Neighbour("raw.orders", "table", raw.id)
        assert (near.parents[1].name, near.parents[1].kind) == ("cents", "macro")
        (runner,) = await runners(session, actor, shop.warehouse_id)
        assert (runner.pipeline, runner.step) == ("shop", "transform")

    healed = await shop_runs.loaded(shop, 5)
    await shop_runs.built(shop, healed, failure=None)
    async with get_session(actor.scope) as session:
        built = await session.get_one(CatalogEntry, entries[MODEL].id)
        facts = await facts_of(session, actor, built)
        assert (facts.description, facts.tags, facts.owner) == (
            "Tidy orders.", ("money",), "finance",
        )  # fmt: skip
        assert (facts.transformation_id, facts.pipeline, facts.step) == (
            row.id, "shop", "transform",
        )  # fmt: skip
        # The last result of a test, not each.
        assert [(test.state, test.run_id) for test in facts.tests] == [("succeeded", healed)]
        assert [one.rows for one in facts.built] == [3, 2]
        loaded = await facts_of(session, actor, await session.get_one(CatalogEntry, raw.id))
        assert (loaded.owner, [one.rows for one in loaded.built]) == (actor.email, [3, 5])
        service = CatalogService(session, actor)
        for search in ("tidy", "MONEY", "stg_ord"):
            found = (await service.list(PageRequest(), search=search)).rows
            assert [entry.name for entry in found] == [MODEL], search
        assert (await service.list(PageRequest(), kind="table")).rows[0].name == "orders"
