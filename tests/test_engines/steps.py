"""Steps for engine tests: connections, loads, and the run of one in this process."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datanika.contracts.egress import EgressPolicy, Networks
from datanika.contracts.enums import WriteDisposition
from datanika.contracts.events import NodeFinished, RunEvent, StepFinished
from datanika.contracts.spec import IncrementalCursor, LoadStep, TableSpec
from datanika.contracts.steps import ResolvedConnection, ResolvedLoad

APPEND, MERGE, REPLACE = (
    WriteDisposition.APPEND,
    WriteDisposition.MERGE,
    WriteDisposition.REPLACE,
)

LOCAL = EgressPolicy(networks=Networks.LOCAL)
"""The servers of these tests are on this machine."""


def postgres(config: dict[str, Any], connection_id: int = 2) -> ResolvedConnection:
    return ResolvedConnection(
        id=connection_id,
        name="warehouse",
        kind="postgres",
        config=config,
        secret_fields=("password",),
        egress=LOCAL,
    )


def duckdb(root: Path) -> ResolvedConnection:
    return ResolvedConnection(
        id=3, name="ducks", kind="duckdb", config={"path": "warehouse.duckdb"}, root=str(root)
    )


def files(root: Path, format: str = "parquet") -> ResolvedConnection:
    (root / "files").mkdir(parents=True, exist_ok=True)
    return ResolvedConnection(
        id=1, name="uploads", kind="files", config={"format": format}, root=str(root)
    )


def table(
    name: str,
    target: str,
    how: WriteDisposition = REPLACE,
    key: tuple[str, ...] = (),
    cursor: str | None = None,
    columns: tuple[str, ...] = (),
) -> TableSpec:
    return TableSpec(
        name=name,
        target=target,
        write_disposition=how,
        primary_key=key,
        cursor=IncrementalCursor(column=cursor) if cursor else None,
        columns=columns,
    )


def changes(
    name: str,
    target: str | None = None,
    key: tuple[str, ...] = (),
    deletes: str = "hard",
    **more: Any,
) -> TableSpec:
    """A table that is kept equal by its source's changes."""
    return TableSpec.model_validate(
        {
            "name": name,
            "target": target or name,
            "write_disposition": MERGE,
            "primary_key": key,
            "sync": "cdc",
            "deletes": deletes,
            **more,
        }
    )


def load(
    source: ResolvedConnection,
    destination: ResolvedConnection,
    *tables: TableSpec,
    schema: str = "raw",
    source_schema: str | None = None,
    attempt: int = 1,
    run_id: int = 1,
) -> ResolvedLoad:
    return ResolvedLoad(
        run_id=run_id,
        attempt=attempt,
        pipeline_key="p1_load",
        step=LoadStep(
            key="load",
            source_id=source.id,
            destination_id=destination.id,
            target_schema=schema,
            source_schema=source_schema,
            tables=tables,
        ),
        source=source,
        destination=destination,
    )


@dataclass
class Outcome:
    """What a step reported."""

    finished: StepFinished
    events: list[RunEvent] = field(default_factory=list)

    @property
    def nodes(self) -> dict[str, NodeFinished]:
        return {event.name: event for event in self.events if isinstance(event, NodeFinished)}

    @property
    def code(self) -> str | None:
        return self.finished.failure.code if self.finished.failure else None


def run(step: ResolvedLoad) -> Outcome:
    """Run a load here; it leaves nothing behind."""
    from datanika.engines.dlt_engine.load import run_load

    events: list[RunEvent] = []
    with tempfile.TemporaryDirectory() as folder:
        finished = run_load(step, Path(folder), events.append)
    return Outcome(finished, events)
