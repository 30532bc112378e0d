"""F5: a step whose disk is full fails with that reason and cleans up; its neighbours are fine."""

from __future__ import annotations

import asyncio
from pathlib import Path

from datanika.contracts.events import StepFinished
from datanika.execution.engine_host import EngineHostClient
from datanika.execution.sandbox import StepLimits
from tests.faults.engine_faults import write_rows
from tests.faults.invariants import Place, left_behind
from tests.support.postgres import PostgresServer, Warehouse
from tests.test_engines.steps import REPLACE, files, load, postgres, table
from tests.test_execution.hosts import collect

DISK_MB = 16
TOO_MANY = 2_000_000
"""Rows that dlt cannot keep in one file of so many megabytes."""


async def test_a_full_disk_is_the_reason_and_only_the_steps_own_trouble(
    host: EngineHostClient,
    home: Path,
    tmp_path: Path,
    warehouse: Warehouse,
    postgres_server: PostgresServer,
) -> None:
    write_rows(tmp_path / "big", TOO_MANY)
    write_rows(tmp_path / "small", 1_000)
    destination = postgres(warehouse.config)
    big, neighbour = (
        load(
            files(tmp_path / name),
            destination,
            # Who only copies needs no disk: a setting of the table makes dlt keep its rows.
            table("t.parquet", name, REPLACE).model_copy(update={"batch_rows": 50_000}),
            run_id=number,
        )
        for number, name in enumerate(("big", "small"), 1)
    )
    limits = StepLimits(file_mb=DISK_MB)
    ends = await asyncio.gather(
        collect(host, big, limits=limits), collect(host, neighbour, limits=limits)
    )
    full, fine = (events[-1] for events in ends)
    assert isinstance(full, StepFinished)
    assert isinstance(fine, StepFinished)
    assert full.failure is not None
    assert full.failure.code == "disk_full", full.failure
    assert full.failure.hint
    assert fine.failure is None
    assert warehouse.query("SELECT count(*) FROM raw.small") == [(1_000,)]
    assert left_behind(Place(postgres_server.admin_url, home, [warehouse])) == []
