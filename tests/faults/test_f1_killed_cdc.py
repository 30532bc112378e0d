"""F1 for change data capture: after any number of crashes a table equals its source.

Crash points: before the rows, before dlt's entry, between the commit and the slot; and random ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from datanika.execution.engine_host import EngineHostClient
from datanika.runtime import databases
from tests.faults.engine_faults import blocked, children_of, hit, outcome, somebody_waits
from tests.faults.invariants import Place, left_behind
from tests.support.cdc import Changer, Synced
from tests.support.postgres import PostgresServer, Warehouse
from tests.test_engines import steps
from tests.test_engines.steps import changes
from tests.test_engines.targets import Target

SEEDS = int(os.environ.get("DATANIKA_FAULT_SEEDS", "2"))


@pytest.fixture
def source(
    postgres_server: PostgresServer, warehouses: tuple[Warehouse, Warehouse]
) -> Iterator[Warehouse]:
    one = warehouses[0]
    with databases.cursor(postgres_server.admin_url) as cur:
        cur.execute(f'ALTER ROLE "{one.user}" REPLICATION')
    yield one


def synced(source: Warehouse, warehouse: Warehouse) -> Synced:
    return Synced(source, Target(steps.postgres(warehouse.config), warehouse.query), changes("t"))


async def test_a_crash_at_each_point_loses_and_doubles_nothing(
    source: Warehouse,
    warehouse: Warehouse,
    host: EngineHostClient,
    home: Path,
    postgres_server: PostgresServer,
) -> None:
    changer, one = Changer(source, "points"), synced(source, warehouse)
    changer.work(20)
    assert await outcome(host, one.step()) is None
    for locked in ("raw.t", "raw._dlt_loads"):
        changer.work(20)
        before = one.rows(Changer.COLUMNS)
        with blocked(warehouse, locked):
            work = asyncio.create_task(outcome(host, one.step()))
            await somebody_waits(warehouse)
            await hit(host, signal.SIGKILL)
            assert await work == "engine_died"
        assert one.rows(Changer.COLUMNS) == before
        assert await outcome(host, one.step()) is None
        assert one.rows(Changer.COLUMNS) == one.there(Changer.COLUMNS)
    # Committed, but not let go: the same changes are read again, and left out.
    [(name, held)] = one.slots
    source.query("SELECT pg_copy_logical_replication_slot(%s, 'kept')", (name,))
    changer.work(20)
    assert await outcome(host, one.step()) is None
    source.query("SELECT pg_drop_replication_slot(%s)", (name,))
    source.query("SELECT pg_copy_logical_replication_slot('kept', %s)", (name,))
    source.query("SELECT pg_drop_replication_slot('kept')")
    assert one.slots == [(name, held)]
    changer.work(5)
    assert await outcome(host, one.step()) is None
    assert one.rows(Changer.COLUMNS) == one.there(Changer.COLUMNS)
    assert left_behind(Place(postgres_server.admin_url, home, [warehouse])) == []


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_crashes_at_random_moments_lose_and_double_nothing(
    source: Warehouse,
    warehouse: Warehouse,
    host: EngineHostClient,
    home: Path,
    postgres_server: PostgresServer,
    seed: int,
) -> None:
    chance = random.Random(f"cdc {seed}")
    changer, one = Changer(source, seed), synced(source, warehouse)
    source.query("INSERT INTO t SELECT i, i, 'x' FROM generate_series(1000, 20000) i")
    usual = 1.0
    for _ in range(3):
        changer.work(15)
        source.query("UPDATE t SET s = s || 'x' WHERE id >= 1000")
        for _ in range(3):
            work = asyncio.create_task(outcome(host, one.step()))
            await asyncio.sleep(chance.uniform(0.02, 1.2 * usual))
            number = chance.choice((signal.SIGKILL, signal.SIGTERM))
            for child in children_of(host):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, number)
            # It may have been over before.
            await work
            changer.work(3)
        began = time.monotonic()
        assert await outcome(host, one.step()) is None
        usual = time.monotonic() - began
        assert one.rows(Changer.COLUMNS) == one.there(Changer.COLUMNS)
    assert left_behind(Place(postgres_server.admin_url, home, [warehouse])) == []
    assert len(one.slots) == 1
