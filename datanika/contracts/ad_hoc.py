"""Ad hoc actions: what a sandboxed process is asked to do once, and what it answers.

The question goes in through a pipe with the credentials it needs and is never stored. The answer
is redacted and limited before it leaves the process: see ``execution/ad_hoc.py``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from datanika.contracts.base import Contract
from datanika.contracts.events import ColumnInfo, Failure
from datanika.contracts.steps import ResolvedConnection, ResolvedTransform

MAX_ROWS = 1000
MAX_TABLES = 500
MAX_CELL = 10_000
"""Characters of one value that are shown."""
MAX_RESULT = 2_000_000
"""Characters of all values together."""
MAX_ANSWER = 16_000_000
"""Bytes that may come out of the process; more is taken for a fault of it."""

Cell = str | int | float | bool | None
"""A value as JSON holds it exactly; decimals, times, large integers and binary are text."""


class ProbeAction(Contract):
    action: Literal["test"] = "test"
    connection: ResolvedConnection


class IntrospectAction(Contract):
    action: Literal["introspect"] = "introspect"
    connection: ResolvedConnection
    schema_name: str | None = None
    search: str | None = None
    limit: int = Field(default=100, ge=1, le=MAX_TABLES)
    offset: int = Field(default=0, ge=0)


class PreviewAction(Contract):
    action: Literal["preview"] = "preview"
    connection: ResolvedConnection
    table: str
    schema_name: str | None = None
    columns: tuple[str, ...] = ()
    limit: int = Field(ge=1, le=MAX_ROWS)


class QueryAction(Contract):
    action: Literal["query"] = "query"
    connection: ResolvedConnection
    sql: str = Field(repr=False)
    limit: int = Field(ge=1, le=MAX_ROWS)


class CompileAction(Contract):
    """``limit``: also read so many rows of what was compiled."""

    action: Literal["compile"] = "compile"
    step: ResolvedTransform
    model: str
    incremental: bool = False
    limit: int | None = Field(default=None, ge=1, le=MAX_ROWS)

    @property
    def connection(self) -> ResolvedConnection:
        return self.step.destination


class FormatAction(Contract):
    """``connection`` is none of the organisation's: what formats needs nothing."""

    action: Literal["format"] = "format"
    connection: ResolvedConnection
    sql: str = Field(repr=False)


class KnownSlot(Contract):
    """A slot that a step of the asking organisation has, or had. ``elsewhere``: ids of other
    connections through which a step reads a slot of this name now."""

    name: str
    pipeline_id: int
    step_key: str
    is_used: bool
    elsewhere: tuple[int, ...] = ()


class SlotsAction(Contract):
    """Look at the replication slots of a source; ``drop``: those of ``known`` that nobody uses.

    ``others`` are what ``elsewhere`` names: one of them may lead to the same database.
    """

    action: Literal["slots"] = "slots"
    connection: ResolvedConnection
    known: tuple[KnownSlot, ...] = ()
    others: tuple[ResolvedConnection, ...] = ()
    drop: bool = False


class LintAction(Contract):
    """``dialect`` is a kind of connection; ``macros``: what the code may call, by name."""

    action: Literal["lint"] = "lint"
    connection: ResolvedConnection
    sql: str = Field(repr=False)
    dialect: str
    macros: dict[str, str] = Field(default_factory=dict, repr=False)


AdHocAction = Annotated[
    ProbeAction
    | IntrospectAction
    | PreviewAction
    | QueryAction
    | CompileAction
    | FormatAction
    | LintAction
    | SlotsAction,
    Field(discriminator="action"),
]
ad_hoc_action: TypeAdapter[AdHocAction] = TypeAdapter(AdHocAction)


def connections_of(action: AdHocAction) -> tuple[ResolvedConnection, ...]:
    """Every connection that an action may open."""
    others = action.others if isinstance(action, SlotsAction) else ()
    return (action.connection, *others)


class ProbeResult(Contract):
    """Whether the connection works, and if not, why."""

    type: Literal["test"] = "test"
    ok: bool
    code: str | None = None
    message: str | None = None
    hint: str | None = None
    transient: bool = False


class TableInfo(Contract):
    """A table, view, file or endpoint. ``row_estimate`` is the source's own guess."""

    schema_name: str | None
    name: str
    kind: str = Field(description="table, view, materialized_view, foreign_table, file, endpoint")
    columns: tuple[ColumnInfo, ...] = ()
    primary_key: tuple[str, ...] = ()
    row_estimate: int | None = None
    bytes: int | None = None
    problem: str | None = Field(default=None, description="Why its columns could not be read.")


class IntrospectionResult(Contract):
    """What a source has, a page at a time: ``next_offset`` is null at the end."""

    type: Literal["introspection"] = "introspection"
    schemas: tuple[str, ...] = ()
    tables: tuple[TableInfo, ...] = ()
    next_offset: int | None = None


class ResultColumn(Contract):
    name: str
    data_type: str


class RowsResult(Contract):
    """Rows in the order of ``columns``. What did not fit is said."""

    type: Literal["rows"] = "rows"
    columns: tuple[ResultColumn, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()
    is_truncated: bool = Field(default=False, description="There are more rows than these.")
    truncated_cells: int = Field(default=0, description=f"Values cut at {MAX_CELL} characters.")
    compiled_sql: str | None = Field(default=None, description="Of a transformation's preview.")


class CompiledResult(Contract):
    """A transformation as SQL."""

    type: Literal["compiled"] = "compiled"
    sql: str
    relation: str | None = Field(default=None, description="schema.name it builds.")
    materialization: str | None = None
    depends_on: tuple[str, ...] = ()


class FormatResult(Contract):
    """The code of a transformation, written in one style."""

    type: Literal["formatted"] = "formatted"
    sql: str
    is_changed: bool


class SlotInfo(Contract):
    """A replication slot of the platform, or a publication that has none any more."""

    name: str
    use: Literal["used", "unused", "unknown"] = Field(
        description="`used`: a step reads it. `unused`: it was a step's of this organisation. "
        "`unknown`: of another organisation or installation; it is never touched."
    )
    pipeline_id: int | None = None
    step_key: str | None = None
    status: str | None = Field(
        default=None, description="pg_replication_slots.wal_status; null: a publication alone."
    )
    active: bool = Field(default=False, description="Somebody reads it at this moment.")
    retained_bytes: int | None = Field(
        default=None, description="Of the log that the server keeps for it."
    )
    lag_bytes: int | None = Field(default=None, description="Of the log that was not read yet.")
    safe_bytes: int | None = Field(
        default=None, description="How much may come until the server gives it up; null: never."
    )
    is_dropped: bool = Field(default=False, description="By this job.")
    failure: Failure | None = Field(default=None, description="Why it could not be dropped.")


class SlotsResult(Contract):
    """The replication slots of the platform in a source's database."""

    type: Literal["slots"] = "slots"
    slots: tuple[SlotInfo, ...] = ()


class LintIssue(Contract):
    """Something about the code. Lines and columns begin at 1 and are of the code as written."""

    line: int
    column: int
    end_line: int
    end_column: int
    rule: str = Field(description="sqlfluff's code; PRS: no SQL, JNJ: no Jinja.", examples=["AL05"])
    name: str = Field(description="The rule in words.", examples=["aliasing.unused"])
    message: str
    severity: Literal["error", "warning"]
    fixable: bool = Field(default=False, description="sqlfluff knows how to correct it.")


class LintResult(Contract):
    """What could be better about a transformation's code, by line."""

    type: Literal["lint"] = "lint"
    issues: tuple[LintIssue, ...] = ()
    errors: int = 0
    warnings: int = 0
    is_truncated: bool = Field(default=False, description="There are more issues than these.")


AdHocResult = Annotated[
    ProbeResult
    | IntrospectionResult
    | RowsResult
    | CompiledResult
    | FormatResult
    | LintResult
    | SlotsResult,
    Field(discriminator="type"),
]


class AdHocAnswer(Contract):
    """One of the two: the result, or why there is none."""

    result: AdHocResult | None = None
    failure: Failure | None = None

    def stored(self) -> dict[str, Any]:
        """As JSON."""
        return self.model_dump(mode="json")
