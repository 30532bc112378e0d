"""What an engine child streams back while it works, and what the control plane stores.

One JSON object a line on the pipe. Everything is redacted before it is written there.
``node`` is a loaded table (``raw.flights``) or a dbt node's unique id (``model.org1.stg_flights``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from datanika.contracts.base import Contract
from datanika.contracts.docs import EntryDocs
from datanika.contracts.enums import LogLevel, RunState, StepState
from datanika.contracts.lineage import StatementLineage
from datanika.contracts.shape import BreachKind


def utcnow() -> dt.datetime:
    """Now, with its zone."""
    return dt.datetime.now(dt.UTC)


class _Event(Contract):
    step_key: str
    at: dt.datetime = Field(default_factory=utcnow)


class Failure(Contract):
    """Why something failed, in words for the tenant."""

    code: str
    message: str
    hint: str | None = None
    transient: bool = False


class ColumnInfo(Contract):
    name: str
    data_type: str
    nullable: bool = True


class ColumnChange(Contract):
    """A column that differs from what the last successful load of its table read. Types are the
    reader's own names for them."""

    change: Literal["added", "removed", "retyped"]
    column: str
    before: str | None = None
    after: str | None = None


class ColumnBreach(Contract):
    """A column of a loaded table that is not what its schema contract says."""

    relation: str = Field(description="schema.table in the destination.")
    column: str | None = Field(description="Its name there; null: the whole table is missing.")
    how: BreachKind
    is_new: bool = Field(default=False, description="The table has no such column.")


def column_changes(
    before: Iterable[ColumnInfo], after: Iterable[ColumnInfo]
) -> tuple[ColumnChange, ...]:
    """What became of the columns, sorted by name."""
    old = {column.name: column.data_type for column in before}
    new = {column.name: column.data_type for column in after}
    found = []
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name), new.get(name)
        if was != now:
            change: Literal["added", "removed", "retyped"] = "retyped"
            if was is None or now is None:
                change = "added" if was is None else "removed"
            found.append(ColumnChange(change=change, column=name, before=was, after=now))
    return tuple(found)


class StepStarted(_Event):
    type: Literal["step_started"] = "step_started"
    attempt: int


class StepFinished(_Event):
    type: Literal["step_finished"] = "step_finished"
    state: StepState
    rows: int | None = None
    bytes: int | None = None
    failure: Failure | None = None


class NodeStarted(_Event):
    type: Literal["node_started"] = "node_started"
    node: str
    name: str
    resource_type: str = Field(description="table, model, test, seed, snapshot")
    depends_on: tuple[str, ...] = ()


class NodeProgress(_Event):
    type: Literal["node_progress"] = "node_progress"
    node: str
    rows: int
    total: int | None = None


class NodeCommitted(_Event):
    """A table's rows are in the destination for good, whatever becomes of the step."""

    type: Literal["node_committed"] = "node_committed"
    node: str
    rows: int
    cursor_moved: bool = False


class SchemaChanged(_Event):
    """The source of a table is not what it was when it was last loaded."""

    type: Literal["schema_changed"] = "schema_changed"
    node: str
    changes: tuple[ColumnChange, ...] = Field(default=(), max_length=5000)


class NodeFinished(_Event):
    type: Literal["node_finished"] = "node_finished"
    node: str
    name: str
    resource_type: str
    state: StepState
    duration_seconds: float | None = None
    rows: int | None = None
    relation: str | None = Field(default=None, description="schema.table in the destination.")
    columns: tuple[ColumnInfo, ...] = ()
    source_columns: tuple[ColumnInfo, ...] = Field(
        default=(), description="What a load read; empty where that is not known."
    )
    depends_on: tuple[str, ...] = ()
    failure: Failure | None = None
    breaches: tuple[ColumnBreach, ...] = Field(
        default=(), max_length=5000, description="Of a loaded table."
    )
    docs: EntryDocs | None = Field(default=None, description="Of a relation that dbt knows.")
    checked: tuple[str, ...] = Field(
        default=(), max_length=500, description="Relations that a test or a freshness is about."
    )
    details: dict[str, Any] = Field(default_factory=dict)


class LineageFound(_Event):
    """Where the columns of a relation come from, after its node was built."""

    type: Literal["lineage_found"] = "lineage_found"
    node: str
    relation: str = Field(description="schema.table in the destination.")
    lineage: StatementLineage


class CursorMoved(_Event):
    """A table's load has committed: where its incremental cursor is now.

    ``state`` is what the destination remembers; ``rewind`` in it is the number of the last rewind
    that was taken.
    """

    type: Literal["cursor_moved"] = "cursor_moved"
    target: str = Field(description="Destination table.")
    column: str
    value: str | None
    state: dict[str, Any] = Field(default_factory=dict)


class LogLine(_Event):
    type: Literal["log"] = "log"
    level: LogLevel = LogLevel.INFO
    message: str
    node: str | None = None


RunEvent = Annotated[
    StepStarted
    | StepFinished
    | NodeStarted
    | NodeProgress
    | NodeCommitted
    | NodeFinished
    | SchemaChanged
    | LineageFound
    | CursorMoved
    | LogLine,
    Field(discriminator="type"),
]
run_event: TypeAdapter[RunEvent] = TypeAdapter(RunEvent)


class RunClaim(Contract):
    """A worker's right to run one attempt of one run."""

    run_id: int
    org_id: int
    pipeline_id: int
    attempt: int
    token: str = Field(repr=False, description="Run-scoped bearer token for the internal API.")
    proceed: bool = Field(default=True, description="False: the run is over or another has it.")
    reason: str | None = None
    elapsed_seconds: float = Field(
        default=0.0, description="Since the run's first attempt began: part of its timeout."
    )
    start_at: dt.datetime | None = Field(
        default=None, description="With proceed=False: ask again then, it is too early."
    )


class RunFinish(Contract):
    """How a run ended, as the flow saw it."""

    state: RunState
    failure: Failure | None = None
