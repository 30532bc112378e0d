"""What depends on what: relations of the destinations, their columns, tables of the sources."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from datanika.contracts.api.base import Answer


class LineageDirection(StrEnum):
    UPSTREAM = "upstream"
    DOWNSTREAM = "downstream"
    BOTH = "both"


class LineageLevel(StrEnum):
    TABLE = "table"
    COLUMN = "column"


class ExposureOut(Answer):
    """Who uses a relation: the end of the graph."""

    transformation_id: int
    type: str = Field(description="dashboard, notebook, analysis, ml, application")
    label: str | None
    url: str | None
    owner_name: str | None
    owner_email: str | None
    maturity: str | None
    description: str


class LineageNodeOut(Answer):
    """A relation, or at the level of columns one of its columns.

    ``column`` is null at that level for the relation as a whole: which rows it has.
    """

    key: str = Field(description="Names it in `edges`.")
    connection_id: int
    schema_name: str
    name: str
    column: str | None = None
    entry_id: int | None = Field(
        description="Its catalog entry; null for a table of a source and for an exposure."
    )
    kind: str = Field(
        description="As in the catalog; `source` for a table of a source; `exposure`, whose "
        "`schema_name` is empty."
    )
    exposure: ExposureOut | None = None
    depth: int = Field(description="Steps from where the question started.")
    made: str | None = Field(
        default=None,
        description="How a column is made: copy, transformed, aggregated, constant, unknown; null "
        "where no run has told.",
    )
    reason: str | None = Field(default=None, description="Why it is unknown.")


class LineageEdgeOut(Answer):
    """``source`` goes into ``target``.

    ``kind``: ``reads`` (relations; an exposure reads them as a whole), ``copy``, ``transformed``,
    ``aggregated`` (values), ``rows`` (decides which rows there are), ``indirect`` (decides the rows
    inside of one value), ``unknown`` (may go into it: this column's lineage could not be told).
    """

    source: str
    target: str
    kind: str
    reason: str | None = None


class LineageGraphOut(Answer):
    nodes: list[LineageNodeOut]
    edges: list[LineageEdgeOut]
    truncated: bool = Field(description="There is more: ask with a smaller depth.")


class ImpactedOut(Answer):
    """A relation, or an exposure of one, that a change of a column reaches."""

    entry_id: int | None = Field(description="Null for an exposure.")
    connection_id: int
    schema_name: str
    name: str
    kind: str
    depth: int
    columns: list[str] = Field(description="Columns whose values change, sorted.")
    rows: bool = Field(description="Whether it may have other rows.")
    unknown: list[str] = Field(description="Columns that may change: it could not be told.")
    exposure: ExposureOut | None = None


class ImpactOut(Answer):
    """What depends on a column, the nearest first."""

    items: list[ImpactedOut]
    truncated: bool


class LineageTableOut(Answer):
    """A relation of the whole map; a table of a source has no ``entry_id``."""

    key: str = Field(description="Names it in `reads`; the same as in the graph of an entry.")
    entry_id: int | None
    connection_id: int
    schema_name: str
    name: str
    kind: str
    columns: int = Field(description="How many; 0 for a table of a source.")


class LineageReadOut(Answer):
    """``source`` goes into ``target``."""

    source: str
    target: str


class LineageMapOut(Answer):
    """A page of the organisation's lineage by tables: catalog entries in the order of their ids,
    with what goes into them, and the tables of sources among those."""

    tables: list[LineageTableOut]
    reads: list[LineageReadOut]
    next_after: int | None = Field(description="For `after`; null at the end.")
