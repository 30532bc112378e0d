"""How fast dbt runs through Datanika: ``uv run python -m tests.benchmarks.transform``.

A durable PostgreSQL is the warehouse. Ours goes the way of a run: a warm engine host forks a fenced
child, which gets the resolved step with the project that the compiler wrote, and streams its
events. The peers get the same project as plain files: the dbt CLI, and prefect-dbt's
``PrefectDbtRunner`` in a flow with a Prefect server beside it. All take turns and begin with an
empty schema; after each the relations and their rows are checked. Ratios are ours / theirs in wall
time: below 1 ours is faster.

* ``models100``: 100 models and 100 tests. ``ratio_cli`` and ``ratio_prefect_dbt_runner`` are with
  nothing known of the project, neither to us nor to dbt; ``…_cached``: with our parse kept, theirs
  still not. A peer's seconds are those of its whole process, as somebody's shell or Prefect's
  process worker has it; ``prefect_dbt_runner_flow_s`` are those of the flow in it.
* ``models400``: four times as many; ``per_model_ratio``: seconds a model / those of models100.
* ``one_model_warm``: one model of the hundred, its project parsed before. ``dbt_s``: the same
  invocation of dbt alone, with the manifest in memory, in a fork of a process that has imported
  it: no work with dbt can take less. ``ours_s``: what ours takes more. ``beside_node_s``: all of
  ours but what dbt worked on the node itself; ``processor_s``: of the host and its child.
* ``preview``: twenty rows of a model, by a child of a warm ad hoc process. ``changed_s``: of one
  that was saved differently a moment ago; ``first_s``: of a project that nobody has parsed.
* ``memory``: the warm host, and the largest that a child of it became, at the first and the last of
  fifty runs.
"""

from __future__ import annotations

import argparse
import asyncio
import compileall
import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import psutil
from cryptography.fernet import Fernet

from datanika.contracts.ad_hoc import CompileAction, RowsResult
from datanika.contracts.enums import DbtCommand
from datanika.contracts.events import NodeFinished, StepFinished
from datanika.contracts.steps import ResolvedTransform
from datanika.execution.ad_hoc_host import AdHocHost
from datanika.execution.engine_host import EngineHostClient, start_engine_host
from datanika.execution.parse_cache import FOLDER
from datanika.execution.sandbox import keep_warm, run_ad_hoc
from datanika.runtime import databases
from datanika.runtime.prefect import PrefectServer
from tests.benchmarks.report import print_case
from tests.benchmarks.stand import ROOT, process, wait_for
from tests.benchmarks.transform_project import ROWS, Warehouse, export, project
from tests.support.net import free_port
from tests.support.postgres import PostgresServer, running_server

RUNS = 50
WARM_ROUNDS = 9
LEAF = "m0008"
"""A table that reads another and that nothing reads: dbt drops what does when it is replaced."""
CASES = ("models100", "models400", "one_model_warm", "preview", "memory")
_QUIET = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}


class Bench:
    """One warehouse, one warm host, and the peers."""

    def __init__(self, server: PostgresServer, folder: Path, repeat: int) -> None:
        self.folder, self.repeat = folder, repeat
        self.server = server
        self.warehouse = Warehouse(server)
        self.home = folder / "home"
        self.exported = folder / "exported"
        self.runner = asyncio.Runner()
        self.host: EngineHostClient = start_engine_host()
        self.seconds100: float | None = None

    def close(self) -> None:
        self.host.close()
        self.runner.close()

    def ours(self, step: ResolvedTransform, nodes: int) -> tuple[float, float]:
        """(seconds, what dbt worked on the nodes)"""
        return self.runner.run(self._ours(step, nodes))

    async def _ours(self, step: ResolvedTransform, nodes: int) -> tuple[float, float]:
        began, worked, count = time.monotonic(), 0.0, 0
        took = None
        async for event in self.host.run(step):
            if isinstance(event, NodeFinished):
                worked += event.duration_seconds
                count += 1
            elif isinstance(event, StepFinished):
                if event.failure is not None:
                    raise RuntimeError(f"ours failed: {event.failure}")
                took = time.monotonic() - began
        if took is None or count != nodes:
            raise RuntimeError(f"ours had {count} nodes instead of {nodes}")
        return took, worked

    def forget(self) -> None:
        """As if no project had ever been parsed here."""
        shutil.rmtree(self.home / FOLDER, ignore_errors=True)

    def peer(
        self, step: ResolvedTransform, command: list[str], environment: dict[str, str], nodes: int
    ) -> tuple[float, str]:
        """(seconds, what it printed)"""
        export(step, self.exported)
        # A project's own .env and such are not read, nor this process' settings.
        clean = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": str(ROOT),
            **_QUIET,
        }
        began = time.monotonic()
        done = subprocess.run(
            command, env=clean | environment, cwd=self.exported, capture_output=True, text=True
        )
        took = time.monotonic() - began
        if done.returncode:
            raise RuntimeError(f"{command} failed:\n{(done.stdout + done.stderr)[-3000:]}")
        results = json.loads((self.exported / "target" / "run_results.json").read_text())
        good = [one for one in results["results"] if one["status"] in ("success", "pass")]
        if len(good) != nodes:
            raise RuntimeError(f"{command} had {len(good)} good nodes instead of {nodes}")
        return took, done.stdout

    def dbt(self, step: ResolvedTransform, nodes: int) -> float:
        command = [str(Path(sys.executable).with_name("dbt")), "build", "--profiles-dir", "."]
        return self.peer(step, command, {}, nodes)[0]

    def prefect_dbt(
        self, step: ResolvedTransform, server: PrefectServer, nodes: int
    ) -> tuple[float, float]:
        """(seconds of the process, of the flow in it)"""
        environment = {
            "PREFECT_API_URL": server.api_url,
            "PREFECT_API_AUTH_STRING": server.auth_string,
            "PREFECT_HOME": str(self.folder / "peer-prefect"),
        }
        command = [sys.executable, "-m", "tests.benchmarks.transform_prefect", str(self.exported)]
        took, said = self.peer(step, command, environment, nodes)
        found = re.search(r"flow seconds ([0-9.]+)", said)
        if found is None:
            raise RuntimeError(f"no flow seconds in:\n{said[-2000:]}")
        return took, float(found[1])

    @contextlib.contextmanager
    def turn(self, models: int) -> Iterator[None]:
        """Somebody's: an empty schema before, the right rows after."""
        self.warehouse.empty()
        yield
        self.warehouse.check(models)

    def build(self, models: int, *, known: bool) -> float:
        if not known:
            self.forget()
        with self.turn(models):
            return self.ours(project(self.warehouse, models), 2 * models)[0]


@contextlib.contextmanager
def prefect_server(server: PostgresServer, folder: Path) -> Iterator[PrefectServer]:
    url = server.create_database(databases.PREFECT_DB, databases.PREFECT, secrets.token_hex(12))
    prefect = PrefectServer(
        home=folder / "prefect",
        port=free_port(),
        database_url=url,
        auth_string=f"bench:{secrets.token_hex(12)}",
        encryption_key=Fernet.generate_key().decode(),
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)} | prefect.environment()
    with process(folder / "prefect.log", prefect.command()[1:], environment):
        wait_for(prefect.is_ready)
        yield prefect


def models100(bench: Bench) -> None:
    step = project(bench.warehouse, 100)
    ours, known, cli, runner, flow = [], [], [], [], []
    with prefect_server(bench.server, bench.folder) as server:
        for _ in range(bench.repeat):
            ours.append(bench.build(100, known=False))
            with bench.turn(100):
                cli.append(bench.dbt(step, 200))
            known.append(bench.build(100, known=True))
            with bench.turn(100):
                whole, inside = bench.prefect_dbt(step, server, 200)
                runner.append(whole)
                flow.append(inside)
    bench.seconds100 = median(ours)
    print_case(
        "models100",
        {
            "ratio_cli": median(ours) / median(cli),
            "ratio_prefect_dbt_runner": median(ours) / median(runner),
            "ratio_cli_cached": median(known) / median(cli),
            "ours_s": median(ours),
            "ours_cached_s": median(known),
            "cli_s": median(cli),
            "prefect_dbt_runner_s": median(runner),
            "prefect_dbt_runner_flow_s": median(flow),
            "rounds": bench.repeat,
        },
    )


def models400(bench: Bench) -> None:
    hundred = bench.seconds100
    if hundred is None:
        hundred = median(bench.build(100, known=False) for _ in range(bench.repeat))
    took = median(bench.build(400, known=False) for _ in range(bench.repeat))
    print_case(
        "models400",
        {"seconds": took, "per_model_ratio": took / 400 / (hundred / 100), "rounds": bench.repeat},
    )


class Alone:
    """dbt with a step's project and nothing else: each run in a fork of this process."""

    def __init__(self, bench: Bench, step: ResolvedTransform) -> None:
        from datanika.engines.dbt_engine.invocation import FLAGS, WITHOUT_ARTIFACTS, prepare_dbt

        self.folder = bench.exported
        export(step, self.folder)
        prepare_dbt()
        from dbt.cli.main import dbtRunner

        places = ["--project-dir", str(self.folder), "--profiles-dir", str(self.folder)]
        flags = [*FLAGS, WITHOUT_ARTIFACTS]
        self.arguments = [*flags, "run", *places, "--select", *step.step.select]
        # Its static parser leaves threads behind, and this process will fork.
        parsed = dbtRunner().invoke([*FLAGS, "--no-static-parser", "parse", *places])
        if not parsed.success:
            raise RuntimeError(f"dbt could not parse: {parsed.exception}")
        self.manifest = parsed.result

    def run(self) -> float:
        """Seconds of one run."""
        from dbt.cli.main import dbtRunner

        began = time.monotonic()
        child = os.fork()
        if child == 0:
            done = dbtRunner(manifest=self.manifest).invoke(self.arguments)
            os._exit(0 if done.success else 1)
        _, status = os.waitpid(child, 0)
        took = time.monotonic() - began
        if status:
            raise RuntimeError("dbt alone failed")
        return took


def one_model_warm(bench: Bench) -> None:
    bench.build(100, known=True)
    step = project(bench.warehouse, 100, DbtCommand.RUN, LEAF)
    bench.ours(step, 1)
    host = psutil.Process(bench.host.pid)
    before = host.cpu_times()
    alone = Alone(bench, step)
    alone.run()
    rounds, bare = [], []
    for _ in range(WARM_ROUNDS):
        rounds.append(bench.ours(step, 1))
        bare.append(alone.run())
    after = host.cpu_times()
    worked = sum(b - a for a, b in zip(before, after, strict=True)) / WARM_ROUNDS
    value = median(took for took, _ in rounds)
    bench.warehouse.check(100)
    print_case(
        "one_model_warm",
        {
            "value": value,
            "ours_s": value - median(bare),
            "dbt_s": median(bare),
            "beside_node_s": median(took - node for took, node in rounds),
            "processor_s": worked,
            "rounds": WARM_ROUNDS,
        },
    )


def preview(bench: Bench) -> None:
    bench.build(100, known=True)
    bench.forget()
    keep_warm()
    warm = _warm_ad_hoc()
    step = project(bench.warehouse, 100)

    def ask(files: dict[str, str]) -> float:
        changed = step.model_copy(update={"files": files, "run_id": 0, "attempt": 0})
        action = CompileAction(step=changed, model=LEAF, limit=20)
        began = time.monotonic()
        answer = run_ad_hoc(action)
        took = time.monotonic() - began
        rows = answer.result
        if not isinstance(rows, RowsResult) or len(rows.rows) != 20 or not rows.is_truncated:
            raise RuntimeError(f"no preview: {answer.failure}")
        return took

    try:
        first = ask(step.files)
        value = median(ask(step.files) for _ in range(WARM_ROUNDS))
        name = f"models/{LEAF}.sql"
        changed = median(
            ask({**step.files, name: f"{step.files[name]} where id <= {ROWS - number}"})
            for number in range(1, WARM_ROUNDS + 1)
        )
    finally:
        warm.close()
    print_case(
        "preview",
        {"value": value, "changed_s": changed, "first_s": first, "rounds": WARM_ROUNDS},
    )


def _warm_ad_hoc() -> AdHocHost:
    from datanika.execution import ad_hoc_host

    host = ad_hoc_host._host
    assert host is not None
    if not host.wait_ready(120):
        raise RuntimeError("the warm ad hoc process did not start")
    return host


def memory(bench: Bench) -> None:
    bench.build(100, known=True)
    step = project(bench.warehouse, 100, DbtCommand.RUN, LEAF)
    host = psutil.Process(bench.host.pid)
    resting, children = [], []
    for _ in range(RUNS):
        children.append(bench.runner.run(_largest_child(bench, step, host)))
        resting.append(host.memory_info().rss / 1e6)
    print_case(
        "memory",
        {
            "first_mb": resting[0],
            "last_mb": resting[-1],
            "child_first_mb": children[0],
            "child_last_mb": children[-1],
            "runs": RUNS,
        },
    )


async def _largest_child(bench: Bench, step: ResolvedTransform, host: psutil.Process) -> float:
    """Megabytes that a child of ``host`` had at most in one run."""
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            for child in host.children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    most = max(most, child.memory_info().rss)
            await asyncio.sleep(0.02)

    watching = asyncio.create_task(watch())
    try:
        await bench._ours(step, 1)
    finally:
        watching.cancel()
    return most / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    for name in ("datanika", "tests"):
        # Started without bytecode, ours would compile itself again.
        compileall.compile_dir(ROOT / name, quiet=2)
    with (
        tempfile.TemporaryDirectory(prefix="datanika-transform-") as folder,
        running_server(durable=True) as server,
    ):
        os.environ["DATANIKA_HOME"] = str(Path(folder) / "home")
        with contextlib.closing(Bench(server, Path(folder), given.repeat)) as bench:
            # The host gets warm, and so do the warehouse's own caches.
            bench.build(10, known=False)
            for case in given.cases:
                globals()[case](bench)
    return 0


if __name__ == "__main__":
    sys.exit(main())
