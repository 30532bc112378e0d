"""The gateway against a real Prefect server."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from datanika.config import settings
from datanika.contracts.schedule import ScheduleSpec
from datanika.errors import ConfigError, NotFound, Unavailable
from datanika.orchestration.gateway import DeploymentRequest, PrefectGateway
from tests.test_execution.running_worker import PrefectServer, point_at


@pytest.fixture
async def gateway(
    prefect_server: PrefectServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[PrefectGateway]:
    point_at(prefect_server, monkeypatch)
    async with PrefectGateway() as opened:
        await opened.ensure_work_pool()
        yield opened


def new_id() -> int:
    return uuid.uuid4().int % 10**9


def request(pipeline_id: int, *schedules: ScheduleSpec, **changes: object) -> DeploymentRequest:
    given = {"org_id": 5, "name": "n", "plan_hash": "h", **changes}
    return DeploymentRequest(pipeline_id=pipeline_id, schedules=schedules, **given)


async def test_the_work_pool_is_of_our_type_and_made_once(gateway: PrefectGateway) -> None:
    await gateway.ensure_work_pool()

    async with gateway._call() as client:
        assert (await client.read_work_pool(settings.work_pool)).type == "datanika"


async def test_an_unchanged_pipeline_is_not_deployed_again(gateway: PrefectGateway) -> None:
    pipeline_id = new_id()
    deployment_id = await gateway.deploy(request(pipeline_id))
    async with gateway._call() as client:
        before = await client.read_deployment(uuid.UUID(deployment_id))

    assert await gateway.deploy(request(pipeline_id)) == deployment_id

    async with gateway._call() as client:
        after = await client.read_deployment(uuid.UUID(deployment_id))
    assert after.updated == before.updated
    assert after.parameters == {"org_id": 5, "pipeline_id": pipeline_id}
    assert set(after.tags) == {"org:5", f"pipeline:{pipeline_id}"}
    assert after.name == f"pipeline-{pipeline_id}"


async def test_a_changed_schedule_replaces_the_old_one(gateway: PrefectGateway) -> None:
    pipeline_id = new_id()
    hourly, daily = ScheduleSpec(interval_seconds=3600), ScheduleSpec(cron="0 6 * * *")
    first = await gateway.deploy(request(pipeline_id, hourly))

    assert await gateway.deploy(request(pipeline_id, daily, paused=True)) == first

    async with gateway._call() as client:
        deployment = await client.read_deployment(uuid.UUID(first))
    assert [item.schedule.cron for item in deployment.schedules] == ["0 6 * * *"]
    assert deployment.paused


async def test_a_run_is_submitted_once(gateway: PrefectGateway) -> None:
    deployment_id, run_id = await gateway.deploy(request(new_id())), new_id()

    first = await gateway.submit(deployment_id, run_id)

    assert await gateway.submit(deployment_id, run_id) == first
    assert await gateway.submit(deployment_id, run_id, attempt=1) != first
    async with gateway._call() as client:
        flow_run = await client.read_flow_run(uuid.UUID(first))
    assert set(flow_run.parameters) == {"org_id", "pipeline_id", "run_id"}
    assert flow_run.parameters["run_id"] == run_id


async def test_a_waiting_flow_run_is_cancelled_at_once(gateway: PrefectGateway) -> None:
    flow_run_id = await gateway.submit(await gateway.deploy(request(new_id())), new_id())
    unknown = str(uuid.uuid4())
    assert not (await gateway.read_states([flow_run_id]))[flow_run_id].is_final

    await gateway.cancel(flow_run_id)
    await gateway.cancel(flow_run_id)
    await gateway.cancel(unknown)

    states = await gateway.read_states([flow_run_id, unknown])
    assert set(states) == {flow_run_id}
    assert (states[flow_run_id].type, states[flow_run_id].is_final) == ("CANCELLED", True)


async def test_a_deleted_deployment_is_not_found(gateway: PrefectGateway) -> None:
    deployment_id = await gateway.deploy(request(new_id()))

    await gateway.delete_deployment(deployment_id)
    await gateway.delete_deployment(deployment_id)

    with pytest.raises(NotFound) as caught:
        await gateway.submit(deployment_id, new_id())
    assert caught.value.code == "deployment_not_found"


async def test_wrong_credentials_are_an_outage_not_the_tenants_fault(
    prefect_server: PrefectServer,
) -> None:
    async with PrefectGateway(prefect_server.api_url, "wrong:credentials") as gateway:
        with pytest.raises(Unavailable):
            await gateway.read_states([str(uuid.uuid4())])


async def test_prefect_away_is_unavailable_within_seconds() -> None:
    async with PrefectGateway("http://127.0.0.1:9/api", "a:b") as gateway:
        with pytest.raises(Unavailable) as caught:
            await gateway.submit(str(uuid.uuid4()), 1)
    assert caught.value.code == "prefect_unavailable"


async def test_an_unset_address_never_starts_a_server_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "prefect_api_url", None)
    with pytest.raises(ConfigError):
        async with PrefectGateway():
            pass


async def test_a_deployment_follows_the_work_pool(
    gateway: PrefectGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = request(new_id())
    first = await gateway.deploy(wanted)
    monkeypatch.setattr(settings, "work_pool", f"pool-{uuid.uuid4().hex[:8]}")
    await gateway.ensure_work_pool()

    assert await gateway.deploy(wanted) == first

    async with gateway._call() as client:
        found = await client.read_deployment(uuid.UUID(first))
    assert found.work_pool_name == settings.work_pool


async def test_what_prefect_has_of_many_pipelines_is_one_request(gateway: PrefectGateway) -> None:
    wanted = [request(new_id()) for _ in range(3)]
    ids = [await gateway.deploy(one) for one in wanted[:2]]
    before = gateway.requests

    await gateway.learn_deployments([one.pipeline_id for one in wanted])
    assert [await gateway.deploy(one) for one in wanted[:2]] == ids
    assert gateway.requests == before + 1

    # Known for one deployment only: meanwhile somebody may have changed it.
    await gateway.deploy(wanted[2])
    assert gateway.requests == before + 2
    await gateway.deploy(wanted[2])
    assert gateway.requests == before + 3
