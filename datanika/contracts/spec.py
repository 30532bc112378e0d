"""The pipeline specification: what a tenant writes and a pipeline version stores.

Connections are named by id, because a rename must not change an immutable version. A step's
``key`` names it for people, for ``depends_on`` and for retries.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from datanika.contracts.base import Contract
from datanika.contracts.dbt import ColumnSpec as ColumnSpec
from datanika.contracts.dbt import (
    Constraint,
    DbtName,
    DbtTest,
    ExposureSpec,
    MicrobatchSpec,
    ProjectSpec,
    SeedSpec,
    SnapshotSpec,
    SourceSpec,
    TestSettings,
    UnitTestSpec,
)
from datanika.contracts.enums import DbtCommand, StepKind, WriteDisposition
from datanika.contracts.shape import BreachKind, Filter, Mask, OnBadRow, SchemaContract
from datanika.contracts.text import (
    MAX_INTEGER,
    Code,
    Flag,
    Integer,
    JsonObject,
    Line,
    RowId,
    Text,
    storable,
)
from datanika.contracts.text import Identifier as Identifier
from datanika.contracts.text import SourceName as SourceName

CursorValue = (
    Annotated[int, Field(ge=-MAX_INTEGER, le=MAX_INTEGER, strict=True)]
    | Annotated[float, Field(allow_inf_nan=False, strict=True)]
    | Line
    | Annotated[dt.datetime, Field(strict=True)]
    | Annotated[dt.date, Field(strict=True)]
)


class IncrementalCursor(Contract):
    """Load only rows whose ``column`` is beyond the highest value already loaded."""

    column: SourceName
    initial_value: CursorValue | None = None
    lag_seconds: Integer = Field(
        default=0,
        ge=0,
        le=366 * 86_400,
        strict=True,
        description="Read this much again for late rows.",
    )
    lag: Integer = Field(
        default=0,
        ge=0,
        le=MAX_INTEGER,
        strict=True,
        description="The same for a cursor of numbers, in its own units.",
    )

    @property
    def reads_again(self) -> bool:
        """Whether rows that were loaded before are read again."""
        return bool(self.lag_seconds or self.lag)


class TableSpec(Contract):
    """One table, file or endpoint of the source, and how it lands."""

    name: SourceName = Field(
        description="Name in the source: table, file glob, endpoint.", examples=["orders"]
    )
    target: Identifier | None = Field(default=None, description="Destination table; default: name.")
    write_disposition: WriteDisposition = WriteDisposition.REPLACE
    primary_key: tuple[SourceName, ...] = ()
    sync: Literal["query", "cdc"] = Field(
        default="query",
        description="Read the rows by queries, or the changes from the source's log (change data "
        "capture): inserted, updated and deleted rows since the last run. With `merge`.",
    )
    deletes: Literal["hard", "soft"] = Field(
        default="hard",
        description="With CDC: a row that was deleted at the source is deleted here, or stays with "
        "the time of that in `_deleted_at`. `soft` also marks rows that a merge of the whole table "
        "(without a cursor) does not find any more.",
    )
    merge_strategy: Literal["delete-insert", "upsert", "scd2"] = Field(
        default="delete-insert",
        description="How `merge` treats rows with a key that is there: replace them, update their "
        "columns, or keep them with the time until which they were valid.",
    )
    cursor: IncrementalCursor | None = None
    columns: tuple[SourceName, ...] = Field(
        default=(), description="Only these columns; empty = all."
    )
    filters: tuple[Filter, ...] = Field(
        default=(), max_length=50, description="Only rows that meet all of these."
    )
    hash: tuple[SourceName, ...] = Field(
        default=(),
        description="Columns of which only a keyed SHA-256 (HMAC, hex) arrives: equal values stay "
        "equal within the organisation.",
    )
    mask: tuple[Mask, ...] = Field(default=(), description="Columns whose values are hidden.")
    batch_rows: Integer | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        strict=True,
        description="Rows that are read and written at a time, at most.",
    )
    delete_column: SourceName | None = Field(
        default=None,
        description="With merge: a row where this column is true is deleted at the destination. "
        "True: any value but false, 0, an empty text and the texts false, f, no, n, off.",
    )
    schema_contract: SchemaContract = SchemaContract()
    on_bad_row: OnBadRow = Field(
        default=OnBadRow.FAIL,
        description="A row that cannot be stored as it is: stop before the table is touched, or "
        "put the row into <schema>_quarantine and load the others.",
    )


class RetryPolicy(Contract):
    """How often Prefect runs a failed step again, and after how long. Seconds.

    Only what may pass by itself is tried again. The waits grow: ``delay_seconds``, then that times
    ``backoff``, and so on up to an hour, each a little longer or shorter by chance, so that what
    failed together does not come back together.
    """

    retries: Integer = Field(default=2, ge=0, le=10, strict=True)
    delay_seconds: float = Field(default=5.0, ge=0, le=3600, strict=True)
    backoff: float = Field(
        default=2.0, ge=1, le=10, strict=True, description="1: the same wait before every retry."
    )
    timeout_seconds: Integer = Field(default=3600, ge=1, le=86_400, strict=True)


class _Step(Contract):
    key: Identifier = Field(examples=["load"])
    depends_on: tuple[Identifier, ...] = ()
    retry: RetryPolicy = RetryPolicy()


class LoadStep(_Step):
    """dlt: one source connection, its tables, into one schema of the destination."""

    kind: Literal[StepKind.LOAD] = StepKind.LOAD
    source_id: RowId
    destination_id: RowId
    target_schema: Identifier = Field(examples=["raw"])
    source_schema: SourceName | None = Field(
        default=None, description="Schema in a source database."
    )
    tables: tuple[TableSpec, ...] = Field(min_length=1, max_length=2000)


class TransformStep(_Step):
    """dbt: a command and a selector over the organisation's dbt project."""

    kind: Literal[StepKind.TRANSFORM] = StepKind.TRANSFORM
    destination_id: RowId
    command: DbtCommand = DbtCommand.BUILD
    select: tuple[Line, ...] = ()
    exclude: tuple[Line, ...] = ()
    full_refresh: Flag = False
    threads: Integer = Field(default=2, ge=1, le=16, strict=True)
    default_schema: Identifier = "analytics"
    fail_fast: Flag = Field(default=False, description="Stop at the first node that fails.")
    store_failures: Flag = Field(
        default=False, description="Keep the rows that fail a test in <schema>_dbt_test__audit."
    )
    blocked_by: tuple[BreachKind, ...] = Field(
        default=(BreachKind.FROZEN, BreachKind.DISCARDED),
        description="When a column that a load of this run brings breaks its schema contract like "
        "this, only models that read the column, and what depends on them, are not built. A load "
        "that failed for another reason, or whose kind of breach is not here, skips the step.",
    )


Step = Annotated[LoadStep | TransformStep, Field(discriminator="kind")]


class PipelineSpec(Contract):
    """A tenant's DAG of steps."""

    steps: tuple[Step, ...] = Field(min_length=1, max_length=200)
    timeout_seconds: int | None = Field(
        default=None,
        ge=1,
        le=7 * 86_400,
        strict=True,
        description="A run that takes longer fails with `run_timeout`.",
    )


class TransformationSpec(Contract):
    """One dbt resource the tenant wrote. ``tests`` holds generic tests as dbt's yml wants them.

    Kinds ``exposure``, ``source`` and ``project`` have no SQL, only the block of their name.
    """

    name: DbtName = Field(examples=["stg_orders"])
    kind: Literal["model", "test", "macro", "seed", "snapshot", "exposure", "source", "project"] = (
        "model"
    )
    destination_id: RowId
    sql: Code = Field(default="", examples=["select * from {{ source('raw', 'orders') }}"])
    materialization: Literal["view", "table", "incremental", "ephemeral", "materialized_view"] = (
        "view"
    )
    target_schema: Identifier | None = None
    unique_key: tuple[SourceName, ...] = ()
    description: Text = ""
    tags: tuple[Line, ...] = ()
    columns: tuple[ColumnSpec, ...] = Field(default=(), max_length=2000)
    alias: Identifier | None = Field(default=None, description="Of the relation; default: name.")
    enabled: Flag = True
    meta: JsonObject = Field(default_factory=dict)
    tests: Annotated[tuple[DbtTest, ...], BeforeValidator(storable)] = Field(
        default=(), description="Generic tests of the whole relation."
    )
    incremental_strategy: (
        Literal["append", "delete+insert", "merge", "microbatch", "insert_overwrite"] | None
    ) = None
    on_schema_change: Literal["ignore", "fail", "append_new_columns", "sync_all_columns"] | None = (
        None
    )
    merge_update_columns: tuple[SourceName, ...] = ()
    merge_exclude_columns: tuple[SourceName, ...] = ()
    incremental_predicates: tuple[Line, ...] = ()
    event_time: SourceName | None = Field(
        default=None, description="Column by which microbatches of it and of its readers are cut."
    )
    microbatch: MicrobatchSpec | None = None
    contract_enforced: Flag = False
    constraints: tuple[Constraint, ...] = ()
    snapshot: SnapshotSpec | None = None
    seed: SeedSpec | None = None
    test: TestSettings | None = None
    unit_tests: tuple[UnitTestSpec, ...] = Field(default=(), max_length=200)
    exposure: ExposureSpec | None = None
    source: SourceSpec | None = None
    project: ProjectSpec | None = None


class ConnectionRef(Contract):
    """What the compiler may know of a connection: never a credential."""

    id: int
    name: str
    kind: str
