"""Random faults against a whole platform at work; afterwards every promise has to hold.

    uv run python -m tests.faults.chaos --minutes 5 --seed 1

Some organisations with schedules, dependencies, triggers, cancels and retries; processes of every
kind are killed or stopped meanwhile. Each action is one line. Then everything may heal, each
pipeline runs once more, and ``invariants.py`` looks at what is left. The same seed takes the same
decisions, but what they hit depends on how fast the machine is.

The last line is JSON; the exit code is 1 where something was violated.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from sqlalchemy import select

from datanika.client import DatanikaClient
from datanika.contracts.api import (
    ConnectionIn,
    DependencyIn,
    PipelineIn,
    ScheduleIn,
    TriggerIn,
)
from datanika.contracts.enums import RunState, WriteDisposition
from datanika.contracts.spec import (
    IncrementalCursor,
    LoadStep,
    PipelineSpec,
    RetryPolicy,
    TableSpec,
)
from datanika.db import SYSTEM, get_session
from datanika.errors import DatanikaError, Unavailable
from datanika.models import Run
from datanika.services.run_rows import FINAL_STATES
from tests.faults.invariants import Place, violations
from tests.support.platform import RunningPlatform, running_platform
from tests.support.platform_parts import (
    cluster_of,
    make_warehouse,
    part_process,
    processes_of_runs,
    settings_of,
    unhealthy,
)
from tests.support.postgres import Warehouse
from tests.support.tenants import Tenant, access_token, make_tenant

APPEND, MERGE, REPLACE = (
    WriteDisposition.APPEND,
    WriteDisposition.MERGE,
    WriteDisposition.REPLACE,
)
HEAL_SECONDS = 90.0
LAST_RUN_SECONDS = 120.0
SCHEDULE_SECONDS = 20
MOST_UNFINISHED = 10
KILLED = ("redis", "postgres", "prefect", "web", "celery", "worker")
STOPPED = ("redis", "prefect", "web", "worker")
OF_RUNS = ("fork server", "flow", "host", "child")


@dataclass
class Shop:
    """An organisation: its warehouse with a source table, and three pipelines that load it."""

    tenant: Tenant
    warehouse: Warehouse
    pipelines: dict[str, int] = field(default_factory=dict)
    rows: int = 0

    def add_rows(self, count: int) -> None:
        """More rows in the source."""
        self.warehouse.query(
            "INSERT INTO shop.orders SELECT i, md5(i::text) FROM generate_series(%s, %s) i",
            (self.rows + 1, self.rows + count),
        )
        self.rows += count


class Chaos:
    """One storm over one platform."""

    def __init__(
        self, platform: RunningPlatform, seed: int, say: Callable[[str], None] = print
    ) -> None:
        self.platform = platform
        self.seed = seed
        self.faults: Counter[str] = Counter()
        self.actions: Counter[str] = Counter()
        self.accepted: set[int] = set()
        self.violated: list[str] = []
        self.shops: list[Shop] = []
        self._say = say
        self._random = random.Random(seed)
        self._began = time.monotonic()
        self._stopped: list[tuple[float, str, psutil.Process]] = []

    def say(self, text: str) -> None:
        """One line with its time."""
        self._say(f"{time.monotonic() - self._began:7.1f} s  {text}")

    async def prepare(self, organisations: int, *, schedules: bool = True) -> None:
        """Make the organisations. Nothing is broken yet."""
        for number in range(organisations):
            name = f"canary_chaos_{secrets.token_hex(4)}"
            password = f"canary-chaos-{secrets.token_hex(12)}"
            warehouse = make_warehouse(self.platform, name, password)
            warehouse.query("CREATE SCHEMA shop")
            warehouse.query("CREATE TABLE shop.orders (id bigint PRIMARY KEY, note text)")
            shop = Shop(await make_tenant(f"Chaos {number}"), warehouse)
            shop.add_rows(500)
            self.shops.append(shop)
            await asyncio.to_thread(self._make_pipelines, shop, schedules)
        self.say(f"prepared {organisations} organisations with 3 pipelines each")

    def _make_pipelines(self, shop: Shop, schedules: bool) -> None:
        with self._client(shop) as api:
            config = shop.warehouse.config
            # The name is how the invariant check finds the warehouse of a connection.
            connection = api.connections.create(
                ConnectionIn(name=shop.warehouse.database, kind="postgres", config=config)
            ).id
            for how in (APPEND, MERGE, REPLACE):
                spec = _spec(connection, how)
                made = api.pipelines.create(PipelineIn(name=str(how), spec=spec))
                shop.pipelines[str(how)] = made.id
            if not schedules:
                return
            for how in (APPEND, MERGE):
                api.schedules.create(
                    ScheduleIn(
                        pipeline_id=shop.pipelines[str(how)], interval_seconds=SCHEDULE_SECONDS
                    )
                )
            api.dependencies.create(
                shop.pipelines[str(REPLACE)],
                DependencyIn(upstream_id=shop.pipelines[str(APPEND)], within_seconds=600),
            )

    def _client(self, shop: Shop) -> DatanikaClient:
        return DatanikaClient(self.platform.url, access_token(shop.tenant.owner), timeout=20)

    async def storm(self, seconds: float) -> None:
        """Work and faults until ``seconds`` are over; whatever was stopped goes on afterwards."""
        until = time.monotonic() + seconds
        work = [self._trigger, self._trigger, self._cancel, self._retry, self._grow]
        # Work that waits for a stopped part must not keep it stopped.
        waking = asyncio.create_task(self._keep_waking())
        try:
            while time.monotonic() < until:
                if self._random.random() < 0.35:
                    self._break()
                else:
                    chosen = self._random.choice(work)
                    await self._do(self._cancel if await self._is_busy() else chosen)
                await asyncio.sleep(self._random.uniform(0.1, 1.2))
        finally:
            waking.cancel()
            self._wake(everything=True)

    async def _keep_waking(self) -> None:
        while True:
            self._wake()
            await asyncio.sleep(0.2)

    async def _is_busy(self) -> bool:
        """So much waits that it could not be done in the time that is left to heal."""
        with contextlib.suppress(DatanikaError):
            return len(await self._unfinished()) >= MOST_UNFINISHED
        return False

    async def _do(self, work: Callable[[Shop], str]) -> None:
        shop = self._random.choice(self.shops)
        name = work.__name__.lstrip("_")
        try:
            told = await asyncio.to_thread(work, shop)
        except Unavailable as error:
            told = f"{name}: {error.code}"
        except DatanikaError as error:
            told = f"{name}: {error.code}"
            if error.code in ("internal_error", "http_500"):
                self.violated.append(f"the API answered {error.code}: {error.message}")
        except Exception as error:
            # The warehouse is on the PostgreSQL that was just killed.
            told = f"{name}: {type(error).__name__}"
        self.actions[name] += 1
        self.say(told)

    def _trigger(self, shop: Shop) -> str:
        how = self._random.choice(sorted(shop.pipelines))
        return f"trigger: run {self.trigger(shop, how)} ({how})"

    def trigger(self, shop: Shop, how: str) -> int:
        """A run of a pipeline, which is accepted or :class:`Unavailable` is raised; its id."""
        with self._client(shop) as api:
            run = api.pipelines.run(shop.pipelines[how], how=TriggerIn(ignore_dependencies=True))
        self.accepted.add(run.id)
        return run.id

    def _cancel(self, shop: Shop) -> str:
        with self._client(shop) as api:
            for run in api.runs.list(page_size=20):
                if not run.state.is_final:
                    return (
                        f"cancel: run {run.id} was {run.state}, is {api.runs.cancel(run.id).state}"
                    )
        return "cancel: nothing to cancel"

    def _retry(self, shop: Shop) -> str:
        with self._client(shop) as api:
            for state in (RunState.FAILED, RunState.CANCELLED):
                for run in api.runs.list(state=state, page_size=1):
                    again = api.runs.retry(run.id)
                    self.accepted.add(again.id)
                    return f"retry: run {again.id} repeats {run.id}, which was {state}"
        return "retry: nothing to retry"

    def _grow(self, shop: Shop) -> str:
        count = self._random.randint(1, 300)
        shop.add_rows(count)
        return f"grow: {count} rows more for organisation {shop.tenant.org_id}"

    def _break(self) -> None:
        """One fault. A second one may hit what has not healed from the first."""
        kind = self._random.choice(["kill", "stop", "run", "run", "run"])
        if kind == "run":
            name = self._random.choice(OF_RUNS)
            found = processes_of_runs(self.platform).get(name, [])
        else:
            name = self._random.choice(KILLED if kind == "kill" else STOPPED)
            found = []
            with contextlib.suppress(ValueError, psutil.Error):
                found = [part_process(self.platform, name)]
        stop = kind == "stop" or (kind == "run" and self._random.random() < 0.3)
        seconds = self._random.choice([1.0, 3.0, 8.0, 40.0 if kind == "run" else 12.0])
        if not found:
            self.say(f"fault: no {name} to hit")
            return
        victim = found[self._random.randrange(len(found))]
        # SIGQUIT is PostgreSQL's immediate shutdown: as after a crash, and no orphaned sessions.
        number = signal.SIGQUIT if name == "postgres" else signal.SIGKILL
        with contextlib.suppress(psutil.NoSuchProcess):
            if stop:
                victim.suspend()
                self._stopped.append((time.monotonic() + seconds, name, victim))
            else:
                victim.send_signal(number)
        told = f"SIGSTOP for {seconds:.0f} s" if stop else number.name
        self.faults[f"{name} {told.split()[0]}"] += 1
        self.say(f"fault: {told} to {name} {victim.pid}")

    def _wake(self, *, everything: bool = False) -> None:
        """Let what was stopped for long enough go on."""
        kept = []
        for until, name, victim in self._stopped:
            if not everything and until > time.monotonic():
                kept.append((until, name, victim))
                continue
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.resume()
            self.say(f"goes on: {name} {victim.pid}")
        self._stopped = kept

    async def heal(self, seconds: float = HEAL_SECONDS) -> None:
        """Schedules end. Every part has ``seconds`` to answer, then every run so many to end."""
        began, told = time.monotonic(), 0.0
        deadline = began + seconds
        parts_answered = False
        paused = False
        while True:
            wrong = await asyncio.to_thread(unhealthy, self.platform, {})
            try:
                paused = paused or await self._pause()
                open_runs = await self._unfinished()
            except DatanikaError as error:
                open_runs = [f"? ({error.code})"]
            if not wrong and not parts_answered:
                parts_answered, deadline = True, time.monotonic() + seconds
            if not wrong and paused and not open_runs:
                self.say(f"healed after {time.monotonic() - began:.0f} s")
                return
            if time.monotonic() > deadline:
                self.violated += [f"{part} is not healthy again" for part in wrong]
                self.violated += [f"run {one} did not come to an end" for one in open_runs]
                return
            if time.monotonic() - told > 10:
                told = time.monotonic()
                self.say(f"healing: not healthy {wrong}, unfinished runs {open_runs}")
            await asyncio.sleep(1)

    async def _pause(self) -> bool:
        """Stop every schedule of ours."""
        for shop in self.shops:
            with self._client(shop) as api:
                for pipeline_id in shop.pipelines.values():
                    await asyncio.to_thread(api.pipelines.pause, pipeline_id)
        return True

    async def _unfinished(self) -> list[str]:
        async with get_session(SYSTEM) as session:
            query = select(Run.id, Run.state, Run.attempt).where(
                Run.org_id.in_([shop.tenant.org_id for shop in self.shops]),
                Run.state.not_in(FINAL_STATES),
            )
            return [f"{r.id} {r.state} attempt {r.attempt}" for r in await session.execute(query)]

    async def check(self) -> None:
        """One more run of each pipeline must succeed and leave the source's rows; then all else."""
        await self._run_all()
        for shop in self.shops:
            source = shop.warehouse.query(_FIGURES.format("shop.orders"))
            for how in shop.pipelines:
                loaded = shop.warehouse.query(_FIGURES.format(f"raw.{how}"))
                if loaded != source:
                    self.violated.append(
                        f"{shop.warehouse.database}: raw.{how} has {loaded}, not {source}"
                    )
        async with get_session(SYSTEM) as session:
            query = select(Run.id).where(Run.id.in_(self.accepted))
            lost = self.accepted - set(await session.scalars(query))
        self.violated += [f"run {run_id} was accepted and is lost" for run_id in sorted(lost)]
        place = Place(
            admin_url=cluster_of(self.platform).admin_url,
            home=self.platform.home,
            warehouses=[shop.warehouse for shop in self.shops],
            canaries=[shop.warehouse.password for shop in self.shops],
            worker=part_process(self.platform, "worker"),
        )
        deadline = time.monotonic() + 20
        while (found := await violations(place)) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(1)
        self.violated += found

    async def _run_all(self) -> None:
        for how in (APPEND, MERGE, REPLACE):
            runs = []
            for shop in self.shops:
                with self._client(shop) as api:
                    run = await asyncio.to_thread(
                        api.pipelines.run,
                        shop.pipelines[str(how)],
                        how=TriggerIn(ignore_dependencies=True),
                    )
                self.accepted.add(run.id)
                runs.append(run.id)
            deadline = time.monotonic() + LAST_RUN_SECONDS
            while time.monotonic() < deadline and await self._unfinished():  # noqa: ASYNC110
                await asyncio.sleep(0.5)
            async with get_session(SYSTEM) as session:
                query = select(Run).where(Run.id.in_(runs))
                for found in await session.scalars(query):
                    if found.state != RunState.SUCCEEDED:
                        self.violated.append(
                            f"run {found.id} ({how}) after the storm is {found.state}: "
                            f"{found.error_code} {found.error_message}"
                        )
            self.say(f"last runs ({how}): {runs}")

    async def summary(self) -> dict[str, Any]:
        """What happened, for machines."""
        ends: Counter[str] = Counter()
        async with get_session(SYSTEM) as session:
            query = select(Run.state, Run.error_code, Run.attempt).where(
                Run.org_id.in_([shop.tenant.org_id for shop in self.shops])
            )
            for row in await session.execute(query):
                ends[f"{row.state} {row.error_code}" if row.error_code else row.state] += 1
        return {
            "seed": self.seed,
            "seconds": round(time.monotonic() - self._began),
            "runs": dict(sorted(ends.items())),
            "faults": dict(sorted(self.faults.items())),
            "actions": dict(sorted(self.actions.items())),
            "invariants_ok": not self.violated,
            "violated": self.violated,
        }


_FIGURES = (
    "SELECT count(*), count(DISTINCT id), sum(id), md5(string_agg(note, '' ORDER BY id)) FROM {}"
)


def _spec(connection: int, how: WriteDisposition) -> PipelineSpec:
    table = TableSpec(
        name="orders",
        target=str(how),
        write_disposition=how,
        primary_key=("id",) if how is MERGE else (),
        cursor=None if how is REPLACE else IncrementalCursor(column="id"),
    )
    load = LoadStep(
        key="load",
        source_id=connection,
        destination_id=connection,
        source_schema="shop",
        target_schema="raw",
        tables=(table,),
        retry=RetryPolicy(retries=2, delay_seconds=1, timeout_seconds=120),
    )
    return PipelineSpec(steps=(load,))


async def run_chaos(
    platform: RunningPlatform,
    seed: int,
    seconds: float,
    *,
    organisations: int = 3,
    heal_seconds: float = HEAL_SECONDS,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """A storm of ``seconds`` over ``platform``; the summary. It is healthy again afterwards."""
    chaos = Chaos(platform, seed, say)
    async with settings_of(platform):
        await chaos.prepare(organisations)
        await chaos.storm(seconds)
        await chaos.heal(heal_seconds)
        await chaos.check()
        return await chaos.summary()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--organisations", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="Folder for the data, which is then kept.")
    given = parser.parse_args()
    # So that the platform is stopped whoever stops us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    say = lambda text: print(text, flush=True)  # noqa: E731
    with contextlib.ExitStack() as stack:
        folder = given.keep or Path(stack.enter_context(TemporaryDirectory(prefix="dtnk-chaos-")))
        folder.mkdir(exist_ok=True)
        # PostgreSQL runs as another user where we run as root.
        os.chmod(folder, 0o711)
        say(f"seed {given.seed}, {given.minutes} minutes; starting the platform")
        platform = stack.enter_context(running_platform(folder / "home"))
        summary = asyncio.run(
            run_chaos(
                platform,
                given.seed,
                given.minutes * 60,
                organisations=given.organisations,
                say=say,
            )
        )
    say(json.dumps(summary))
    if summary["violated"]:
        say(f"VIOLATED with --seed {given.seed}:")
        for line in summary["violated"]:
            say(f"  {line}")
    return 1 if summary["violated"] else 0


if __name__ == "__main__":
    sys.exit(main())
