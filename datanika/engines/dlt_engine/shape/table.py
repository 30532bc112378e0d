"""One table's settings at work: what its load asks, in the order in which it asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datanika.contracts.enums import LogLevel
from datanika.contracts.events import (
    ColumnBreach,
    ColumnChange,
    ColumnInfo,
    column_changes,
)
from datanika.contracts.shape import BreachKind, OnBadRow
from datanika.contracts.spec import TableSpec
from datanika.engines.dlt_engine.move import Statements
from datanika.engines.dlt_engine.runtime import STAGING_LAYOUT
from datanika.engines.dlt_engine.shape.bad_rows import BadRow, Discarded, Fitter
from datanika.engines.dlt_engine.shape.contract import (
    Columns,
    check_new_table,
    plan_columns,
    widen,
)
from datanika.engines.dlt_engine.shape.deletes import delete_marked, truth
from datanika.engines.dlt_engine.shape.filters import RowFilter
from datanika.engines.dlt_engine.shape.privacy import Privacy
from datanika.engines.dlt_engine.shape.quarantine import Quarantine
from datanika.engines.dlt_engine.shape.rows import RowJudge
from datanika.engines.dlt_engine.shape.screen import Screen
from datanika.engines.dlt_engine.shape.source import quiet, read_spec, shaped
from datanika.engines.dlt_engine.shape.sql import missing
from datanika.engines.warehouse import Warehouse
from datanika.engines.warehouse.base import Table, quoted

if TYPE_CHECKING:
    import pyarrow as pa

    from datanika.engines.dlt_engine.sources.base import SourceTable

Tell = Callable[[str, LogLevel], None]


class TableShape:
    """``tell`` writes a line into the run's log; ``folder`` is the load's own. ``changed`` hears
    how the source differs from ``known``, what its last successful load read."""

    def __init__(
        self,
        table: TableSpec,
        target: Table,
        hash_key: str,
        warehouse: Warehouse,
        folder: Path,
        tell: Tell,
        changed: Callable[[tuple[ColumnChange, ...]], None],
        known: Iterable[ColumnInfo] = (),
    ) -> None:
        self.table, self.read_spec = table, read_spec(table)
        self.privacy = Privacy(table, hash_key)
        self.discarded = Discarded()
        self.source_columns: tuple[ColumnInfo, ...] = ()
        self.deleted = 0
        """Staged rows that were marked as deleted."""
        self._target, self._warehouse = target, warehouse
        self._folder, self._tell = folder, tell
        self._changed, self._known = changed, tuple(known)
        self._fitter: Fitter | None = None
        self._judge: RowJudge | None = None
        self._quarantine = (
            Quarantine(warehouse, target, table, folder)
            if table.on_bad_row is OnBadRow.QUARANTINE
            else None
        )
        self._reported: set[tuple[str, str | None]] = set()
        self._name: Callable[[str], str] = str
        self._bad_columns: set[str] = set()

    @property
    def quarantined(self) -> int:
        """Rows that went to quarantine."""
        return self._quarantine.rows if self._quarantine is not None else 0

    def breaches(self) -> tuple[ColumnBreach, ...]:
        """The columns that did not arrive as they are in the source, by name."""
        relation = ".".join(self._target)
        told = [(name, BreachKind.DISCARDED, new) for name, new in self.discarded.columns.items()]
        told += [(name, BreachKind.QUARANTINED, False) for name in self._bad_columns]
        found = [
            ColumnBreach(relation=relation, column=self._name(name), how=how, is_new=is_new)
            for name, how, is_new in told
        ]
        return tuple(sorted(found, key=lambda one: (str(one.column), one.how)))

    def begin(self, exists: bool) -> bool:
        """Before anything is read; False: the contract takes no new table, so nothing is."""
        if not exists and not check_new_table(self.table, ".".join(self._target)):
            return False
        if self._quarantine is not None:
            self._quarantine.sweep()
        return True

    def screen(self) -> Screen | None:
        """For readers of files: where bad lines go; None: they end the load."""
        if self._quarantine is None:
            return None
        place = self._folder / "screened"
        place.mkdir()
        return Screen(place, self.privacy, self._bad)

    def source(self, opened: Callable[[], SourceTable]) -> SourceTable:
        """The source that ``opened`` gives for ``read_spec``, filtered and hidden."""
        with quiet(self.privacy):
            source = shaped(opened(), self.table, self.privacy)
        native = source.native
        self.saw(
            {
                one.name: native.get(one.name, str(one.type))
                for one in source.schema
                if one.name != source.mark
            }
        )
        return source

    def saw(self, types: Mapping[str, str]) -> None:
        """Tell how the source's columns differ from what its last load read. ``types`` are the
        source's own words where it has any, the same on every way that rows can take."""
        self.source_columns = tuple(
            ColumnInfo(name=name, data_type=kind) for name, kind in types.items()
        )
        self._compare()

    def _compare(self) -> None:
        if not self._known or not self.source_columns:
            return
        changes = column_changes(self._known, self.source_columns)
        if not changes:
            return
        self._changed(changes)
        for one in changes[:20]:
            types = " -> ".join(kind for kind in (one.before, one.after) if kind is not None)
            self._tell(f"Column {one.column!r} was {one.change} ({types}).", LogLevel.WARNING)

    def columns(
        self, source: SourceTable, names: Mapping[str, str], stored: dict[str, Any]
    ) -> Columns:
        """What arrives; widens the destination's columns. Raises
        :class:`~datanika.errors.TerminalStepError` ``schema_contract_violated``."""
        planned = plan_columns(source, self.table, names, stored)
        self._name = lambda name: names.get(name, name)
        for name in planned.left_out:
            self.left_out(name)
            self._tell(f"The new column {name!r} is left out by the contract.", LogLevel.WARNING)
        staging = (STAGING_LAYOUT % self._target[0], self._target[1])
        origins = {target: name for name, target in names.items()}
        for one in planned.widenings:
            if widen(self._warehouse, [self._target, staging], one, stored, self._warn):
                planned.types[origins[one.column]] = one.kind
                self._tell(f"Column {one.column!r} is {one.kind} now.", LogLevel.INFO)
        self._fitter = Fitter(
            self.table, planned.types, planned.emptying, self._bad, self.discarded
        )
        return planned

    def left_out(self, name: str) -> None:
        """The contract does not take this new column of the source."""
        self.discarded.columns[name] = True

    def fit(self, batches: Iterable[pa.Table], mark: str | None = None) -> Iterator[pa.Table]:
        """``batches`` as the destination holds them, after :meth:`columns`, and the column
        ``mark``."""
        assert self._fitter is not None
        for batch in batches:
            yield self._fitter.fit(batch, mark)

    # -- an API's rows ----------------------------------------------------------------------------

    def judge(
        self, stored: Mapping[str, Any], normalize: Callable[[str], str], schema: Any
    ) -> None:
        """Get ready for rows: ``schema`` is dlt's."""
        detections, self._name = schema._type_detections, normalize
        self._judge = RowJudge(self.table, stored, normalize, detections, self._bad, self.discarded)

    @property
    def wants(self) -> RowFilter:
        """Whether a row meets the table's filters."""
        return RowFilter(self.table.filters)

    def row(self, row: dict[str, Any]) -> dict[str, Any] | None:
        """``row`` hidden and judged; None: it is not loaded."""
        assert self._judge is not None
        row = self.privacy.row(row)
        if self.table.columns:
            wanted = set(self.table.columns)
            row = {name: value for name, value in row.items() if name in wanted}
        return self._judge.judge(row)

    def deletes(self, normalize: Callable[[str], str]) -> Statements | None:
        """What deletes the rows that the source marks as deleted, before a merge."""
        column = self.table.delete_column
        if column is None:
            return None
        name, cursor = normalize(column), self.table.cursor

        def statements(staging: str) -> list[str]:
            # Only now is the destination's column there for sure.
            present = self._warehouse.columns([self._target])[self._target]
            kind = next((one.data_type for one in present if one.name == name), None)
            if kind is None:
                raise missing(column, (one.name for one in present))
            self.deleted = self._count_marked(staging, truth(quoted(name), kind))
            return delete_marked(
                self._target,
                [normalize(key) for key in self.table.primary_key],
                name,
                kind,
                normalize(cursor.column) if cursor else None,
            )(staging)

        return statements

    def _count_marked(self, staging: str, marked: str) -> int:
        query = f"SELECT count(*) FROM {staging} WHERE {marked}"
        return int(self._warehouse.query(query)[0][0])

    # -- bad rows ---------------------------------------------------------------------------------

    def send(self, load_ids: Iterable[str]) -> None:
        """Everything is read and nothing is loaded: write what goes to quarantine."""
        if self._judge is not None:
            self.source_columns = self._judge.columns
            self._compare()
        if self._quarantine is not None:
            self._quarantine.send(next(iter(load_ids), str(time.time())))

    def settle(self, *, clears: bool) -> None:
        """The load has committed; ``clears``: rows that were there before are gone."""
        if self._quarantine is None:
            return
        self._quarantine.settle(clears=clears)
        if self.quarantined:
            place = ".".join(self._quarantine.table)
            self._warn(f"{self.quarantined} rows do not fit and are in {place}.")

    def _warn(self, message: str) -> None:
        self._tell(message, LogLevel.WARNING)

    def _bad(self, bad: BadRow) -> None:
        assert self._quarantine is not None
        self._quarantine.add(bad)
        if bad.column is not None:
            self._bad_columns.add(bad.column)
        if (bad.code, bad.column) not in self._reported and len(self._reported) < 20:
            self._reported.add((bad.code, bad.column))
            self._warn(f"Quarantined: {bad.reason}")
