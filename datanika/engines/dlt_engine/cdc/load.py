"""One table that is kept equal by its source's changes: read as a whole once, then followed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from datanika.contracts.enums import LogLevel
from datanika.contracts.events import NodeCommitted
from datanika.contracts.shape import ContractMode
from datanika.contracts.spec import TableSpec
from datanika.contracts.steps import ResolvedLoad
from datanika.engines.dlt_engine.by_key import DELETED_AT
from datanika.engines.dlt_engine.cdc.apply import Applier, Lane
from datanika.engines.dlt_engine.cdc.fold import Fold
from datanika.engines.dlt_engine.cdc.pgoutput import lsn_text
from datanika.engines.dlt_engine.cdc.step import CdcStep, Work
from datanika.engines.dlt_engine.direct.books import Books
from datanika.engines.dlt_engine.loaded import Loaded
from datanika.engines.dlt_engine.names import check_columns, check_table
from datanika.engines.dlt_engine.shape.contract import violated
from datanika.engines.dlt_engine.table_load import TableLoad, pipeline_name
from datanika.engines.emit import Emit, log
from datanika.engines.warehouse import Warehouse
from datanika.engines.warehouse.base import LOAD_ID, literal, qualified, quoted
from datanika.errors import TerminalStepError


class CdcLoad(TableLoad):
    """Runs once, under the table's lock; ``cdc`` is the step's."""

    time_type = "timestamp with time zone"

    def __init__(
        self,
        step: ResolvedLoad,
        table: TableSpec,
        folder: Path,
        emit: Emit,
        warehouse: Warehouse,
        cdc: CdcStep,
    ) -> None:
        super().__init__(step, table, folder, emit, warehouse)
        self.cdc = cdc
        self.soft = table.deletes == "soft"

    def run(self) -> Loaded:
        work = self.cdc.work(self.target[1])
        check_table(self.target[1], self.normalize)
        columns = self.warehouse.columns([self.target]).get(self.target, ())
        if not self.shape.begin(bool(columns)):
            self.result.discard(self.node)
            return self.result
        self._is_new = not columns
        self.result.before = self.warehouse.count(self.target) if columns else 0
        chosen = self._chosen(work, {column.name for column in columns} - {LOAD_ID})
        for name in work.table.left_out:
            self._say(f"{name}: a generated column, which the source's log does not have.")
        if work.reason is not None:
            self._say(f"Reads the table as a whole: {work.reason}.")
            self.begin(work, chosen)
        else:
            self._follow(work, chosen)
        self._note_slot()
        return self.result

    def normalize(self, name: str) -> str:
        """A source column's name -> its name in the destination."""
        raise NotImplementedError

    @abstractmethod
    def begin(self, work: Work, chosen: Sequence[str]) -> None:
        """Read the table as a whole from a snapshot whose place in the log is known."""

    @abstractmethod
    def open(self, stack: ExitStack) -> Any:
        """A session to the destination that writes."""

    @abstractmethod
    def types(self, session: Any) -> dict[str, str]:
        """column -> type of the destination table; empty when there is none."""

    @abstractmethod
    def lanes(
        self,
        session: Any,
        work: Work,
        chosen: Sequence[str],
        names: Mapping[str, str],
        existing: dict[str, str],
    ) -> list[Lane]:
        """How each of ``chosen`` travels to ``session``. Raises ``type_changed``."""

    @abstractmethod
    def applier(self, session: Any, lanes: list[Lane], work: Work, load_id: str) -> Applier:
        """What brings changes into the table."""

    @abstractmethod
    def hint(self, kind: str) -> dict[str, Any]:
        """dlt's words for a column of the type ``kind``."""

    @abstractmethod
    def check_fence(self, session: Any) -> None:
        """Raises :class:`TerminalStepError` ``superseded`` when the lock is lost."""

    def _say(self, message: str, level: LogLevel = LogLevel.INFO) -> None:
        log(self.emit, self.step.step.key, message, level, self.node)

    def saw(self, lanes: Sequence[Lane]) -> None:
        """Tell how the source's columns differ from what its last load read."""
        self.shape.saw({lane.source: lane.native for lane in lanes})

    def _chosen(self, work: Work, existing: set[str]) -> list[str]:
        """The source's columns that the table's contract lets in."""
        contract = self.table.schema_contract.columns
        names = self.names(list(work.table.columns))
        if contract is ContractMode.EVOLVE or not existing:
            return list(names)
        new = [name for name, target in names.items() if target not in existing]
        if new and contract is ContractMode.FREEZE:
            raise violated(self.table.name, new[0], "is new", "columns", names[new[0]])
        for name in new:
            self.shape.left_out(name)
            self._say(f"{name}: a new column, which the schema contract leaves out.")
        return [name for name in names if name not in new]

    def names(self, columns: list[str]) -> dict[str, str]:
        """Source name -> destination name. Raises ``columns_collide``, ``column_reserved``."""
        names = check_columns(columns, self.normalize, self.table.name)
        taken = next((name for name, target in names.items() if target == DELETED_AT), None)
        if taken is not None and self.soft:
            raise TerminalStepError(
                f"{self.table.name!r} has a column {taken!r}; that name is for when a row was "
                "deleted.",
                code="column_reserved",
                hint="Rename it in the source, or choose the other columns.",
            )
        return names

    def state_of(self, work: Work, chosen: Sequence[str], lsn: int, rows: int) -> dict[str, Any]:
        """What the resource remembers: everything before ``lsn`` is there, ``rows`` rows."""
        return {
            "slot": self.cdc.slot.name,
            "lsn": lsn,
            "rows": rows,
            "soft": self.soft,
            "left_out": [name for name in work.table.columns if name not in chosen],
            **work.table.facts(chosen),
        }

    # Following

    def _follow(self, work: Work, chosen: Sequence[str]) -> None:
        result, end = self.result, self.cdc.end
        start = int(work.state["lsn"])
        names = self.names(list(chosen))
        with ExitStack() as stack:
            session = self.open(stack)
            books = Books(session, self.target[0], self.name, self.target[1])
            books.prepare()
            existing = self.types(session)
            lanes = self.lanes(session, work, chosen, names, existing)
            self.saw(lanes)
            fold = Fold(
                self.node,
                [lane.source for lane in lanes],
                work.table.key,
                {lane.source: lane.fill for lane in lanes},
                start,
                end,
                soft=self.soft,
            )
            session.run("BEGIN")
            try:
                self._add_columns(session, work, lanes, existing)
                applier = self.applier(session, lanes, work, books.load_id)
                self._apply(fold, applier, work)
                result.after = applier.alive()
                rows = fold.net + (0 if fold.emptied else int(work.state["rows"]))
                stored = books.resource_state()
                state = {**stored, "cdc": self.state_of(work, chosen, end, rows)}
                columns = {name: self.hint(kind) for name, kind in existing.items()}
                columns.pop(LOAD_ID, None)
                books.enter(columns, state, "merge")
                self.check_fence(session)
                session.run("COMMIT")
            except BaseException:
                self.undo(session)
                raise
        self.committed(end, moved=end != start)
        result.rows, result.bytes = fold.changes, fold.bytes
        result.loaded = applier.put
        result.path, result.placed = "changes from the log (CDC)", "by key"
        result.changes = {name: fold.counts[name] for name in _KINDS}
        result.verdict = "exact"
        if result.after != rows:
            result.verdict = "other rows"
            self._say(
                f"{self.node} has {result.after} rows and its source had {rows}: somebody else "
                "writes it. A full refresh makes them equal.",
                LogLevel.WARNING,
            )

    def undo(self, session: Any) -> None:
        """Roll back what a session that stays open has begun."""

    def _apply(self, fold: Fold, applier: Applier, work: Work) -> None:
        begun = False
        for chunk in fold.chunks(self.cdc.messages(work)):
            if not begun:
                applier.prepare()
                begun = True
            applier.apply(chunk)
            self.counter.at(fold.changes)
        if begun:
            applier.finish()
        self.counter.rows = fold.changes

    def _add_columns(
        self, session: Any, work: Work, lanes: Sequence[Lane], existing: dict[str, str]
    ) -> None:
        """New columns, and what rows from before them have in them."""
        target = qualified(self.target)
        added = {
            lane.target: lane.type
            for lane in lanes
            if lane.source not in work.state["columns"] and lane.target not in existing
        }
        if self.soft and DELETED_AT not in existing:
            added[DELETED_AT] = self.time_type
        for name, kind in added.items():
            session.run(f"ALTER TABLE {target} ADD COLUMN {quoted(name)} {kind}")
            existing[name] = kind
        # DuckDB alters no table that the transaction has changed.
        for lane in lanes:
            if lane.source in work.state["columns"]:
                continue
            value = "NULL"
            if isinstance(lane.fill, bytes):
                text = lane.fill
                if lane.convert is not None:
                    [text] = lane.convert([text])
                value = self.literal(text, lane)
            if value != "NULL" or lane.target not in added:
                # A column that went and came back is there, with what it had.
                session.run(f"UPDATE {target} SET {quoted(lane.target)} = {value}")
        if not self.soft and work.state.get("soft") and DELETED_AT in existing:
            session.run(f"DELETE FROM {target} WHERE {quoted(DELETED_AT)} IS NOT NULL")

    def literal(self, text: bytes, lane: Lane) -> str:
        """SQL of a value of the destination's type."""
        return f"CAST({literal(text.decode())} AS {lane.type})"

    def committed(self, lsn: int, *, moved: bool) -> None:
        """The destination has everything before ``lsn``."""
        result = self.result
        self.cdc.committed(self.target[1], lsn)
        result.note(self.shape)
        result.rows, result.committed, result.cursor_moved = self.counter.rows, True, moved
        self.emit(
            NodeCommitted(
                step_key=self.step.step.key,
                node=self.node,
                rows=result.rows,
                cursor_moved=result.cursor_moved,
            )
        )

    def _note_slot(self) -> None:
        cdc, held = self.cdc, self.cdc.backlog
        self.result.slot = {
            "slot": cdc.slot.name,
            "lsn": lsn_text(cdc.end),
            "status": held.status if held else None,
            "retained_bytes": held.retained_bytes if held else None,
            "safe_bytes": held.safe_bytes if held else None,
        }


_KINDS = ("inserts", "updates", "deletes", "truncates")


class WarehouseBooks:
    """A session for :class:`Books` that only reads, over the step's own connection."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def run(self, sql: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        return self._warehouse.query(sql, parameters or ())

    def lock(self, key: int) -> None:
        raise NotImplementedError

    def unlock(self, key: int) -> None:
        raise NotImplementedError


def stored_state(step: ResolvedLoad, warehouse: Warehouse, target: str) -> dict[str, Any]:
    """What a table's resource has stored of change data capture; empty: nothing, or there is no
    such table (any more)."""
    schema = step.step.target_schema
    if not warehouse.exists((schema, target)):
        return {}
    books = Books(
        WarehouseBooks(warehouse), schema, pipeline_name(step.pipeline_key, target), target
    )
    books.look()
    found: dict[str, Any] = books.resource_state().get("cdc", {})
    return found
