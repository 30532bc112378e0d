"""The pipeline specification: what a tenant writes and a pipeline version stores.

Connections are named by id, because a rename must not change an immutable version. A step's
``key`` names it for people, for ``depends_on`` and for retries.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from datanika.contracts.base import Contract
from datanika.contracts.enums import DbtCommand, StepKind, WriteDisposition

Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
"""A step key or a destination schema: lower case, digits, underscore, at most 63 bytes."""

CursorValue = int | float | str | dt.datetime | dt.date


class IncrementalCursor(Contract):
    """Load only rows whose ``column`` is beyond the highest value already loaded."""

    column: str
    initial_value: CursorValue | None = None
    lag_seconds: int = Field(default=0, ge=0, description="Read this much again for late rows.")


class TableSpec(Contract):
    """One table, file or endpoint of the source, and how it lands."""

    name: str = Field(min_length=1, description="Name in the source: table, file glob, endpoint.")
    target: Identifier | None = Field(default=None, description="Destination table; default: name.")
    write_disposition: WriteDisposition = WriteDisposition.REPLACE
    primary_key: tuple[str, ...] = ()
    cursor: IncrementalCursor | None = None
    columns: tuple[str, ...] = Field(default=(), description="Only these columns; empty = all.")


class RetryPolicy(Contract):
    """How often Prefect runs a failed step again, and after how long. Seconds."""

    retries: int = Field(default=2, ge=0, le=10)
    delay_seconds: float = Field(default=5.0, ge=0, le=3600)
    timeout_seconds: int = Field(default=3600, ge=1, le=86_400)


class _Step(Contract):
    key: Identifier
    depends_on: tuple[Identifier, ...] = ()
    retry: RetryPolicy = RetryPolicy()


class LoadStep(_Step):
    """dlt: one source connection, its tables, into one schema of the destination."""

    kind: Literal[StepKind.LOAD] = StepKind.LOAD
    source_id: int
    destination_id: int
    target_schema: Identifier
    source_schema: str | None = Field(default=None, description="Schema in a source database.")
    tables: tuple[TableSpec, ...] = Field(min_length=1)


class TransformStep(_Step):
    """dbt: a command and a selector over the organisation's dbt project."""

    kind: Literal[StepKind.TRANSFORM] = StepKind.TRANSFORM
    destination_id: int
    command: DbtCommand = DbtCommand.BUILD
    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    full_refresh: bool = False
    threads: int = Field(default=2, ge=1, le=16)
    default_schema: Identifier = "analytics"


Step = Annotated[LoadStep | TransformStep, Field(discriminator="kind")]


class PipelineSpec(Contract):
    """A tenant's DAG of steps."""

    steps: tuple[Step, ...] = Field(min_length=1, max_length=200)


class TransformationSpec(Contract):
    """One dbt resource the tenant wrote. ``tests`` holds generic tests as dbt's yml wants them."""

    name: Identifier
    kind: Literal["model", "test", "macro", "seed", "snapshot"] = "model"
    destination_id: int
    sql: str
    materialization: Literal["view", "table", "incremental", "ephemeral"] = "view"
    target_schema: Identifier | None = None
    unique_key: tuple[str, ...] = ()
    description: str = ""
    tags: tuple[str, ...] = ()
    columns: tuple[ColumnSpec, ...] = ()


class ColumnSpec(Contract):
    """A documented column and its generic tests.

    A test is its name (``"not_null"``) or a one-key mapping to its arguments
    (``{"accepted_values": {"values": [1, 2]}}``).
    """

    name: str
    description: str = ""
    tests: tuple[str | dict[str, dict[str, object]], ...] = ()


class ConnectionRef(Contract):
    """What the compiler may know of a connection: never a credential."""

    id: int
    name: str
    kind: str


TransformationSpec.model_rebuild()
