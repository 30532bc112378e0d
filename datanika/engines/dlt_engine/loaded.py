"""What a table's load did, and whether everything that was read arrived."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datanika.contracts.enums import WriteDisposition
from datanika.contracts.events import ColumnBreach, ColumnInfo
from datanika.contracts.shape import BreachKind
from datanika.contracts.spec import TableSpec
from datanika.engines.warehouse import Warehouse
from datanika.engines.warehouse.base import Table
from datanika.errors import TerminalStepError

if TYPE_CHECKING:
    from datanika.engines.dlt_engine.shape.table import TableShape


@dataclass
class Loaded:
    """What a table's load did. ``before`` and ``after``: rows of the destination table. ``path``:
    the way that its rows took, ``reason`` why not the fastest one, ``placed`` how they came into
    the table."""

    rows: int = 0
    bytes: int = 0
    before: int | None = None
    after: int | None = None
    loaded: int | None = None
    repeated: int = 0
    swept: int = 0
    verdict: str = "not loaded"
    committed: bool = False
    cursor_moved: bool = False
    path: str = "dlt"
    reason: str = ""
    placed: str = ""
    quarantined: int = 0
    discarded_rows: int = 0
    discarded_values: int = 0
    marked_deleted: int = 0
    source_columns: tuple[ColumnInfo, ...] = ()
    breaches: tuple[ColumnBreach, ...] = ()
    changes: dict[str, int] | None = None
    """By kind, where changes were read."""
    slot: dict[str, Any] | None = None
    """The replication slot that they come from: its place and what it holds back, in bytes."""

    def note(self, shape: TableShape) -> None:
        """What the table's settings kept from being loaded. Rows of the source that meet its
        filters are ``rows`` + ``quarantined`` + ``discarded_rows``."""
        self.quarantined = shape.quarantined
        self.discarded_rows = shape.discarded.rows
        self.discarded_values = shape.discarded.values
        self.marked_deleted = shape.deleted
        self.source_columns = shape.source_columns
        self.breaches = shape.breaches()

    def discard(self, relation: str) -> None:
        """The contract takes no new table, so there is none."""
        self.verdict = "discarded"
        self.breaches = (ColumnBreach(relation=relation, column=None, how=BreachKind.DISCARDED),)

    def details(self, table: TableSpec) -> dict[str, Any]:
        """For people: the figures behind "succeeded"."""
        return {
            "source_rows": self.rows + self.quarantined + self.discarded_rows,
            "loaded_rows": self.loaded,
            "destination_rows_before": self.before,
            "destination_rows_after": self.after,
            "repeated_keys": self.repeated,
            "swept_rows": self.swept,
            "quarantined_rows": self.quarantined,
            "discarded_rows": self.discarded_rows,
            "discarded_values": self.discarded_values,
            "deleted_rows": self.marked_deleted,
            "verdict": self.verdict,
            "committed": self.committed,
            "committed_rows": self.rows if self.committed else 0,
            "cursor_moved": self.cursor_moved,
            "write_disposition": str(table.write_disposition),
            "cursor": table.cursor.column if table.cursor else None,
            "path": self.path,
            "path_reason": self.reason,
            "placed": self.placed,
            **({"changes": self.changes} if self.changes is not None else {}),
            **({"slot": self.slot} if self.slot is not None else {}),
        }


def verify(
    result: Loaded,
    table: TableSpec,
    target: Table,
    warehouse: Warehouse,
    load_ids: Sequence[str],
    replaced_rows: bool,
    placed: int | None = None,
) -> None:
    """Count again at the destination: what was read must be there. Completes ``result``.

    ``replaced_rows``: rows that were there before went in the same transaction. ``placed``: how
    many rows of a merge must be there, where that is known. Raises
    :class:`TerminalStepError` ``rows_lost``.
    """
    if not warehouse.exists(target):
        result.after, result.loaded, result.verdict = 0, 0, "empty"
        if result.rows:
            raise lost(result, target)
        return
    result.after = warehouse.count(target)
    how = table.write_disposition
    if how is WriteDisposition.REPLACE:
        result.loaded = result.after
    elif how is WriteDisposition.APPEND and not replaced_rows:
        result.loaded = result.after - (result.before or 0)
    else:
        result.loaded = sum(warehouse.count(target, load) for load in load_ids)
    if how is WriteDisposition.MERGE:
        expected = result.rows - result.marked_deleted
        result.repeated = max(0, expected - result.loaded)
        missing = result.loaded > result.rows or (
            expected > 0 and result.loaded == 0 and not result.marked_deleted
        )
        if placed is not None:
            missing = result.loaded != placed
    else:
        missing = result.loaded != result.rows
    if missing:
        raise lost(result, target)
    result.verdict = "repeated keys" if result.repeated else "exact"
    if result.quarantined:
        result.verdict = "quarantined"


def lost(result: Loaded, target: Table) -> TerminalStepError:
    """What was read is not what arrived."""
    return TerminalStepError(
        f"{result.rows} rows were read, but {result.loaded} arrived in {'.'.join(target)}.",
        code="rows_lost",
        hint="Somebody else may write this table; the next run loads it again.",
    )
