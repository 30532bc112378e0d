"""Where the columns of a relation come from."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from datanika.contracts.base import Contract


class LineageKind(StrEnum):
    """How an output column is made of its inputs."""

    COPY = "copy"
    """The value itself, perhaps of one of several branches of a union."""
    TRANSFORMED = "transformed"
    """An expression over values of one row."""
    AGGREGATED = "aggregated"
    """Made of several rows: an aggregate or a window function."""
    CONSTANT = "constant"
    """No column's value goes into it: literals, the time, random values."""
    UNKNOWN = "unknown"
    """It could not be told; ``reason`` says why."""


class SourceColumn(Contract):
    """A column of a relation (``schema.table``, as the database spells both)."""

    relation: str
    column: str


class ColumnLineage(Contract):
    """What one output column depends on.

    ``inputs``: columns whose values are in its expression. ``indirect``: columns that decide only
    which rows there are inside of it (the filter of a scalar subquery); what decides the rows of
    the whole relation stands once, in :attr:`StatementLineage.rows`.
    """

    column: str
    kind: LineageKind
    inputs: tuple[SourceColumn, ...] = ()
    indirect: tuple[SourceColumn, ...] = ()
    reason: str | None = None


class StatementLineage(Contract):
    """What one SQL query does. ``rows`` is None when it cannot be told (``rows_reason``)."""

    columns: tuple[ColumnLineage, ...] = ()
    complete: bool = Field(default=True, description="Whether `columns` are all of its columns.")
    rows: tuple[SourceColumn, ...] | None = Field(
        default=(), description="Columns that decide which rows there are, and in which order."
    )
    rows_reason: str | None = None
    reads: tuple[str, ...] = Field(default=(), description="Relations that it reads, by name.")
    reason: str | None = Field(default=None, description="Why nothing could be told.")
