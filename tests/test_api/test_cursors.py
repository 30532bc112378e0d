"""Cursors over HTTP, from a load's event to the rewind that the next run takes."""

from __future__ import annotations

import httpx

from datanika.contracts.enums import Role, WriteDisposition
from tests.support.pipelines import make_incremental
from tests.support.tenants import Tenant, add_member, make_tenant
from tests.test_api.conftest import Connect
from tests.test_services.test_cursor_service import start


async def test_a_cursor_is_seen_rewound_and_seen_again(
    api: httpx.AsyncClient, tenant: Tenant
) -> None:
    pipeline = await make_incremental(tenant.owner)
    run = await start(tenant.owner, pipeline, "1")
    await run.moved("2024-01-01")
    await run.moved("2024-01-05")
    path = f"/api/v1/pipelines/{pipeline}/cursors"
    [cursor] = (await api.get(path)).json()["items"]
    assert (cursor["step_key"], cursor["target"], cursor["column"]) == ("load", "orders", "at")
    assert (cursor["version"]["value"], cursor["version"]["run_id"]) == ("2024-01-05", run.run_id)
    versions = (await api.get(f"{path}/load/orders?limit=1")).json()
    assert [item["number"] for item in versions["items"]] == [2]
    older = await api.get(f"{path}/load/orders?limit=1&cursor={versions['next_cursor']}")
    assert [item["value"] for item in older.json()["items"]] == ["2024-01-01"]
    made = await api.post(f"{path}/load/orders/rewind", json={"to_version": 1})
    assert (made.status_code, made.json()["origin"], made.json()["number"]) == (201, "rewind", 3)
    [cursor] = (await api.get(path)).json()["items"]
    assert (cursor["version"]["value"], cursor["is_pending"]) == ("2024-01-01", True)
    assert [order.number for order in (await run.resolve()).rewinds] == [3]


async def test_a_refused_rewind_says_why_and_where(api: httpx.AsyncClient, tenant: Tenant) -> None:
    pipeline = await make_incremental(tenant.owner, WriteDisposition.APPEND)
    path = f"/api/v1/pipelines/{pipeline}/cursors/load/orders/rewind"
    refused = await api.post(path, json={"value": "2024-01-01"})
    assert (refused.status_code, refused.json()["code"], refused.json()["field"]) == (
        422, "rewind_duplicates", "accept_duplicates",
    )  # fmt: skip
    assert refused.json()["hint"]
    accepted = {"value": "2024-01-01", "accept_duplicates": True}
    key = {"Idempotency-Key": "once"}
    first, again = [await api.post(path, json=accepted, headers=key) for _ in range(2)]
    assert (first.status_code, first.json()) == (201, again.json())
    assert again.headers["idempotency-replayed"] == "true"


async def test_viewers_look_and_others_find_nothing(
    api: httpx.AsyncClient, connect: Connect, tenant: Tenant
) -> None:
    path = f"/api/v1/pipelines/{await make_incremental(tenant.owner)}/cursors"
    viewer = connect(await add_member(tenant.org_id, Role.VIEWER))
    assert (await viewer.get(path)).status_code == 200
    assert (await viewer.get(f"{path}/load/orders")).status_code == 200
    assert (await viewer.post(f"{path}/load/orders/rewind", json={})).status_code == 403
    other = connect((await make_tenant("Other")).owner)
    for answer in (
        await other.get(path),
        await other.get(f"{path}/load/orders"),
        await other.post(f"{path}/load/orders/rewind", json={}),
    ):
        assert answer.status_code == 404
    assert (await api.post(f"{path}/load/nothing/rewind", json={})).status_code == 404
