"""Dependencies over HTTP, and triggers that wait for them."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.support.dependencies import succeed
from tests.support.pipelines import make_pipeline
from tests.support.tenants import Tenant
from tests.test_api.conftest import ANY


@pytest.fixture
async def ids(tenant: Tenant) -> list[int]:
    names = ("orders", "customers", "report")
    return [(await make_pipeline(tenant.owner, name)).id for name in names]


def path(pipeline_id: int) -> str:
    return f"/api/v1/pipelines/{pipeline_id}/dependencies"


async def add(api: httpx.AsyncClient, pipeline_id: int, upstream_id: int, **how: Any) -> Any:
    answer = await api.post(path(pipeline_id), json={"upstream_id": upstream_id, **how})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_dependency_is_made_read_changed_and_taken_away(
    api: httpx.AsyncClient, ids: list[int]
) -> None:
    orders, _, report = ids
    made = await add(api, report, orders)
    assert (made["starts_run"], made["within_seconds"], made["wait_seconds"]) == (True, None, 3600)
    assert (made["pipeline_name"], made["upstream_name"]) == ("report", "orders")
    one = f"{path(report)}/{made['id']}"
    seen = await api.get(one)
    assert (seen.json(), seen.headers["etag"]) == (made, '"1"')
    refused = await api.patch(one, json={"wait_seconds": 5})
    assert (refused.status_code, refused.json()["code"]) == (428, "precondition_required")
    changed = await api.patch(
        one, json={"within_seconds": 60, "starts_run": False}, headers={"If-Match": '"1"'}
    )
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
    assert (changed.json()["starts_run"], changed.json()["wait_seconds"]) == (False, 3600)
    assert (await api.delete(one)).status_code == 204
    assert (await api.get(one)).json()["code"] == "dependency_not_found"
    assert (await api.get(path(report))).json()["items"] == []


async def test_of_two_changes_of_one_state_exactly_one_happens(
    api: httpx.AsyncClient, ids: list[int]
) -> None:
    made = await add(api, ids[2], ids[0])
    one = f"{path(ids[2])}/{made['id']}"
    answers = await asyncio.gather(
        *(
            api.patch(one, json={"wait_seconds": seconds}, headers={"If-Match": '"1"'})
            for seconds in (1, 2)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412]


async def test_the_graph_of_the_organisation_is_all_its_dependencies(
    api: httpx.AsyncClient, ids: list[int]
) -> None:
    orders, customers, report = ids
    await add(api, report, orders)
    await add(api, report, customers)
    await add(api, customers, orders)
    listed = (await api.get("/api/v1/dependencies?limit=2")).json()
    rest = (await api.get(f"/api/v1/dependencies?limit=2&cursor={listed['next_cursor']}")).json()
    found = [*listed["items"], *rest["items"]]
    assert [(one["pipeline_name"], one["upstream_name"]) for one in found] == [
        ("report", "orders"), ("report", "customers"), ("customers", "orders"),
    ]  # fmt: skip
    needing = (await api.get(f"/api/v1/dependencies?upstream_id={orders}")).json()["items"]
    assert [one["pipeline_id"] for one in needing] == [report, customers]


async def test_a_circle_is_a_conflict_that_names_it(api: httpx.AsyncClient, ids: list[int]) -> None:
    await add(api, ids[1], ids[0])
    answer = await api.post(path(ids[0]), json={"upstream_id": ids[1]})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (409, "dependency_cycle")
    assert "orders → customers → orders" in problem["detail"]
    assert problem["field"] == "upstream_id" and problem["hint"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"upstream_id": 2**40}, "pipeline_not_found"),
        ({"starts_run": False}, "dependency_without_effect"),
        ({"within_seconds": 0}, "invalid_input"),
        ({"wait_seconds": -1}, "invalid_input"),
        ({"within_seconds": 2**70}, "invalid_input"),
    ],
)
async def test_what_cannot_be_is_refused_with_its_reason(
    api: httpx.AsyncClient, ids: list[int], body: dict[str, Any], code: str
) -> None:
    answer = await api.post(path(ids[2]), json={"upstream_id": ids[0], **body})
    assert answer.status_code in (404, 422), answer.text
    assert answer.json()["code"] == code
    assert answer.json()["field"] or answer.json()["errors"]


async def test_a_trigger_says_how_long_it_waits_and_may_refuse_to(
    api: httpx.AsyncClient, tenant: Tenant, ids: list[int]
) -> None:
    orders, _, report = ids
    await add(api, report, orders, within_seconds=60, starts_run=False)
    ready = (await api.get(f"/api/v1/pipelines/{report}/readiness")).json()
    assert not ready["is_ready"] and ready["upstreams"][0]["is_fresh"] is False
    runs = f"/api/v1/pipelines/{report}/runs"
    waiting = (await api.post(runs)).json()
    assert (waiting["state"], waiting["ignores_dependencies"]) == ("queued", False)
    assert waiting["waits_until"]
    hurried = (await api.post(runs, json={"ignore_dependencies": True})).json()
    assert (hurried["waits_until"], hurried["ignores_dependencies"]) == (None, True)
    assert (await api.post(runs, json={"ignore_dependencies": 1})).status_code == 422
    await succeed(tenant.owner, orders)
    assert (await api.get(f"/api/v1/runs/{waiting['id']}")).json()["waits_until"] is None
    assert (await api.get(f"/api/v1/pipelines/{report}/readiness")).json()["is_ready"]


async def test_any_change_may_be_made_whatever_it_is_now(
    api: httpx.AsyncClient, ids: list[int]
) -> None:
    made = await add(api, ids[2], ids[0], within_seconds=60)
    one = f"{path(ids[2])}/{made['id']}"
    cleared = await api.patch(one, json={"within_seconds": None}, headers=ANY)
    assert cleared.json()["within_seconds"] is None
    nothing = await api.patch(one, json={}, headers=ANY)
    assert (nothing.status_code, nothing.json()["wait_seconds"]) == (200, 3600)
