"""Cells of a sheet as a table: the first row names the columns, their values decide the types.

A sheet has types per cell. Numbers that are whole stay integers; whole numbers among others become
doubles if they stay exact; what is mixed otherwise becomes text; an empty cell is NULL.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from datanika.engines.connectors.base import Reading
from datanika.engines.dlt_engine.sources.base import BATCH_ROWS, SourceTable, choose_columns
from datanika.engines.dlt_engine.sources.sql_rows import Travel, to_table
from datanika.errors import TerminalStepError

if TYPE_CHECKING:
    import pyarrow as pa

_SAFE = 2**53


def header_of(rows: Sequence[Sequence[Any]], table: str) -> list[str]:
    """The columns' names; columns behind the last name are left out.

    Raises :class:`TerminalStepError` ``header_missing`` or ``columns_collide``.
    """
    names = [_text(cell).strip() for cell in (rows[0] if rows else [])]
    while names and not names[-1]:
        names.pop()
    if not names or "" in names:
        raise TerminalStepError(
            f"The first row of {table!r} must name every column.",
            code="header_missing",
            hint="Write a name above each column, without an empty one in between.",
        )
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise TerminalStepError(
            f"Two columns of {table!r} are called {twice!r}.",
            code="columns_collide",
            hint="Rename one of them.",
        )
    return names


def open_grid(rows: Sequence[Sequence[Any]], reading: Reading) -> SourceTable:
    """``rows`` with their header. Cells are None or empty text, bool, int, float, text, times."""
    import pyarrow as pa

    table = reading.table
    header = header_of(rows, table.name)
    by = table.cursor.column if table.cursor else None
    chosen = choose_columns(header, table.columns, by, table.name)
    places = [header.index(name) for name in chosen]
    cells = [
        tuple(_cell(row[place]) if place < len(row) else None for place in places)
        for row in rows[1:]
    ]
    # A row without any value is a gap, not a record.
    cells = [row for row in cells if any(cell is not None for cell in row)]
    travels = {
        name: _travel([row[index] for row in cells], reading.normalize(name) in reading.as_text)
        for index, name in enumerate(chosen)
    }

    def read(start: str | None, end: str | None = None) -> Iterator[pa.Table]:
        # All of it is here; the cursor drops what is old.
        for begin in range(0, len(cells), BATCH_ROWS):
            yield to_table(cells[begin : begin + BATCH_ROWS], travels)

    return SourceTable(
        schema=pa.schema([pa.field(name, travel.type) for name, travel in travels.items()]),
        read=read,
    )


def _cell(value: Any) -> Any:
    if value is None or value == "":
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < _SAFE:
        # A sheet has doubles only: a whole one is what people write as an integer.
        return int(value)
    return value


def _travel(values: Sequence[Any], as_text: bool) -> Travel:
    import pyarrow as pa

    kinds = {type(value) for value in values if value is not None}
    if as_text or not kinds:
        return Travel(pa.string(), convert=_text)
    if kinds == {bool}:
        return Travel(pa.bool_())
    if kinds == {int}:
        return Travel(pa.int64())
    if kinds <= {int, float}:
        if all(abs(value) <= _SAFE for value in values if isinstance(value, int)):
            return Travel(pa.float64(), convert=float)
    elif kinds == {dt.date}:
        return Travel(pa.date32())
    elif kinds <= {dt.date, dt.datetime}:
        return Travel(pa.timestamp("us"), convert=_midnight)
    elif kinds == {dt.time}:
        return Travel(pa.time64("us"))
    return Travel(pa.string(), convert=_text)


def _midnight(value: dt.date) -> dt.datetime:
    return value if isinstance(value, dt.datetime) else dt.datetime.combine(value, dt.time())


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return repr(value) if isinstance(value, float) else str(value)
