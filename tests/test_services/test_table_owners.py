"""Who writes the same destination table is told, inside of an organisation and across."""

from __future__ import annotations

from typing import Any

import pytest

from datanika.contracts.spec import LoadStep, PipelineSpec, TableSpec
from datanika.db import TenantScope, get_session
from datanika.services.actor import Actor
from datanika.services.connection_service import ConnectionService
from datanika.services.pipeline_service import PipelineService
from datanika.services.table_owners import owner_name
from tests.support.tenants import make_tenant

pytestmark = pytest.mark.usefixtures("database")

DATABASE: dict[str, Any] = {
    "host": "db.example.com", "database": "warehouse", "user": "loader", "password": "x",
}  # fmt: skip


async def pipeline(
    actor: Actor, name: str, tables: list[str], schema: str = "raw", **config: Any
) -> int:
    async with get_session(actor.scope) as session:
        connections = ConnectionService(session, actor)
        source = await connections.create(f"{name} files", "files", {"format": "csv"})
        target = await connections.create(f"{name} target", "postgres", DATABASE | config)
        step = LoadStep(
            key="load",
            source_id=source.id,
            destination_id=target.id,
            target_schema=schema,
            tables=tuple(TableSpec(name=one) for one in tables),
        )
        made = await PipelineService(session, actor).create(name, "", PipelineSpec(steps=(step,)))
        return made.id


async def shared(actor: Actor, pipeline_id: int) -> tuple[str, ...]:
    async with get_session(actor.scope) as session:
        service = PipelineService(session, actor)
        return await service.shared_tables(pipeline_id, await service.plan(pipeline_id))


async def test_pipelines_that_write_one_table_are_named_to_each_other() -> None:
    actor = (await make_tenant()).owner
    first = await pipeline(actor, "first", ["orders.csv", "items.csv"])
    # Another connection to the same database, as somebody else.
    second = await pipeline(actor, "second", ["orders.csv"], user="other", port=5432)
    for one, other in ((first, "second"), (second, "first")):
        [sentence] = await shared(actor, one)
        assert sentence.startswith(f"raw.orders is written by '{other}'")


@pytest.mark.parametrize(
    "change",
    [{"schema": "other"}, {"database": "another"}, {"port": 5433}, {"host": "b.example.com"}],
)
async def test_another_place_is_nothing_to_warn_of(change: dict[str, Any]) -> None:
    actor = (await make_tenant()).owner
    first = await pipeline(actor, "first", ["orders.csv"])
    await pipeline(actor, "second", ["orders.csv"], **change)
    assert await shared(actor, first) == ()


async def test_deleted_pipelines_and_other_organisations_are_not_told() -> None:
    actor, other = (await make_tenant()).owner, (await make_tenant()).owner
    first = await pipeline(actor, "first", ["orders.csv"])
    await pipeline(other, "theirs", ["orders.csv"])
    second = await pipeline(actor, "second", ["orders.csv"])
    async with get_session(actor.scope) as session:
        await PipelineService(session, actor).delete(second)
    assert await shared(actor, first) == ()


async def test_an_organisations_name_in_destinations_is_its_own() -> None:
    names = []
    for org_id in [(await make_tenant()).org_id for _ in range(2)]:
        async with get_session(TenantScope(org_id)) as session:
            names += [await owner_name(session, org_id), await owner_name(session, org_id)]
    assert names[0] == names[1] != names[2] == names[3]
