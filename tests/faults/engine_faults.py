"""Ways to hit a step that is running: its process, and the point at which it is hit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from datanika.contracts.events import NodeStarted, RunEvent, StepFinished
from datanika.contracts.steps import ResolvedLoad
from datanika.errors import StepError
from datanika.execution.engine_host import EngineHostClient
from tests.support.postgres import Warehouse


def write_rows(root: Path, rows: int) -> None:
    """``t.parquet`` with ``rows`` rows; more rows later keep the first ones as they are."""
    (root / "files").mkdir(parents=True, exist_ok=True)
    ids = list(range(rows))
    pq.write_table(
        pa.table({"id": ids, "text": [f"row {i}" for i in ids]}), root / "files" / "t.parquet"
    )


def children_of(host: EngineHostClient) -> list[psutil.Process]:
    """The engine children that live."""
    found = []
    for child in psutil.Process(host.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
    return found


async def outcome(
    host: EngineHostClient, step: ResolvedLoad, *, started: asyncio.Event | None = None
) -> str | None:
    """Run ``step`` to its end, whichever that is; the code of its failure.

    ``started`` is set when it has its locks and comes to its first table."""
    stream: AsyncIterator[RunEvent] = host.run(step)
    try:
        async with aclosing(stream) as events:  # type: ignore[type-var]
            async for event in events:
                if isinstance(event, NodeStarted) and started is not None:
                    started.set()
                if isinstance(event, StepFinished):
                    return event.failure.code if event.failure else None
    except StepError as error:
        return error.code
    return "no_end"


async def hit(host: EngineHostClient, number: int) -> list[psutil.Process]:
    """Send the signal ``number`` to every engine child; they are there a moment after the start."""
    while not (found := children_of(host)):  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    for child in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, number)
    return found


@contextlib.contextmanager
def blocked(warehouse: Warehouse, table: str) -> Iterator[None]:
    """Nobody can write ``table`` in this block: a load that comes to it waits there."""
    connection = warehouse.connect()
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
        yield
    finally:
        connection.close()


async def somebody_waits(warehouse: Warehouse, seconds: float = 60) -> None:
    """Until a session of a run waits for a lock."""
    deadline = time.monotonic() + seconds
    while not warehouse.query(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() "
        "AND starts_with(application_name, 'datanika-run-') AND wait_event_type = 'Lock' "
        "AND query NOT ILIKE '%advisory%'"
    ):
        assert time.monotonic() < deadline, warehouse.query(
            "SELECT application_name, wait_event_type, state, query FROM pg_stat_activity "
            "WHERE datname = current_database()"
        )
        await asyncio.sleep(0.02)
