"""F1: after any number of crashes a table equals one clean load, and readers never see half of it.

Crash points: the moments at which a load waits for a table that the test has locked (the target,
dlt's own entry of completed loads), and random moments. ``DATANIKA_FAULT_SEEDS`` is the
number of seeds for these; the default is what CI can afford.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from datanika.contracts.enums import WriteDisposition
from datanika.contracts.spec import TableSpec
from datanika.contracts.steps import ResolvedLoad
from datanika.execution.engine_host import EngineHostClient
from tests.faults.engine_faults import (
    blocked,
    children_of,
    hit,
    outcome,
    somebody_waits,
    write_rows,
)
from tests.faults.invariants import Place, left_behind
from tests.support.postgres import PostgresServer, Warehouse
from tests.test_engines.steps import APPEND, MERGE, REPLACE, files, load, postgres, table

SEEDS = int(os.environ.get("DATANIKA_FAULT_SEEDS", "1"))
DISPOSITIONS = (APPEND, MERGE, REPLACE)
FEEDS = ("parquet", "csv", "postgres")
SIGNALS = (signal.SIGKILL, signal.SIGTERM)
ROWS = 40_000
FIGURES = "SELECT count(*), count(DISTINCT id), md5(string_agg(id || text, '' ORDER BY id)) FROM {}"
CRASH_POINTS = {
    "before the rows come to the table": "raw.t",
    "between the rows and dlt's own entry": "raw._dlt_loads",
}


class Load:
    """A load of a table, first and again with more rows; ``feed``: what it is read from."""

    def __init__(self, root: Path, warehouse: Warehouse, how: WriteDisposition, feed: str) -> None:
        self.root, self.warehouse, self.how, self.feed = root, warehouse, how, feed
        self.rows = 0

    def grow(self, rows: int) -> None:
        before, self.rows = self.rows, self.rows + rows
        if self.feed == "parquet":
            write_rows(self.root, self.rows)
        elif self.feed == "csv":
            folder = self.root / "files"
            folder.mkdir(parents=True, exist_ok=True)
            lines = [f"{number},row {number}\n" for number in range(self.rows)]
            (folder / "t.csv").write_text("id,text\n" + "".join(lines))
        else:
            query = self.warehouse.query
            query("CREATE TABLE IF NOT EXISTS public.source (id bigint, text varchar)")
            query(
                "INSERT INTO public.source SELECT i, 'row ' || i FROM generate_series(%s, %s) i",
                (before, self.rows - 1),
            )

    def spec(self, target: str = "t") -> TableSpec:
        key = ("id",) if self.how is MERGE else ()
        name = "source" if self.feed == "postgres" else f"t.{self.feed}"
        return table(name, target, self.how, key, None if self.how is REPLACE else "id")

    def attempt(self, run_id: int, attempt: int, schema: str = "raw") -> ResolvedLoad:
        destination = postgres(self.warehouse.config)
        copied = self.feed == "postgres"
        return load(
            destination if copied else files(self.root, self.feed),
            destination,
            self.spec(),
            source_schema="public" if copied else None,
            schema=schema,
            run_id=run_id,
            attempt=attempt,
        )

    async def equals_a_clean_run(self, host: EngineHostClient) -> None:
        assert await outcome(host, self.attempt(99, 1, "clean")) is None
        [expected] = self.warehouse.query(FIGURES.format("clean.t"))
        assert self.warehouse.query(FIGURES.format("raw.t")) == [expected]
        self.warehouse.query("DROP SCHEMA clean CASCADE")


MakeLoad = Callable[..., Load]


@pytest.fixture
def make_load(tmp_path: Path, warehouse: Warehouse) -> MakeLoad:
    return lambda how, feed="parquet": Load(tmp_path, warehouse, how, feed)


@contextmanager
def reader(warehouse: Warehouse, allowed: set[int]) -> Iterator[None]:
    """Somebody who reads the table all the time; only ``allowed`` numbers of rows may be seen."""
    seen: set[int] = set()
    over = threading.Event()

    def read() -> None:
        connection = warehouse.connect()
        connection.autocommit = True
        with connection.cursor() as cursor:
            while not over.is_set():
                cursor.execute("SELECT count(*) FROM raw.t")
                seen.add(cursor.fetchone()[0])
                time.sleep(0.01)
        connection.close()

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert seen
    assert seen <= allowed


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("how", DISPOSITIONS, ids=str)
async def test_a_crash_at_each_point_of_a_load_loses_and_doubles_nothing(
    make_load: MakeLoad,
    host: EngineHostClient,
    home: Path,
    warehouse: Warehouse,
    postgres_server: PostgresServer,
    how: WriteDisposition,
    feed: str,
) -> None:
    one = make_load(how, feed)
    one.grow(200)
    assert await outcome(host, one.attempt(1, 1)) is None
    for run_id, (point, locked) in enumerate(CRASH_POINTS.items(), 2):
        before = one.rows
        one.grow(100)
        allowed = {before, one.rows}
        with reader(warehouse, allowed):
            with blocked(warehouse, locked):
                work = asyncio.create_task(outcome(host, one.attempt(run_id, 1)))
                await somebody_waits(warehouse)
                await hit(host, signal.SIGKILL)
                assert await work == "engine_died", point
            assert await outcome(host, one.attempt(run_id, 2)) is None, point
        await one.equals_a_clean_run(host)
    assert left_behind(Place(postgres_server.admin_url, home, [warehouse])) == []


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("how", DISPOSITIONS, ids=str)
async def test_crashes_at_random_moments_lose_and_double_nothing(
    make_load: MakeLoad,
    host: EngineHostClient,
    home: Path,
    warehouse: Warehouse,
    postgres_server: PostgresServer,
    how: WriteDisposition,
    feed: str,
    seed: int,
) -> None:
    chance = random.Random(f"{how} {seed}")
    one = make_load(how, feed)
    one.grow(1_000)
    began = time.monotonic()
    assert await outcome(host, one.attempt(1, 1)) is None
    usual = time.monotonic() - began
    for run_id in range(2, 4):
        before = one.rows
        one.grow(ROWS)
        with reader(warehouse, {before, one.rows}):
            for attempt in range(1, 4):
                work = asyncio.create_task(outcome(host, one.attempt(run_id, attempt)))
                await asyncio.sleep(chance.uniform(0.05, 1.3 * usual))
                number = chance.choice(SIGNALS)
                for child in children_of(host):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child.pid, number)
                # It may have been over before.
                await work
            assert await outcome(host, one.attempt(run_id, 4)) is None
    await one.equals_a_clean_run(host)
    assert left_behind(Place(postgres_server.admin_url, home, [warehouse])) == []


@pytest.mark.parametrize("again", [(3, 1), (2, 1), (2, 2)], ids=["run", "step", "attempt"])
async def test_the_last_statement_of_a_killed_load_cannot_land_in_what_comes_next(
    make_load: MakeLoad,
    host: EngineHostClient,
    warehouse: Warehouse,
    again: tuple[int, int],
) -> None:
    """The server runs it to its end, though nobody is there to hear of it."""
    one = make_load(APPEND)
    one.grow(200)
    assert await outcome(host, one.attempt(1, 1)) is None
    one.grow(100)
    with blocked(warehouse, "raw.t"):
        killed = asyncio.create_task(outcome(host, one.attempt(2, 1)))
        await somebody_waits(warehouse)
        await hit(host, signal.SIGKILL)
        assert await killed == "engine_died"
        assert writers(warehouse), "the statement of the killed load still waits"
        left = writers(warehouse)
        following = asyncio.create_task(outcome(host, one.attempt(*again)))
        while left & writers(warehouse):
            assert not following.done()
            await asyncio.sleep(0.05)
    assert await following is None
    await one.equals_a_clean_run(host)


def writers(warehouse: Warehouse) -> set[int]:
    """Sessions of loads that hold no lock themselves."""
    found = warehouse.query(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
        "AND application_name LIKE 'datanika-run-%-lock-%'"
    )
    return {pid for (pid,) in found}
