"""Replication slots that no pipeline uses any more are dropped at their source, by themselves and
by hand; those of somebody else never are."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from datanika.config import settings
from datanika.contracts.cdc import pipeline_key, slot_name
from datanika.contracts.egress import EgressPolicy, Networks
from datanika.contracts.spec import LoadStep, PipelineSpec
from datanika.contracts.steps import ResolvedConnection
from datanika.db import SYSTEM, get_session
from datanika.models import SlotRelease
from datanika.runtime import databases
from datanika.services.connection_service import ConnectionService
from datanika.services.pipeline_service import PipelineService
from datanika.services.slot_releases import enqueue_releases
from datanika.services.table_owners import owner_name
from tests.support.postgres import PostgresServer, Warehouse
from tests.support.redis import RunningRedis
from tests.support.tenants import Tenant
from tests.test_engines.steps import changes, load, run, table

FOLLOWED = changes("t")
READ = table("t", "t")


@pytest.fixture
def source(postgres_server: PostgresServer, warehouses: tuple[Warehouse, Warehouse]) -> Warehouse:
    one = warehouses[0]
    with databases.cursor(postgres_server.admin_url) as cur:
        cur.execute(f'ALTER ROLE "{one.user}" REPLICATION')
    one.query("CREATE TABLE t (id int PRIMARY KEY)")
    one.query("INSERT INTO t VALUES (1)")
    return one


class Following:
    """Pipelines of one organisation that follow the table ``t`` of ``source``."""

    def __init__(self, tenant: Tenant, source: Warehouse, warehouse: Warehouse) -> None:
        self.tenant, self.source, self.warehouse = tenant, source, warehouse
        self.connections: dict[str, int] = {}
        self.owner = ""

    async def begin(self) -> None:
        async with get_session(self.tenant.owner.scope) as session:
            service = ConnectionService(session, self.tenant.owner)
            for name, config in (
                ("source", self.source.config),
                ("again", self.source.config),
                ("target", self.warehouse.config),
            ):
                self.connections[name] = (await service.create(name, "postgres", config)).id
            self.owner = await owner_name(session, self.tenant.org_id)

    def spec(self, one: Any = FOLLOWED, source: str = "source") -> PipelineSpec:
        return PipelineSpec(
            steps=(
                LoadStep(
                    key="load",
                    source_id=self.connections[source],
                    destination_id=self.connections["target"],
                    target_schema="raw",
                    tables=(one,),
                ),
            )
        )

    async def pipeline(self, name: str) -> int:
        """A pipeline that has loaded once, and so has a slot."""
        async with get_session(self.tenant.owner.scope) as session:
            service = PipelineService(session, self.tenant.owner)
            number = (await service.create(name, "", self.spec())).id
        await asyncio.to_thread(self.load, number, self.owner)
        return number

    def load(self, pipeline_id: int, owner: str) -> str:
        """Run the load here; its slot's name."""

        def connection(one: Warehouse, number: int) -> ResolvedConnection:
            return ResolvedConnection(
                id=number, name="c", kind="postgres", config=one.config,
                egress=EgressPolicy(networks=Networks.LOCAL),
            )  # fmt: skip

        key = pipeline_key(pipeline_id, "load")
        target = FOLLOWED.model_copy(update={"target": f"t{pipeline_id}_{owner[:4]}"})
        step = load(connection(self.source, 1), connection(self.warehouse, 2), target)
        out = run(step.model_copy(update={"pipeline_key": key, "owner": owner}))
        assert out.code is None, out.finished.failure
        return slot_name(owner, key)

    async def change(self, pipeline_id: int, spec: PipelineSpec | None) -> None:
        async with get_session(self.tenant.owner.scope) as session:
            service = PipelineService(session, self.tenant.owner)
            if spec is None:
                await service.delete(pipeline_id)
            else:
                await service.update(pipeline_id, spec=spec)

    def name(self, pipeline_id: int) -> str:
        return slot_name(self.owner, pipeline_key(pipeline_id, "load"))

    def there(self) -> tuple[set[str], set[str]]:
        """Slots and publications at the source."""
        slots = self.source.query(
            "SELECT slot_name FROM pg_replication_slots WHERE database = current_database()"
        )
        publications = self.source.query("SELECT pubname FROM pg_publication")
        return {name for (name,) in slots}, {name for (name,) in publications}


@pytest.fixture
async def following(tenant: Tenant, source: Warehouse, warehouse: Warehouse) -> Following:
    one = Following(tenant, source, warehouse)
    await one.begin()
    return one


async def releases() -> list[SlotRelease]:
    async with get_session(SYSTEM) as session:
        return list(await session.scalars(select(SlotRelease).order_by(SlotRelease.id)))


async def all_released(seconds: float = 60) -> None:
    """Until nothing waits, telling the worker as the web process does."""
    end = asyncio.get_running_loop().time() + seconds
    while left := await releases():
        assert asyncio.get_running_loop().time() < end, [one.error_message for one in left]
        await enqueue_releases()
        await asyncio.sleep(0.2)


async def done(api: httpx.AsyncClient, path: str) -> dict[str, Any]:
    answer = await api.post(f"{path}?wait=60")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_what_a_changed_or_deleted_pipeline_leaves_is_dropped_and_nothing_else(
    following: Following, api: httpx.AsyncClient, celery_worker: Callable[[], str]
) -> None:
    kept, changed, deleted, moved = [
        await following.pipeline(name) for name in ("kept", "changed", "deleted", "moved")
    ]
    # Of another organisation, and one that somebody called like ours.
    foreign = await asyncio.to_thread(following.load, deleted, "somebody else")
    following.source.query(
        "SELECT pg_create_logical_replication_slot('datanika_p1_load_0123456789ab', 'pgoutput')"
    )
    theirs = {foreign, "datanika_p1_load_0123456789ab"}
    names = {one: following.name(one) for one in (kept, changed, deleted, moved)}
    assert following.there() == ({*names.values(), *theirs}, {*names.values(), foreign})
    at = f"/connections/{following.connections['source']}/slots"
    listed = {one["name"]: one for one in (await done(api, at))["result"]["slots"]}
    assert {name: one["use"] for name, one in listed.items()} == {
        **dict.fromkeys(names.values(), "used"), **dict.fromkeys(theirs, "unknown"),
    }  # fmt: skip
    mine = listed[names[kept]]
    assert (mine["pipeline_id"], mine["step_key"], mine["status"]) == (kept, "load", "reserved")
    assert mine["retained_bytes"] >= mine["lag_bytes"] >= 0
    assert [one["is_dropped"] for one in (await done(api, f"{at}/drop"))["result"]["slots"]] == [
        False
    ] * 6
    await following.change(changed, following.spec(READ))
    await following.change(deleted, None)
    # Its step reads the same database through another connection: the slot is used.
    await following.change(moved, following.spec(source="again"))
    assert {(one.slot, one.attempts) for one in await releases()} == {
        (names[one], 0) for one in (changed, deleted, moved)
    }
    await all_released()
    stay = {names[kept], names[moved], *theirs}
    assert following.there() == (stay, {names[kept], names[moved], foreign})
    entries = (await api.get("/audit?limit=500")).json()["items"]
    dropped = [one["old"] for one in entries if one["action"] == "connection.slots_dropped"]
    assert {"slots": sorted((names[changed], names[deleted]))} in [
        one and {"slots": sorted(one["slots"])} for one in dropped
    ]
    assert following.source.password not in celery_worker()


async def test_a_slot_waits_for_redis_for_its_source_and_for_a_run_and_is_kept_when_used_again(
    following: Following,
    api: httpx.AsyncClient,
    celery_worker: Callable[[], str],
    redis: RunningRedis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, back = [await following.pipeline(name) for name in ("one", "back")]
    run_id = (await api.post(f"/pipelines/{one}/runs")).json()["id"]
    await following.change(one, None)
    await following.change(back, following.spec(READ))
    await following.change(back, following.spec())
    with monkeypatch.context() as away:
        away.setattr(settings, "redis_url", None)
        assert await enqueue_releases() == 0
    now = dt.datetime.now(dt.UTC)
    assert all(row.next_attempt_at < now + dt.timedelta(seconds=20) for row in await releases())
    # The run of the deleted pipeline may still read its slot.
    await due_now()
    await waited_for(lambda rows: len(rows) == 1)
    assert following.name(one) in following.there()[0]
    # The source is away.
    source = following.connections["source"]
    right = {"config": {**following.source.config}}
    wrong = {"config": {**following.source.config, "password": "wrong-password"}}
    headers = {"If-Match": "*"}
    await api.patch(f"/connections/{source}", json=wrong, headers=headers)
    assert (await api.post(f"/runs/{run_id}/cancel")).status_code in (200, 202)
    await waited_for(lambda rows: rows[0].attempts > 0)
    [row] = await releases()
    assert row.error_code == "authentication_failed"
    # Its connection is needed for that, until its source counts as gone.
    await following.change(back, following.spec(READ))
    refused = await api.delete(f"/connections/{source}", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (409, "connection_in_use")
    assert following.name(one) in refused.text
    await following.change(back, following.spec())
    await api.patch(f"/connections/{source}", json=right, headers=headers)
    await due_now()
    await all_released()
    assert following.there() == ({following.name(back)}, {following.name(back)})


async def due_now() -> None:
    async with get_session(SYSTEM) as session:
        past = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
        await session.execute(update(SlotRelease).values(next_attempt_at=past))


async def waited_for(seen: Callable[[list[SlotRelease]], bool]) -> None:
    end = asyncio.get_running_loop().time() + 60
    while not seen(rows := await releases()):
        assert asyncio.get_running_loop().time() < end, [one.error_message for one in rows]
        await due_now()
        await enqueue_releases()
        await asyncio.sleep(0.5)
