"""The catalog: one entry a relation, refreshed by every run that reports it."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select

from datanika.contracts.api import CatalogEntryOut
from datanika.contracts.docs import EntryDocs
from datanika.contracts.enums import StepState
from datanika.contracts.events import ColumnInfo, NodeFinished
from datanika.db import SYSTEM, get_session
from datanika.errors import NotFound
from datanika.models import CatalogEntry, Connection
from datanika.services.catalog_service import CatalogService, record_catalog_entry, record_checks
from tests.support.tenants import Tenant, make_tenant

pytestmark = pytest.mark.usefixtures("database")
COLUMNS = (ColumnInfo(name="a", data_type="bigint", nullable=False),)


def event(relation: str | None = "raw.flights", **changes: object) -> NodeFinished:
    given: dict[str, object] = {
        "step_key": "load", "node": "raw.flights", "name": "flights", "resource_type": "table",
        "state": StepState.SUCCEEDED, "rows": 3, "relation": relation, "columns": COLUMNS,
        "depends_on": ("source.flights",),
    }  # fmt: skip
    return NodeFinished.model_validate(given | changes)


async def connection_of(tenant: Tenant) -> int:
    async with get_session(SYSTEM) as session:
        connection = Connection(org_id=tenant.org_id, name="dwh", kind="duckdb", config={})
        session.add(connection)
        await session.flush()
        return connection.id


async def report(tenant: Tenant, connection_id: int, item: NodeFinished) -> CatalogEntry | None:
    async with get_session(SYSTEM) as session:
        return await record_catalog_entry(session, tenant.org_id, connection_id, item, None)


async def test_a_relation_gets_one_entry_that_later_runs_refresh() -> None:
    tenant = await make_tenant()
    dwh = await connection_of(tenant)
    first = await report(tenant, dwh, event())
    second = await report(tenant, dwh, event(rows=5, depends_on=("x", "y")))
    assert first is not None and second is not None and first.id == second.id
    assert (second.schema_name, second.name, second.rows, second.upstream) == (
        "raw", "flights", 5, ["x", "y"],
    )  # fmt: skip
    assert second.columns == [{"name": "a", "data_type": "bigint", "nullable": False}]
    assert (second.refreshed_at or first.created_at) > (first.refreshed_at or first.created_at)


async def test_a_report_without_columns_or_rows_keeps_the_known_ones() -> None:
    tenant = await make_tenant()
    dwh = await connection_of(tenant)
    await report(tenant, dwh, event())
    entry = await report(tenant, dwh, event(columns=(), rows=None))
    assert entry is not None and entry.rows == 3 and len(entry.columns) == 1


async def test_the_materialization_says_whether_it_is_a_view() -> None:
    tenant = await make_tenant()
    dwh = await connection_of(tenant)
    entry = await report(
        tenant, dwh, event(resource_type="model", details={"materialized": "view"})
    )
    assert entry is not None and entry.kind == "view"


async def test_nodes_that_leave_no_relation_leave_no_entry() -> None:
    tenant = await make_tenant()
    assert await report(tenant, await connection_of(tenant), event(relation=None)) is None


async def test_reports_at_once_make_one_entry() -> None:
    tenant = await make_tenant()
    dwh = await connection_of(tenant)
    entries = await asyncio.gather(*(report(tenant, dwh, event()) for _ in range(8)))
    assert len({entry.id for entry in entries if entry}) == 1


async def test_only_the_own_organisations_entries_are_listed() -> None:
    ours, theirs = await make_tenant(), await make_tenant()
    dwh = await connection_of(ours)
    entry = await report(ours, dwh, event())
    assert entry is not None
    async with get_session(ours.owner.scope) as session:
        service = CatalogService(session, ours.owner)
        assert [row.id for row in (await service.list()).rows] == [entry.id]
        assert [row.id for row in (await service.list(connection_id=dwh)).rows] == [entry.id]
        assert (await service.get(entry.id)).name == "flights"
    async with get_session(theirs.owner.scope) as session:
        service = CatalogService(session, theirs.owner)
        assert (await service.list()).rows == []
        with pytest.raises(NotFound):
            await service.get(entry.id)


async def test_search_finds_a_relation_by_a_part_of_the_name_of_a_column() -> None:
    tenant = await make_tenant()
    dwh = await connection_of(tenant)
    columns = (ColumnInfo(name="Customer_Mail", data_type="text"),)
    await report(tenant, dwh, event("raw.people", columns=columns))
    await report(tenant, dwh, event("raw.flights"))
    async with get_session(tenant.owner.scope) as session:
        catalog = CatalogService(session, tenant.owner)
        for part, names in (("r_mail", ["people"]), ("FLIGHT", ["flights"]), ("bigint", [])):
            found = await catalog.list(search=part)
            assert [entry.name for entry in found.rows] == names


async def test_tests_and_freshness_are_told_at_the_entry_that_they_are_about() -> None:
    tenant = await make_tenant()
    connection = await connection_of(tenant)
    docs = EntryDocs(node="model.org1.stg", name="stg", kind="model", tests=("not_null_stg_id",))
    built = event("an.stg").model_copy(update={"docs": docs})

    def tested(name: str, state: StepState, **more: object) -> NodeFinished:
        return NodeFinished.model_validate(
            {
                "step_key": "t", "node": f"test.{name}", "name": name, "resource_type": "test",
                "state": state, "checked": ("an.stg",), "details": more,
            }
        )  # fmt: skip

    async with get_session(SYSTEM) as session:
        run = 7
        await record_catalog_entry(session, tenant.org_id, connection, built, None)

        async def tell(event: NodeFinished) -> CatalogEntryOut:
            await record_checks(session, tenant.org_id, connection, event, run)
            query = select(CatalogEntry).execution_options(populate_existing=True)
            return CatalogEntryOut.model_validate(await session.scalar(query))

        out = await tell(tested("not_null_stg_id", StepState.SUCCEEDED, column="id", failures=0))
        assert (out.tests_state, out.freshness_state) == ("passed", None)
        assert out.checks["not_null_stg_id"].column == "id"
        assert out.docs.name == "stg"
        out = await tell(tested("not_null_stg_id", StepState.WARNED, failures=3))
        assert (out.tests_state, out.checks["not_null_stg_id"].failures) == ("warned", 3)
        out = await tell(tested("gone", StepState.FAILED, failures=9))
        assert out.tests_state == "warned", "the entry has no such test any more"
        fresh = tested("orders", StepState.FAILED, age_seconds=90.5).model_copy(
            update={"resource_type": "source"}
        )
        out = await tell(fresh)
        assert (out.freshness_state, out.checks[":freshness"].age_seconds) == ("stale", 90.5)
        await record_checks(session, tenant.org_id + 1, connection, fresh, run)
        other = tested("not_null_stg_id", StepState.FAILED).model_copy(
            update={"checked": ("an.nothing",)}
        )
        assert (await tell(other)).tests_state == "warned"
