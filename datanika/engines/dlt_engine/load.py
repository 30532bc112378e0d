"""A load step: each table through staging into the destination, counted before and after."""

from __future__ import annotations

import time
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from datanika.contracts.enums import LogLevel, StepState
from datanika.contracts.events import (
    ColumnBreach,
    ColumnInfo,
    Failure,
    NodeFinished,
    NodeStarted,
    StepFinished,
)
from datanika.contracts.shape import BreachKind
from datanika.contracts.spec import TableSpec
from datanika.contracts.steps import ResolvedLoad
from datanika.engines.connectors.registry import connector_of
from datanika.engines.dlt_engine.direct.choice import other_setting
from datanika.engines.dlt_engine.loaded import Loaded
from datanika.engines.dlt_engine.ownership import Ownership
from datanika.engines.dlt_engine.shape.contract import violation_in
from datanika.engines.dlt_engine.table_load import TableLoad
from datanika.engines.emit import Emit, log
from datanika.engines.failures import failure_of
from datanika.engines.warehouse import Warehouse, WriterId, open_warehouse

if TYPE_CHECKING:
    from datanika.engines.dlt_engine.cdc.step import CdcStep


def run_load(step: ResolvedLoad, folder: Path, emit: Emit) -> StepFinished:
    """Load every table of ``step``. ``folder`` is empty and the caller's to remove.

    A table that fails does not keep the others from loading, unless a connection is the reason.
    Raises nothing of the engines: what failed is in the answer.
    """
    try:
        warehouse = open_warehouse(step.destination, WriterId(step.run_id, step.attempt))
    except Exception as error:
        return _failed(step, failure_of(error))
    try:
        return _LoadRun(step, folder, emit, warehouse).run()
    except Exception as error:
        return _failed(step, failure_of(error))
    finally:
        warehouse.close()


class _LoadRun:
    def __init__(self, step: ResolvedLoad, folder: Path, emit: Emit, warehouse: Warehouse) -> None:
        self.step, self.folder, self.emit, self.warehouse = step, folder, emit, warehouse
        self.key = step.step.key
        self.schema = step.step.target_schema
        self.owners = Ownership(warehouse, self.schema, step.owner, step.pipeline_key)
        self.cdc = self._changes()
        self.rows = 0
        self.bytes = 0
        self.failures: list[Failure] = []

    def run(self) -> StepFinished:
        tables = [self._target(table) for table in self.step.step.tables]
        with self.warehouse.lock([(self.schema, str(table.target)) for table in tables]):
            self.owners.read()
            with closing(self.cdc) if self.cdc is not None else nullcontext():
                for index, table in enumerate(tables):
                    if self._stopped():
                        self._skip(table)
                    else:
                        self._load(table, index)
                if self.cdc is not None:
                    self.cdc.finish()
        if self.failures:
            worst = next((f for f in self.failures if not f.transient), self.failures[0])
            return _failed(self.step, worst, self.rows, self.bytes)
        return StepFinished(
            step_key=self.key, state=StepState.SUCCEEDED, rows=self.rows, bytes=self.bytes
        )

    def _changes(self) -> CdcStep | None:
        """What the tables share that follow their source's log; None: there are none."""
        if all(table.sync != "cdc" for table in self.step.step.tables):
            return None
        from datanika.engines.dlt_engine.cdc.load import stored_state
        from datanika.engines.dlt_engine.cdc.step import CdcStep

        state_of = partial(stored_state, self.step, self.warehouse)
        return CdcStep(self.step, self.folder, self.emit, state_of)

    def _target(self, table: TableSpec) -> TableSpec:
        return table if table.target else table.model_copy(update={"target": table.name})

    def _stopped(self) -> bool:
        return any(f.transient or f.code in _OF_THE_CONNECTION for f in self.failures)

    def _load(self, table: TableSpec, index: int) -> None:
        node, name = f"{self.schema}.{table.target}", str(table.target)
        self.emit(NodeStarted(step_key=self.key, node=node, name=name, resource_type="table"))
        started = time.monotonic()
        failure: Failure | None = None
        loaded = Loaded()
        columns: tuple[ColumnInfo, ...] = ()
        breaches: tuple[ColumnBreach, ...] = ()
        try:
            folder = self.folder / f"table{index}"
            folder.mkdir()
            self.owners.check(name)
            loaded = self._load_into(table, folder)
            breaches = loaded.breaches
            if loaded.committed:
                self.owners.claim(name)
            target = (self.schema, name)
            columns = self.warehouse.columns([target]).get(target, ())
        except Exception as error:
            failure = failure_of(error)
            breaches = frozen(node, error)
            self.failures.append(failure)
            log(self.emit, self.key, failure.message, LogLevel.ERROR, node)
        self.rows += loaded.rows
        self.bytes += loaded.bytes
        self.emit(
            NodeFinished(
                step_key=self.key,
                node=node,
                name=name,
                resource_type="table",
                state=StepState.FAILED if failure else StepState.SUCCEEDED,
                duration_seconds=round(time.monotonic() - started, 3),
                rows=None if failure else loaded.rows,
                relation=node,
                columns=columns,
                source_columns=() if failure else loaded.source_columns,
                failure=failure,
                breaches=breaches,
                details=loaded.details(table),
            )
        )

    def _load_into(self, table: TableSpec, folder: Path) -> Loaded:
        """APIs give rows of any shape, which dlt makes tables of, and dlt does what a table's
        settings ask of single rows; the destination's own way takes the rest."""
        if self.cdc is not None and table.sync == "cdc":
            changes = connector_of(self.step.destination).changes_loader()
            return changes(self.step, table, folder, self.emit, self.warehouse, self.cdc).run()
        loader: type[TableLoad] = TableLoad
        if not connector_of(self.step.source).gives_rows and other_setting(table) is None:
            loader = connector_of(self.step.destination).loader(self.step.source)
        return loader(self.step, table, folder, self.emit, self.warehouse).run()

    def _skip(self, table: TableSpec) -> None:
        self.emit(
            NodeFinished(
                step_key=self.key,
                node=f"{self.schema}.{table.target}",
                name=str(table.target),
                resource_type="table",
                state=StepState.SKIPPED,
            )
        )


def frozen(node: str, error: BaseException) -> tuple[ColumnBreach, ...]:
    """The column whose contract ended the load of ``node``; none where something else did."""
    found = violation_in(error)
    if found is None:
        return ()
    return (
        ColumnBreach(
            relation=node, column=found.column, how=BreachKind.FROZEN, is_new=found.is_new
        ),
    )


_OF_THE_CONNECTION = frozenset(
    {
        "authentication_failed",
        "connection_config_invalid",
        "database_missing",
        "disk_full",
        "egress_refused",
        "host_refused",
        "role_privileged",
    }
)


def _failed(
    step: ResolvedLoad, failure: Failure, rows: int | None = None, size: int | None = None
) -> StepFinished:
    return StepFinished(
        step_key=step.step.key, state=StepState.FAILED, rows=rows, bytes=size, failure=failure
    )
