"""What a transformation may say about itself beyond its SQL: the platform writes dbt's yml of it.

Everything is typed, so that no yml of a tenant reaches dbt, which renders Jinja in many of its
values; texts pass the compiler's guard (``compiler/properties.py``).
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from datanika.contracts.base import Contract
from datanika.contracts.text import (
    Flag,
    Identifier,
    Integer,
    JsonObject,
    Line,
    SourceName,
    Text,
    storable,
)

DbtName = Identifier
Quotable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_$ -]{0,62}$")]
"""A source or a table of it: it stands between quotes in Jinja."""
DbtTest = Line | dict[Line, dict[Line, object]]
"""Its name (``"not_null"``) or a one-key mapping to its arguments
(``{"accepted_values": {"values": [1, 2]}}``)."""
Scalar = Annotated[
    None
    | Annotated[bool, Field(strict=True)]
    | Annotated[int, Field(strict=True)]
    | Annotated[float, Field(strict=True, allow_inf_nan=False)]
    | Text,
    BeforeValidator(storable),
]
Row = dict[SourceName, Scalar]


class Constraint(Contract):
    """Of a column or of a whole model; dbt writes it into the table's DDL under a contract."""

    type: Literal["not_null", "unique", "primary_key", "foreign_key", "check"]
    name: Identifier | None = None
    expression: Line | None = Field(default=None, description="For check: what must hold.")
    columns: tuple[SourceName, ...] = Field(default=(), description="Of a model's constraint.")
    to: Identifier | None = Field(default=None, description="For foreign_key: the model.")
    to_columns: tuple[SourceName, ...] = ()


class ColumnSpec(Contract):
    """A documented column, its generic tests, and its type under a contract."""

    name: SourceName
    description: Text = ""
    tests: Annotated[tuple[DbtTest, ...], BeforeValidator(storable)] = ()
    data_type: Line | None = None
    constraints: tuple[Constraint, ...] = ()
    tags: tuple[Line, ...] = ()
    meta: JsonObject = Field(default_factory=dict)
    quote: Flag | None = None


class MicrobatchSpec(Contract):
    """How a microbatch model is cut; ``event_time`` of the model names the column."""

    begin: dt.date
    batch_size: Literal["hour", "day", "month", "year"] = "day"
    lookback: Integer = Field(default=1, ge=0, le=1000, strict=True)


class SnapshotSpec(Contract):
    """How a snapshot sees that a row changed, and what it does with one that is gone."""

    strategy: Literal["timestamp", "check"] = "check"
    updated_at: SourceName | None = Field(default=None, description="Needed by timestamp.")
    check_cols: tuple[SourceName, ...] = Field(default=(), description="For check; empty: all.")
    hard_deletes: Literal["ignore", "invalidate", "new_record"] = "ignore"
    valid_to_current: Line | None = Field(
        default=None, description="SQL of dbt_valid_to of the rows that are valid now."
    )


class SeedSpec(Contract):
    column_types: dict[SourceName, Line] = Field(default_factory=dict)
    delimiter: Annotated[str, StringConstraints(min_length=1, max_length=1)] = ","
    quote_columns: Flag | None = None


class TestSettings(Contract):
    """Of a singular test."""

    __test__ = False

    severity: Literal["error", "warn"] | None = None
    warn_if: Line | None = None
    error_if: Line | None = None
    fail_calc: Line | None = None
    limit: Integer | None = Field(default=None, ge=1, strict=True)
    store_failures: Flag | None = None


class GivenInput(Contract):
    """Rows that stand for one input of the model: exactly one of ref, source and this."""

    ref: Identifier | None = None
    source: tuple[Quotable, Quotable] | None = None
    this: Flag = False
    rows: tuple[Row, ...] = Field(default=(), max_length=1000)


class UnitTestSpec(Contract):
    """A model's answer to given rows."""

    name: Identifier
    description: Text = ""
    given: tuple[GivenInput, ...] = ()
    expect: tuple[Row, ...] = Field(default=(), max_length=1000)
    is_incremental: Flag | None = None
    vars: dict[Identifier, Scalar] = Field(default_factory=dict)
    tags: tuple[Line, ...] = ()


class ExposureSpec(Contract):
    """Who uses what: a dashboard or a program at the end of the graph."""

    type: Literal["dashboard", "notebook", "analysis", "ml", "application"] = "dashboard"
    owner_name: Line | None = None
    owner_email: Line | None = None
    label: Line | None = None
    url: Line | None = None
    maturity: Literal["low", "medium", "high"] | None = None
    refs: tuple[Identifier, ...] = ()
    sources: tuple[tuple[Quotable, Quotable], ...] = ()


class Age(Contract):
    count: Integer = Field(ge=1, le=100_000, strict=True)
    period: Literal["minute", "hour", "day"]


class Freshness(Contract):
    warn_after: Age | None = None
    error_after: Age | None = None
    filter: Line | None = None


class SourceTable(Contract):
    name: Quotable
    identifier: Quotable | None = Field(default=None, description="In the schema; default: name.")
    description: Text = ""
    columns: tuple[ColumnSpec, ...] = Field(default=(), max_length=2000)
    tests: Annotated[tuple[DbtTest, ...], BeforeValidator(storable)] = ()
    loaded_at_field: Line | None = None
    freshness: Freshness | None = None
    event_time: SourceName | None = None
    tags: tuple[Line, ...] = ()
    meta: JsonObject = Field(default_factory=dict)


class SourceSpec(Contract):
    """A source's tables with what is known of them; tables that loads write need none."""

    source: Quotable = Field(description="As in source('…', 'table').")
    schema_name: Quotable | None = Field(default=None, description="Default: the source's name.")
    loaded_at_field: Line | None = None
    freshness: Freshness | None = None
    tables: tuple[SourceTable, ...] = Field(default=(), max_length=2000)


class ProjectSpec(Contract):
    """Of a destination's whole project; there is one at most."""

    vars: dict[Identifier, Scalar] = Field(default_factory=dict)
    packages: tuple[Identifier, ...] = Field(
        default=(), description="From the platform's store: dbt_utils, dbt_expectations."
    )
    schema_names: Literal["exact", "prefixed"] = Field(
        default="exact",
        description="A model's target_schema as it is, or behind the step's schema and an "
        "underscore, as dbt does by itself.",
    )
