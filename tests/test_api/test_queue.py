"""The queue over HTTP."""

from __future__ import annotations

import httpx
import pytest

from datanika.contracts.api.queue import Reason
from datanika.services.queue_service import WaitReason
from tests.support.dependencies import trigger
from tests.support.pipelines import make_pipeline
from tests.support.tenants import Tenant


async def test_the_queue_says_who_waits_for_what(api: httpx.AsyncClient, tenant: Tenant) -> None:
    empty = (await api.get("/api/v1/queue")).json()
    assert empty == {"items": [], "waiting": 0, "running": 0, "active": 0, "limit": 10}
    made = await make_pipeline(tenant.owner)
    first, second = [await trigger(tenant.owner, made.id) for _ in range(2)]
    queue = (await api.get("/api/v1/queue")).json()
    assert [one["run_id"] for one in queue["items"]] == [first.id, second.id]
    # Nobody started Prefect for this test.
    assert queue["items"][0]["reason"] == "prefect_unavailable"
    assert queue["items"][1]["reason"] == "waits_for_run"
    assert queue["items"][1]["waits_for_run_id"] == first.id
    assert queue["items"][1]["text"] == f"Run {first.id} of this pipeline is not over."
    assert queue["waiting"] == 2
    shorter = (await api.get("/api/v1/queue?limit=1")).json()
    assert (len(shorter["items"]), shorter["waiting"]) == (1, 2)


@pytest.mark.parametrize("limit", ["0", "501", "many"])
async def test_a_limit_that_cannot_be_is_refused(api: httpx.AsyncClient, limit: str) -> None:
    assert (await api.get(f"/api/v1/queue?limit={limit}")).status_code == 422


def test_the_contract_names_every_reason() -> None:
    assert set(Reason.__args__) == set(WaitReason)  # type: ignore[attr-defined]
