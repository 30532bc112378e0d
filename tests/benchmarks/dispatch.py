"""How soon a run starts: ``uv run python -m tests.benchmarks.dispatch``.

Durable PostgreSQL, Prefect, the web process and one worker as ``datanika up`` starts them, all on
this machine.

* ``start``: from the trigger (our REST API; Prefect's API for the peer) to the first task running
  (what Prefect says of its start), ours and ``prefect worker start --type process`` at its
  defaults, in turns, on the same server and the same flow. ``ratio``: theirs / ours in time.
* ``sustained``: a two-step run triggered each second for a minute, over twenty organisations.
* ``sequential40``: from the trigger to the end of a run of forty steps, one after the other.
* ``memory``: the worker and its fork server (resident set size) after the first ten runs, and
  after a hundred more.

In the last three the engine does nothing (``tiny_engine.py``); all the processes are real.
"""

from __future__ import annotations

import asyncio
import compileall
import datetime as dt
import os
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psutil
import pytest

from datanika.config import settings
from datanika.contracts.spec import LoadStep, PipelineSpec, RetryPolicy, TableSpec
from datanika.db import get_session
from datanika.orchestration.gateway import PrefectGateway
from datanika.services.connection_service import ConnectionService
from datanika.services.pipeline_service import PipelineService
from tests.benchmarks.report import percentile, print_case
from tests.benchmarks.stand import ROOT, Stand, fork_server, process, stand, wait_for
from tests.support.tenants import access_token, make_tenant

STARTS = 20
PEER_STARTS = 10
PEER_POOL = "process-pool"
ORGANIZATIONS = 20
SUSTAINED = 60
SEQUENTIAL = 40
FIRST, MORE = 10, 100
FINAL = ("succeeded", "failed", "cancelled", "skipped", "upstream_stale")


@dataclass(frozen=True)
class Pipeline:
    """One that can be triggered."""

    id: int
    headers: dict[str, str]
    plan: dict[str, Any]


async def make_pipeline(steps: int) -> Pipeline:
    """``steps`` loads of a small file, one after the other, in an organisation of their own."""
    tenant = await make_tenant()
    files = settings.org_root(tenant.org_id) / "files"
    files.mkdir(parents=True, exist_ok=True)
    (files / "orders.csv").write_text("id,amount\n1,10.5\n2,20.25\n")
    async with get_session(tenant.owner.scope) as session:
        connections = ConnectionService(session, tenant.owner)
        source = await connections.create("files", "files", {"format": "csv"})
        target = await connections.create("ducks", "duckdb", {"path": "w.duckdb"})
        spec = PipelineSpec(
            steps=tuple(
                LoadStep(
                    key=f"load{number}",
                    depends_on=(f"load{number - 1}",) if number else (),
                    source_id=source.id,
                    destination_id=target.id,
                    target_schema="raw",
                    tables=(TableSpec(name="orders.csv", target=f"orders{number}"),),
                    retry=RetryPolicy(retries=0),
                )
                for number in range(steps)
            )
        )
        pipelines = PipelineService(session, tenant.owner)
        made = await pipelines.create("tiny", "", spec)
        plan = (await pipelines.plan(made.id)).model_dump(mode="json")
    headers = {"Authorization": f"Bearer {access_token(tenant.owner)}"}
    return Pipeline(made.id, headers, plan)


class Bench:
    """Triggers and waits, over the API and Prefect's."""

    def __init__(self, here: Stand) -> None:
        self.here = here
        self.api = httpx.Client(base_url=f"{here.url}/api/v1", timeout=60)
        self.prefect = here.prefect_client

    def trigger(self, pipeline: Pipeline) -> tuple[int, float]:
        """The new run's id, and the time before it was asked for."""
        begin = time.time()
        answer = self.api.post(f"/pipelines/{pipeline.id}/runs", headers=pipeline.headers)
        answer.raise_for_status()
        return answer.json()["id"], begin

    def run(self, pipeline: Pipeline) -> tuple[int, float]:
        """Trigger and wait for a good end."""
        run_id, begin = self.trigger(pipeline)
        wait_for(lambda: self.states([run_id])[run_id] in FINAL)
        state = self.states([run_id])[run_id]
        if state != "succeeded":
            raise RuntimeError(f"Run {run_id} {state}: {self.error(run_id)}")
        return run_id, begin

    def states(self, run_ids: list[int]) -> dict[int, str]:
        query = "SELECT id, state FROM runs WHERE id = ANY(%(ids)s)"
        found = self.here.sql(query, {"ids": run_ids})
        return {int(str(key)): str(state) for key, state in found}

    def error(self, run_id: int) -> object:
        return self.here.sql(
            "SELECT error_code, error_message FROM runs WHERE id = %(id)s", {"id": run_id}
        )

    def first_task(self, flow_run_id: str) -> float:
        """When the first task of the flow run began to run, as seconds since the epoch."""
        answer = self.prefect.post(
            "/task_runs/filter",
            json={"flow_runs": {"id": {"any_": [flow_run_id]}}, "sort": "EXPECTED_START_TIME_ASC"},
        )
        answer.raise_for_status()
        times = [one["start_time"] for one in answer.json() if one["start_time"]]
        return min((dt.datetime.fromisoformat(one).timestamp() for one in times), default=0.0)

    def latency(self, flow_run_id: str, begin: float) -> float:
        """Seconds from the trigger to the first task. Prefect learns of tasks a little later."""
        wait_for(lambda: self.first_task(flow_run_id))
        return self.first_task(flow_run_id) - begin

    def latencies(self, begun: dict[int, float]) -> list[float]:
        """Of each run, from its trigger."""
        found = self.here.sql(
            "SELECT id, flow_run_id FROM runs WHERE id = ANY(%(ids)s)", {"ids": list(begun)}
        )
        return [self.latency(str(flow), begun[int(str(key))]) for key, flow in found]

    def is_final(self, flow_run_id: str) -> bool:
        state = self.prefect.get(f"/flow_runs/{flow_run_id}").json()["state"]
        return state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


async def deploy_peer(folder: Path) -> str:
    """The same flow for a process pool; the deployment's id. Prefect copies ``folder``."""
    from prefect.client.schemas.actions import WorkPoolCreate

    async with PrefectGateway() as gateway, gateway._call() as client:
        await client.create_work_pool(WorkPoolCreate(name=PEER_POOL, type="process"))
        flow_id = await client.create_flow_from_name("tenant-pipeline")
        return str(
            await client.create_deployment(
                flow_id=flow_id,
                name="peer",
                path=str(folder),
                entrypoint="process_flow.py:tenant_pipeline",
                work_pool_name=PEER_POOL,
                enforce_parameter_schema=False,
            )
        )


@contextmanager
def peer_worker(here: Stand) -> Iterator[None]:
    """``prefect worker start --type process``, nothing set but where the server is."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(here.folder),
        "PREFECT_HOME": str(here.folder / "peer-prefect"),
        "PREFECT_API_URL": here.prefect.api_url,
        "PREFECT_API_AUTH_STRING": here.prefect.auth_string,
        "DO_NOT_TRACK": "1",
    }
    command = ["-m", "prefect", "worker", "start", "--type", "process", "--pool", PEER_POOL]
    with process(here.folder / "peer.log", command, environment):
        yield


def start(bench: Bench, ours: Pipeline, deployment_id: str) -> None:
    """Measure both in turns."""
    chance = random.Random(1)

    def peer() -> float:
        begin = time.time()
        answer = bench.prefect.post(
            f"/deployments/{deployment_id}/create_flow_run",
            json={"parameters": {"plan": ours.plan}, "state": {"type": "SCHEDULED"}},
        )
        answer.raise_for_status()
        flow_run_id = answer.json()["id"]
        wait_for(lambda: bench.is_final(flow_run_id))
        return bench.latency(flow_run_id, begin)

    begun: dict[int, float] = {}
    theirs = []
    for _ in range(2):
        bench.run(ours)
    peer()
    for number in range(STARTS):
        # Not in step with anybody's poll.
        time.sleep(1 + chance.random())
        run_id, begun_at = bench.run(ours)
        begun[run_id] = begun_at
        if number % (STARTS // PEER_STARTS) == 0:
            time.sleep(chance.uniform(0, 10))
            theirs.append(peer())
    mine = bench.latencies(begun)
    print_case(
        "start",
        {
            "runs": len(mine),
            "p50_s": median(mine),
            "p95_s": percentile(mine, 0.95),
            "peer_runs": len(theirs),
            "peer_p50_s": median(theirs),
            "peer_p95_s": percentile(theirs, 0.95),
            "ratio": median(theirs) / median(mine),
        },
    )


def sustained(bench: Bench, pipelines: list[Pipeline]) -> None:
    begun: dict[int, float] = {}
    zero = time.monotonic()
    for number in range(SUSTAINED):
        time.sleep(max(0.0, zero + number - time.monotonic()))
        run_id, begin = bench.trigger(pipelines[number % len(pipelines)])
        begun[run_id] = begin
    wait_for(lambda: all(state in FINAL for state in bench.states(list(begun)).values()))
    took = time.monotonic() - zero
    states = bench.states(list(begun))
    finished = sum(state == "succeeded" for state in states.values())
    waits = bench.latencies(begun)
    print_case(
        "sustained",
        {
            "runs": finished,
            "triggered": len(begun),
            "seconds": took,
            "p50_s": median(waits),
            "p95_s": percentile(waits, 0.95),
        },
    )


def sequential(bench: Bench, pipeline: Pipeline) -> None:
    bench.run(pipeline)
    ends = []
    for _ in range(3):
        run_id, begin = bench.run(pipeline)
        [(end,)] = bench.here.sql(
            "SELECT extract(epoch FROM finished_at)::float FROM runs WHERE id = %(id)s",
            {"id": run_id},
        )
        ends.append(float(str(end)) - begin)
    print_case("sequential40", {"steps": SEQUENTIAL, "value": median(ends), "unit": "s"})


def memory(bench: Bench, worker: psutil.Process, pipelines: list[Pipeline], first: float) -> None:
    for number in range(MORE):
        bench.run(pipelines[number % len(pipelines)])
    last = megabytes(worker)
    print_case("memory", {"runs": MORE, "first_mb": first, "last_mb": last, "ratio": last / first})


def megabytes(worker: psutil.Process) -> float:
    """Of the worker and its fork server."""
    server = fork_server(worker)
    processes = [worker, server] if server else [worker]
    # Not the proportional set size: that hangs on how many forks share the pages just now.
    return float(sum(one.memory_info().rss for one in processes)) / 1e6


async def main() -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        async with stand(monkeypatch) as here:
            monkeypatch.setenv("DATANIKA_HOME", str(settings.home))
            two = [await make_pipeline(2) for _ in range(ORGANIZATIONS)]
            forty = await make_pipeline(SEQUENTIAL)
            peer = here.folder / "peer"
            peer.mkdir()
            shutil.copy(Path(__file__).with_name("process_flow.py"), peer)
            deployment_id = await deploy_peer(peer)
            await asyncio.to_thread(measure, Bench(here), two, forty, deployment_id)


def measure(bench: Bench, two: list[Pipeline], forty: Pipeline, deployment_id: str) -> None:
    with bench.here.worker(), peer_worker(bench.here):
        start(bench, two[0], deployment_id)
    with bench.here.worker("tests.benchmarks.tiny_engine") as worker:
        for number in range(FIRST):
            bench.run(two[number % len(two)])
        first = megabytes(worker)
        sustained(bench, two)
        sequential(bench, forty)
        memory(bench, worker, two, first)


if __name__ == "__main__":
    assert settings.env == "development"
    for folder in ("datanika", "flows", "tests"):
        compileall.compile_dir(ROOT / folder, quiet=2)
    asyncio.run(main())
