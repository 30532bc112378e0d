"""The worker runs what Prefect schedules: real Prefect, real processes, the engine faked."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.exceptions import ObjectNotFound
from prefect.workers.base import BaseWorker

from datanika.config import settings
from datanika.contracts.enums import RunState
from datanika.contracts.schedule import ScheduleSpec
from datanika.execution.worker import DatanikaWorker
from datanika.orchestration.deployments import MAINTENANCE, FlowDeployment
from datanika.orchestration.gateway import PrefectGateway
from tests.test_execution.fake_control_plane import (
    PASSWORD,
    RUN_TOKEN,
    WORKER_TOKEN,
    FakeControlPlane,
    load_step,
    serve,
)
from tests.test_execution.running_worker import (
    PrefectServer,
    deploy,
    final_state,
    point_at,
    prefect_client_settings,
    running_worker,
    until,
)


class Stage:
    """A control plane, a worker and Prefect, with one pipeline deployed."""

    def __init__(self, plane: FakeControlPlane, gateway: PrefectGateway, worker: Any) -> None:
        self.plane, self.gateway, self.worker = plane, gateway, worker
        self.deployment_id = ""

    async def submit(self, *steps: Any) -> str:
        from tests.test_execution.fake_control_plane import plan_of

        self.plane.plan = plan_of(steps)
        return await self.gateway.submit(self.deployment_id, uuid.uuid4().int % 10**9)


@pytest.fixture
async def stage(
    prefect_server: PrefectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stage]:
    point_at(prefect_server, monkeypatch)
    monkeypatch.setenv("DATANIKA_HOME", str(tmp_path))
    monkeypatch.setenv("DATANIKA_WORKER_TOKEN", WORKER_TOKEN)
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", prefect_server.auth_string)
    async with (
        serve(FakeControlPlane([load_step("ok")])) as plane,
        PrefectGateway() as gateway,
    ):
        await gateway.ensure_work_pool()
        async with running_worker(prefect_server, plane.url, tmp_path) as worker:
            running = Stage(plane, gateway, worker)
            running.deployment_id = await deploy(gateway, pipeline_id=uuid.uuid4().int % 10**9)
            yield running


async def seen_by_prefect(server: PrefectServer, flow_run_id: str) -> tuple[dict[str, Any], str]:
    """Task runs by name, and everything that Prefect stored of the flow run as one text."""
    only = FlowRunFilter(id=FlowRunFilterId(any_=[uuid.UUID(flow_run_id)]))
    with prefect_client_settings(server):
        async with get_client() as client:
            # Task runs arrive as events, a moment after the flow has ended.
            await asyncio.sleep(2)
            flow_run = await client.read_flow_run(uuid.UUID(flow_run_id))
            tasks = await client.read_task_runs(flow_run_filter=only)
            logs = await client.read_logs(
                LogFilter(flow_run_id=LogFilterFlowRunId(any_=[uuid.UUID(flow_run_id)]))
            )
    text = "\n".join(item.model_dump_json() for item in [flow_run, *tasks, *logs])
    return {task.name: task for task in tasks}, text


async def test_a_run_is_shown_step_by_step_and_table_by_table(
    stage: Stage, prefect_server: PrefectServer
) -> None:
    flow_run_id = await stage.submit(load_step("ok_one"), load_step("ok_two", ("ok_one",)))

    assert (await final_state(stage.gateway, flow_run_id)).type == "COMPLETED"
    assert [end.state for end in stage.plane.finished] == [RunState.SUCCEEDED]
    assert stage.plane.step_states() == {"ok_one": "succeeded", "ok_two": "succeeded"}
    assert len(stage.plane.of_type("node_finished")) == 4
    tasks, shown = await seen_by_prefect(prefect_server, flow_run_id)
    assert "ok_one_a succeeded, 21 rows" in shown and "ok_two succeeded, 42 rows" in shown
    assert set(tasks) == {"ok_one", "ok_one_a", "ok_one_b", "ok_two", "ok_two_a", "ok_two_b"}
    assert {task.state_name for task in tasks.values()} == {"Completed"}
    [parent] = tasks["ok_one_a"].task_inputs["__parents__"]
    assert parent.id == tasks["ok_one"].id
    [upstream] = tasks["ok_two"].task_inputs["wait_for"]
    assert upstream.id == tasks["ok_one"].id


async def test_a_failure_skips_downstream_and_says_nothing_secret_to_prefect(
    stage: Stage, prefect_server: PrefectServer
) -> None:
    flow_run_id = await stage.submit(
        load_step("broken"), load_step("after", ("broken",)), load_step("ok_alone")
    )

    state = await final_state(stage.gateway, flow_run_id)
    assert state.type == "FAILED"
    assert state.message is not None and "[bad_password]" in state.message
    assert stage.plane.step_states() == {
        "broken": "failed",
        "after": "skipped",
        "ok_alone": "succeeded",
    }
    [end] = stage.plane.finished
    assert end.state is RunState.FAILED
    assert end.failure is not None and end.failure.message == "No entry for p4ss-canary-message."
    tasks, text = await seen_by_prefect(prefect_server, flow_run_id)
    assert tasks["broken"].run_count == 1, "a terminal error is not tried again"
    assert tasks["after"].state_name == "Skipped"
    for secret in ("p4ss-canary", PASSWORD, RUN_TOKEN, WORKER_TOKEN, prefect_server.auth_string):
        assert secret not in text


async def test_a_transient_failure_is_tried_again_by_prefect(
    stage: Stage, prefect_server: PrefectServer
) -> None:
    flow_run_id = await stage.submit(load_step("flaky"))

    assert (await final_state(stage.gateway, flow_run_id)).type == "COMPLETED"
    assert [event["attempt"] for event in stage.plane.of_type("step_started")] == [1, 2]
    assert stage.plane.step_states() == {"flaky": "succeeded"}
    tasks, _ = await seen_by_prefect(prefect_server, flow_run_id)
    assert tasks["flaky"].run_count == 2


async def test_a_step_ends_at_its_timeout(stage: Stage) -> None:
    flow_run_id = await stage.submit(load_step("slow", timeout_seconds=1))

    assert (await final_state(stage.gateway, flow_run_id)).type == "FAILED"
    [end] = stage.plane.of_type("step_finished")
    assert end["failure"]["code"] == "step_timeout"
    assert [node["state"] for node in stage.plane.of_type("node_finished")] == ["failed"]


async def test_a_killed_flow_process_is_reported_to_both(stage: Stage) -> None:
    flow_run_id = await stage.submit(load_step("dies"))

    assert (await final_state(stage.gateway, flow_run_id)).type == "CRASHED"
    await until(lambda: stage.plane.crashed)
    assert stage.plane.crashed == ["The flow process was killed by SIGKILL."]
    assert not stage.plane.finished


async def test_cancelled_in_the_control_plane(stage: Stage) -> None:
    flow_run_id = await stage.submit(load_step("slow"), load_step("after", ("slow",)))
    await until(lambda: stage.plane.of_type("node_started"))

    stage.plane.cancel_requested = True

    assert (await final_state(stage.gateway, flow_run_id)).type == "CANCELLED"
    assert [end.state for end in stage.plane.finished] == [RunState.CANCELLED]
    assert stage.plane.step_states() == {"slow": "cancelled", "after": "cancelled"}
    assert [node["state"] for node in stage.plane.of_type("node_finished")] == ["cancelled"]


async def test_cancelled_in_prefect(stage: Stage) -> None:
    flow_run_id = await stage.submit(load_step("slow"))
    await until(lambda: stage.plane.of_type("node_started"))

    await stage.gateway.cancel(flow_run_id)

    assert (await final_state(stage.gateway, flow_run_id)).type == "CANCELLED"
    await until(lambda: stage.plane.finished)
    assert stage.plane.finished[0].state is RunState.CANCELLED


async def test_a_superseded_attempt_stops_and_says_nothing(stage: Stage) -> None:
    flow_run_id = await stage.submit(load_step("slow"))
    await until(lambda: stage.plane.of_type("node_started"))

    stage.plane.stale = True

    assert (await final_state(stage.gateway, flow_run_id)).type == "CANCELLED"
    assert not stage.plane.finished
    assert not stage.plane.crashed


async def test_a_refused_claim_runs_nothing(stage: Stage) -> None:
    stage.plane.refuse_claims = "The run was cancelled."
    flow_run_id = await stage.submit(load_step("ok"))

    state = await final_state(stage.gateway, flow_run_id)
    assert (state.type, state.message) == ("CANCELLED", "The run was cancelled.")
    assert not stage.plane.events


async def test_a_flow_run_that_is_early_is_scheduled_for_its_time(stage: Stage) -> None:
    start_at = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(hours=1)
    stage.plane.start_at = start_at
    flow_run_id = uuid.UUID(await stage.submit(load_step("ok")))
    await until(lambda: stage.plane.claims)
    async with asyncio.timeout(30):
        while True:
            async with stage.gateway._call() as client:
                flow_run = await client.read_flow_run(flow_run_id)
            if flow_run.next_scheduled_start_time == start_at:
                break
            await asyncio.sleep(0.1)
    assert flow_run.state is not None and flow_run.state.is_scheduled()
    assert flow_run.expected_start_time < start_at, "the time that it was meant for stays"
    assert not stage.plane.events
    await stage.gateway.cancel(str(flow_run_id))


async def test_a_flow_run_that_is_a_little_early_waits_in_its_worker(stage: Stage) -> None:
    stage.plane.start_at = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=3)
    flow_run_id = await stage.submit(load_step("ok"))
    assert (await final_state(stage.gateway, flow_run_id)).type == "COMPLETED"
    assert len(stage.plane.claims) == 2
    assert dt.datetime.now(dt.UTC) >= stage.plane.start_at


async def test_a_run_survives_a_restart_of_the_control_plane(stage: Stage) -> None:
    flow_run_id = await stage.submit(load_step("slow"), load_step("ok"))
    await until(lambda: stage.plane.of_type("node_started"))
    stage.plane.down = True
    await asyncio.sleep(4)

    stage.plane.down = False
    stage.plane.cancel_requested = True

    assert (await final_state(stage.gateway, flow_run_id)).type == "CANCELLED"
    assert stage.plane.step_states() == {"slow": "cancelled", "ok": "succeeded"}


async def test_only_the_platforms_own_flows_run(stage: Stage, tmp_path: Path) -> None:
    """Whoever can write to Prefect cannot make a worker run other code."""
    deployment_id = await stage.gateway.put_deployment(
        FlowDeployment(flow_name=f"evil-{uuid.uuid4().hex[:6]}", name="evil", entrypoint="os.abort")
    )
    flow_run_id = await stage.gateway.submit(deployment_id, uuid.uuid4().int % 10**9)

    state = await final_state(stage.gateway, flow_run_id)
    assert state.type == "CANCELLED"
    assert not stage.plane.claims


async def test_no_process_below_the_worker_has_a_secret_in_its_environment(
    stage: Stage, prefect_server: PrefectServer
) -> None:
    flow_run_id = await stage.submit(load_step("probe"))

    assert (await final_state(stage.gateway, flow_run_id)).type == "COMPLETED"
    _, environments, memory = (line["message"] for line in stage.plane.of_type("log"))
    assert memory == "dumpable 0", "the flow process holds tokens, and tenant code runs beside it"
    seen = json.loads(environments)
    assert len(seen) == 2
    allowed = {"PATH", "LANG", "DATANIKA_HOME", "TZ", "LC_CTYPE"}
    for environ in seen.values():
        assert {entry.partition("=")[0] for entry in environ.split("\0") if entry} <= allowed


async def test_a_killed_fork_server_ends_no_run_and_is_replaced(stage: Stage) -> None:
    slow = await stage.submit(load_step("slow"))
    await until(lambda: stage.plane.of_type("node_started"))
    server = stage.worker._launcher._server
    os.kill(server.pid, signal.SIGKILL)
    await asyncio.sleep(0.5)

    stage.plane.events.clear()
    quick = await stage.submit(load_step("ok"))
    assert (await final_state(stage.gateway, quick)).type == "COMPLETED"
    await until(lambda: stage.worker._launcher.running == 1)

    stage.plane.cancel_requested = True
    assert (await final_state(stage.gateway, slow)).type == "CANCELLED"


async def test_a_worn_out_fork_server_is_replaced_and_ends_after_its_last_run(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    forks = stage.worker._launcher._server
    monkeypatch.setattr(forks, "_recycle_forks", 1)
    first = forks._server
    slow = await stage.submit(load_step("slow"))
    await until(lambda: stage.plane.of_type("node_started"))

    stage.plane.events.clear()
    quick = await stage.submit(load_step("ok"))
    assert (await final_state(stage.gateway, quick)).type == "COMPLETED"
    assert forks.pid != first.pid and first.lives
    stage.plane.cancel_requested = True
    assert (await final_state(stage.gateway, slow)).type == "CANCELLED"
    await until(lambda: not first.lives)


async def test_an_upgrade_replaces_the_fork_server(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    forks = stage.worker._launcher._server
    old = forks.pid
    monkeypatch.setattr(forks._server.code, "is_current", lambda: False)
    flow_run_id = await stage.submit(load_step("ok"))
    assert (await final_state(stage.gateway, flow_run_id)).type == "COMPLETED"
    assert forks.pid != old


async def test_a_full_worker_asks_prefect_only_when_it_has_room_again(
    prefect_server: PrefectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(prefect_server, monkeypatch)
    async with serve(FakeControlPlane([load_step("ok")])) as plane, PrefectGateway() as gateway:
        await gateway.ensure_work_pool()
        deployment_id = await deploy(gateway, pipeline_id=uuid.uuid4().int % 10**9)
        for _ in range(3):
            await gateway.submit(deployment_id, uuid.uuid4().int % 10**9)
        own = {"worker_poll_seconds": 600, "worker_limit": 1}
        async with running_worker(prefect_server, plane.url, tmp_path, **own):
            # With a poll in ten minutes, an ended run must be what makes the next one start.
            await until(lambda: len(plane.finished) == 3, 60)


async def test_a_run_whose_deployment_is_gone_keeps_no_place(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect's base worker cancels it and would count it as running for ever."""

    async def gone(deployment_id: Any) -> None:
        raise ObjectNotFound(Exception("gone"))

    with monkeypatch.context() as patch:
        patch.setattr(stage.worker.client, "read_deployment", gone)
        flow_run_id = await stage.submit(load_step("ok"))
        assert (await final_state(stage.gateway, flow_run_id)).type == "CANCELLED"
    await until(lambda: stage.worker.limiter.borrowed_tokens == 0)


async def test_a_run_that_prefect_does_not_answer_for_ends_no_other(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error in one submission would cancel all tasks of Prefect's base worker."""
    slow = await stage.submit(load_step("slow"))
    await until(lambda: stage.plane.of_type("node_started"))
    asked = []

    async def away(deployment_id: Any) -> None:
        asked.append(deployment_id)
        raise httpx.ConnectError("away")

    with monkeypatch.context() as patch:
        patch.setattr(stage.worker.client, "read_deployment", away)
        flow_run_id = await stage.submit(load_step("ok"))
        await until(lambda: asked)
    # The plan of the last one submitted is what the next one to start runs.
    assert (await final_state(stage.gateway, flow_run_id)).type == "COMPLETED"
    stage.plane.cancel_requested = True
    assert (await final_state(stage.gateway, slow)).type == "CANCELLED"
    await until(lambda: stage.worker.limiter.borrowed_tokens == 0)


async def test_a_full_worker_is_well(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not poll meanwhile, and an operator's restart would end its runs."""
    monkeypatch.setattr(stage.worker, "is_worker_still_polling", lambda seconds: False)
    assert stage.worker.problem() == "Prefect has not answered a poll for a while."
    monkeypatch.setattr(stage.worker.limiter, "total_tokens", 0)
    assert stage.worker.problem() is None


async def test_maintenance_runs_with_the_workers_own_token(stage: Stage) -> None:
    often = MAINTENANCE[0].model_copy(
        update={
            "schedules": (ScheduleSpec(interval_seconds=1),),
            "name": f"reconcile-{uuid.uuid4().hex[:6]}",
        }
    )
    deployment_id = await stage.gateway.put_deployment(often)

    await until(lambda: stage.plane.maintenance)
    await stage.gateway.delete_deployment(deployment_id)
    assert stage.plane.maintenance[0] == "reconcile"


async def test_a_submitted_run_does_not_wait_for_the_poll(
    prefect_server: PrefectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(prefect_server, monkeypatch)
    monkeypatch.setattr(settings, "home", tmp_path)
    async with serve(FakeControlPlane([load_step("ok")])) as plane, PrefectGateway() as gateway:
        await gateway.ensure_work_pool()
        deployment_id = await deploy(gateway, pipeline_id=uuid.uuid4().int % 10**9)
        async with running_worker(prefect_server, plane.url, tmp_path, worker_poll_seconds=600):
            await gateway.submit(deployment_id, uuid.uuid4().int % 10**9)
            await until(lambda: plane.finished, 60)


def test_prefect_finds_the_worker_by_its_type() -> None:
    assert BaseWorker.get_worker_class_from_type("datanika") is DatanikaWorker


def test_a_worker_without_prefect_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "datanika.execution.worker"],
        env={"PATH": os.environ["PATH"], "DATANIKA_HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.strip() == "PREFECT_API_URL is not set: where should the worker poll?"


async def test_a_flow_that_cannot_even_start_is_crashed_not_forgotten(stage: Stage) -> None:
    wrong_parameters = MAINTENANCE[0].model_copy(
        update={"schedules": (), "name": f"reconcile-{uuid.uuid4().hex[:6]}"}
    )
    deployment_id = await stage.gateway.put_deployment(wrong_parameters)
    flow_run_id = await stage.gateway.submit(deployment_id, uuid.uuid4().int % 10**9)

    assert (await final_state(stage.gateway, flow_run_id)).type == "CRASHED"
