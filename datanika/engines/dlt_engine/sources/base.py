"""What a reader gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from datanika.errors import TerminalStepError

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 100_000


class Read(Protocol):
    """Reads rows whose cursor is between the texts ``start`` and ``end``, both included (None: no
    bound), and those without one."""

    def __call__(self, start: str | None, end: str | None = None) -> Iterator[pa.Table]: ...


@dataclass(frozen=True)
class RawCsv:
    """CSV files whose bytes PostgreSQL can read itself: UTF-8, one header each, ``types`` (DuckDB's
    names) of their columns in order. The types are proposed: ``check`` reads every value."""

    paths: tuple[Path, ...]
    delimiter: str
    types: dict[str, str]
    check: Callable[[], CsvCheck]


@dataclass(frozen=True)
class CsvCheck:
    """What the values say of the proposed types. ``lengths``: bytes of each text column, counted
    where a text holds a quotation mark."""

    rows: int
    missed: tuple[str, ...]
    lengths: dict[str, int] | None


@dataclass(frozen=True)
class SourceTable:
    """One table, ready to be read: ``read`` gives tables of ``schema``. ``json_columns`` hold JSON
    as text. A source that asks for the table's filters and hides its columns in its own query says
    so; for the others it is done on what they read. ``mark``: a column that is no value of the
    table, but its server's mark of the row (``direct/marks.py``)."""

    schema: pa.Schema
    read: Read
    json_columns: frozenset[str] = field(default_factory=frozenset)
    notes: tuple[str, ...] = ()
    is_filtered: bool = False
    is_hidden: bool = False
    native: Mapping[str, str] = field(default_factory=dict)
    """The source's own words for the types of its columns, where it has any."""
    mark: str | None = None


def choose_columns(
    present: Sequence[str], wanted: Sequence[str], cursor: str | None, table: str
) -> list[str]:
    """The columns to read, in the source's order.

    Raises :class:`TerminalStepError` ``column_missing`` or ``cursor_missing``.
    """
    missing = [name for name in wanted if name not in present]
    if missing:
        raise TerminalStepError(
            f"{table!r} has no column {missing[0]!r}.",
            code="column_missing",
            hint=f"Its columns: {', '.join(present)}.",
        )
    if cursor is not None and cursor not in present:
        raise TerminalStepError(
            f"{table!r} has no column {cursor!r} for the cursor.",
            code="cursor_missing",
            hint=f"Its columns: {', '.join(present)}.",
        )
    keep = {*wanted, *([cursor] if cursor else [])} if wanted else set(present)
    return [name for name in present if name in keep]
