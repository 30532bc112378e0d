"""Ad hoc jobs: what to try, look into or read, and what was found."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from datanika.contracts.ad_hoc import MAX_ROWS, MAX_TABLES, AdHocResult
from datanika.contracts.api.base import Answer, Body
from datanika.contracts.events import Failure
from datanika.contracts.jobs import JobAction, JobState
from datanika.contracts.text import Code, Integer

SourceName = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00]+$")]
"""A schema, table, column, file or endpoint of a source. NUL is in no name."""
Sql = Annotated[str, StringConstraints(min_length=1, max_length=100_000, pattern=r"^[^\x00]+$")]


class ConnectionTestIn(Body):
    """A connection that is not saved yet."""

    kind: str = Field(max_length=64, examples=["postgres"])
    config: dict[str, Any] = Field(
        repr=False, description="As the kind's `config_schema` says; secrets included."
    )


class ConnectionTrialIn(Body):
    """What is about to be changed in a connection."""

    config: dict[str, Any] | None = Field(
        default=None,
        repr=False,
        examples=[{"host": "db.example.com", "database": "shop"}],
        description="Try this in the place of the saved configuration; secrets that are left out "
        "are the saved ones. It takes `connection:write`, too.",
    )


class IntrospectIn(Body):
    schema_name: SourceName | None = Field(default=None, description="Only this schema's tables.")
    search: SourceName | None = Field(default=None, description="A part of the table's name.")
    limit: Integer = Field(
        default=100, ge=1, le=MAX_TABLES, strict=True, description="Tables on a page."
    )
    offset: Integer = Field(
        default=0, ge=0, le=1_000_000, strict=True, description="`next_offset` before."
    )


class PreviewIn(Body):
    table: SourceName = Field(examples=["orders"], description="Table, file glob or endpoint.")
    schema_name: SourceName | None = Field(
        default=None, description="Default: `public`, or DuckDB's `main`."
    )
    columns: list[SourceName] = Field(
        default=[], max_length=500, description="Only these, in this order; empty: all."
    )
    limit: Integer = Field(default=50, ge=1, le=100, strict=True)


class QueryIn(Body):
    sql: Sql = Field(
        examples=["select count(*) from raw.orders"],
        description="One statement that reads rows.",
    )
    limit: Integer = Field(default=100, ge=1, le=MAX_ROWS, strict=True)


class CompileIn(Body):
    incremental: bool = Field(
        default=False,
        strict=True,
        description="As of a later run of an incremental model, not its first.",
    )
    sql: Code | None = Field(
        default=None, description="This code, not saved yet; null: what the transformation has."
    )


class FormatIn(Body):
    sql: Code | None = Field(
        default=None,
        examples=["SELECT 1 AS a"],
        description="This code; null: what the transformation has.",
    )


class LintIn(Body):
    sql: Code | None = Field(
        default=None,
        examples=["select 1 as a"],
        description="This code; null: what the transformation has.",
    )


class TransformationPreviewIn(CompileIn):
    limit: Integer = Field(default=50, ge=1, le=100, strict=True)


class JobOut(Answer):
    """An ad hoc job. ``result`` is there when it succeeded, ``failure`` when it failed."""

    id: int
    action: JobAction
    resource_type: str
    resource_id: int | None = Field(description="Null for a connection that is not saved yet.")
    state: JobState
    created_by: int
    created_at: dt.datetime
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    expires_at: dt.datetime = Field(description="Until then it can be read.")
    result: AdHocResult | None = None
    failure: Failure | None = None
    is_withheld: bool = Field(
        default=False, description="You may not do what it did, so you do not see what it found."
    )
