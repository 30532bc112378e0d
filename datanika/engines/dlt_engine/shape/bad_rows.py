"""Rows with a value that their destination cannot hold as it is: found one by one, only where a
whole batch does not fit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from datanika.contracts.shape import ContractMode, OnBadRow
from datanika.contracts.spec import TableSpec
from datanika.engines.dlt_engine.arrow_types import fit
from datanika.engines.dlt_engine.direct.marks import MARK
from datanika.engines.dlt_engine.shape.privacy import text_of
from datanika.errors import TerminalStepError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class BadRow:
    """``row`` is JSON, with hidden columns hidden; ``reason`` is for people."""

    code: str
    reason: str
    column: str | None
    row: str


Bad = Callable[[BadRow], None]


@dataclass
class Discarded:
    """What a schema contract left out."""

    rows: int = 0
    values: int = 0
    columns: dict[str, bool] = field(default_factory=dict)
    """Names in the source; whether the destination has no such column."""


class Fitter:
    """Batches as the destination holds them.

    ``types`` and ``emptying`` are of :class:`~.contract.Columns`. A bad row goes to ``bad`` or
    ends the load, as the table says; what its contract discards is counted.
    """

    def __init__(
        self,
        table: TableSpec,
        types: Mapping[str, pa.DataType],
        emptying: list[str],
        bad: Bad,
        discarded: Discarded,
    ) -> None:
        self._table, self._types, self._emptying = table, types, emptying
        self._bad, self._discarded = bad, discarded
        self._mode = table.schema_contract.data_types
        self._quarantines = table.on_bad_row is OnBadRow.QUARANTINE

    def fit(self, batch: pa.Table, mark: str | None = None) -> pa.Table:
        """The rows of ``batch`` that are loaded, with the column ``mark``. Raises
        :class:`TerminalStepError`."""
        batch = self._without_new(batch)
        types = dict(self._types)
        if mark is not None:
            types[mark] = batch.schema.field(mark).type
        try:
            fitted = fit(batch, types)
        except TerminalStepError:
            if not self._quarantines and self._mode in (ContractMode.EVOLVE, ContractMode.FREEZE):
                raise
            batch, fitted = self._rowwise(batch, types)
        return self._storable(batch, fitted)

    def _without_new(self, batch: pa.Table) -> pa.Table:
        import pyarrow.compute as pc

        for name in self._emptying:
            kept = batch.filter(pc.is_null(batch.column(name)))
            self._discarded.rows += batch.num_rows - kept.num_rows
            self._discarded.columns[name] = True
            batch = kept
        return batch

    def _rowwise(
        self, batch: pa.Table, types: Mapping[str, pa.DataType]
    ) -> tuple[pa.Table, pa.Table]:
        """(rows that stay as they were read, the same rows fitted)"""
        import pyarrow as pa

        problems: dict[int, tuple[str, TerminalStepError]] = {}
        nulls: dict[str, set[int]] = {}
        for name, kind in self._types.items():
            for position, error in _misfits(batch.select([name]), {name: kind}):
                if self._mode is ContractMode.DISCARD_VALUE:
                    nulls.setdefault(name, set()).add(position)
                else:
                    problems.setdefault(position, (name, error))
        for name, positions in nulls.items():
            gone = positions - problems.keys()
            self._discarded.values += len(gone)
            self._discarded.columns.setdefault(name, False)
            keep = pa.array(i not in positions for i in range(batch.num_rows))
            column = batch.column_names.index(name)
            values = pa.compute.if_else(keep, batch.column(name), pa.scalar(None, batch[name].type))
            batch = batch.set_column(column, name, values)
        if self._mode is ContractMode.DISCARD_ROW:
            self._discarded.rows += len(problems)
            for name, _ in problems.values():
                self._discarded.columns.setdefault(name, False)
        else:
            for position, (name, error) in sorted(problems.items()):
                self._report(batch, position, name, error.code, error.message)
        good = batch.filter(pa.array(i not in problems for i in range(batch.num_rows)))
        return good, fit(good, types)

    def _storable(self, batch: pa.Table, fitted: pa.Table) -> pa.Table:
        """Without rows that hold what no text column and no cursor can."""
        import pyarrow as pa
        import pyarrow.compute as pc

        for name in fitted.column_names:
            values = fitted.column(name)
            if not pa.types.is_string(values.type):
                continue
            found = pc.match_substring(values, "\0")
            if not pc.any(found).as_py():
                continue
            message = f"Column {name!r} holds a NUL character, which no text can."
            if not self._quarantines:
                raise TerminalStepError(message, code="nul_in_text", hint=HINT)
            batch, fitted = self._move(batch, fitted, found, name, "nul_in_text", message)
        cursor = self._table.cursor.column if self._table.cursor else None
        if self._quarantines and cursor is not None and cursor in fitted.column_names:
            empty = pc.is_null(fitted.column(cursor))
            message = f"The cursor column {cursor!r} is empty."
            if pc.any(empty).as_py():
                batch, fitted = self._move(batch, fitted, empty, cursor, "cursor_null", message)
        return fitted

    def _move(
        self, batch: pa.Table, fitted: pa.Table, found: Any, name: str, code: str, message: str
    ) -> tuple[pa.Table, pa.Table]:
        import pyarrow.compute as pc

        found = pc.fill_null(found, False)
        for position in pc.indices_nonzero(found).to_pylist():
            self._report(batch, position, name, code, message)
        keep = pc.invert(found)
        return batch.filter(keep), fitted.filter(keep)

    def _report(self, batch: pa.Table, position: int, name: str, code: str, message: str) -> None:
        one = batch.slice(position, 1)
        columns = [column for column in one.column_names if column != MARK]
        row = {column: _value(one.column(column)) for column in columns}
        self._bad(BadRow(code, message, name, row_json(row)))


HINT = (
    "Correct the source, or set on_bad_row to quarantine: then the other rows are loaded and "
    "these are kept beside them."
)


def _misfits(
    column: pa.Table, types: Mapping[str, pa.DataType], start: int = 0
) -> Iterator[tuple[int, TerminalStepError]]:
    """Each row that does not fit, and why: halves that fit are done."""
    try:
        fit(column, types)
    except TerminalStepError as error:
        if column.num_rows == 1:
            yield start, error
            return
        middle = column.num_rows // 2
        yield from _misfits(column.slice(0, middle), types, start)
        yield from _misfits(column.slice(middle), types, start + middle)


def _value(one: pa.ChunkedArray) -> Any:
    """The only value of ``one``; a time that Python has not, as the number that it is stored as."""
    import pyarrow as pa

    try:
        return one[0].as_py()
    except (OverflowError, ValueError):
        unit = "days" if pa.types.is_date(one.type) else one.type.unit
        whole = pa.int32() if pa.types.is_date32(one.type) else pa.int64()
        return f"{one.cast(whole)[0].as_py()} {unit} since 1970"


def row_json(row: Mapping[str, Any]) -> str:
    """A row as JSON that every text column can hold; what JSON has no type for, as text."""
    return json.dumps(row, default=text_of, ensure_ascii=True)
