"""One table of a load step: read, stage, move into place in one transaction, and verify."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datanika.contracts.enums import LogLevel, WriteDisposition
from datanika.contracts.events import ColumnChange, CursorMoved, NodeCommitted, SchemaChanged
from datanika.contracts.spec import TableSpec
from datanika.contracts.steps import ResolvedLoad
from datanika.engines.connectors.base import Reading
from datanika.engines.connectors.registry import connector_of
from datanika.engines.dlt_engine.by_key import (
    ROW_HASH,
    ByKey,
    check_names,
)
from datanika.engines.dlt_engine.cursor import ArrowCursor, rewound
from datanika.engines.dlt_engine.interval import IntervalRows
from datanika.engines.dlt_engine.loaded import Loaded, verify
from datanika.engines.dlt_engine.move import (
    MoveFromStaging,
    Statements,
    check_loaded,
    refresh,
    repeat_interval,
)
from datanika.engines.dlt_engine.names import check_columns, check_table
from datanika.engines.dlt_engine.row_cursor import RowCursor
from datanika.engines.dlt_engine.runtime import STAGING_LAYOUT, isolated_dlt
from datanika.engines.dlt_engine.shape.table import TableShape
from datanika.engines.emit import Emit, RowCounter, log
from datanika.engines.warehouse import Warehouse, WriterId
from datanika.engines.warehouse.base import Table, qualified
from datanika.errors import TerminalStepError

if TYPE_CHECKING:
    import pyarrow as pa

    from datanika.engines.dlt_engine.sources.base import SourceTable

MAX_SEEN = 5_000
"""Marks of rows at the cursor's last value that are told to the control plane."""
_VERSION_TABLE = "_dlt_version"
_STATE_TABLE = "_dlt_pipeline_state"


@dataclass(frozen=True)
class ArrowPlan:
    """``names``: source name -> destination name; ``types``: source name -> what it is cast to;
    ``hints``: dlt's words for new columns, by destination name."""

    source: SourceTable
    names: dict[str, str]
    types: dict[str, pa.DataType]
    hints: dict[str, dict[str, Any]]

    def is_json(self, name: str) -> bool:
        """Whether the destination holds the text of its new column ``name`` as JSON."""
        return self.hints.get(name, {}).get("data_type") == "json"


class TableLoad:
    """Runs once, under the table's lock, in a fresh folder."""

    def __init__(
        self,
        step: ResolvedLoad,
        table: TableSpec,
        folder: Path,
        emit: Emit,
        warehouse: Warehouse,
    ) -> None:
        self.step, self.table, self.folder, self.warehouse = step, table, folder, warehouse
        self.target: Table = (step.step.target_schema, str(table.target))
        self.node = ".".join(self.target)
        self.emit = emit
        self.writer = WriterId(step.run_id, step.attempt)
        self.name = pipeline_name(step.pipeline_key, str(table.target))
        self.counter = RowCounter(emit, step.step.key, self.node)
        self.result = Loaded()
        self._is_new = False
        self._opened = ExitStack()
        self.interval = step.interval if table.cursor is not None else None
        self.move = MoveFromStaging()
        self.connector = connector_of(step.source)
        self.shape = TableShape(
            table,
            self.target,
            step.hash_key,
            warehouse,
            folder,
            self._tell,
            self._report_changes,
            step.known_columns.get(self.target[1], ()),
        )

    def run(self) -> Loaded:
        """Load the table. Raises what the engines raise, and :class:`TerminalStepError`."""
        with isolated_dlt(self.folder.parent):
            return self._run()

    def _run(self) -> Loaded:
        import dlt

        existed = self.warehouse.exists(self.target)
        if not self.shape.begin(existed):
            self.result.discard(self.node)
            return self.result
        if existed and self.table.write_disposition is WriteDisposition.APPEND:
            self._sweep()
        if not existed:
            self._is_new = True
            self._forget()
        self.result.before = self.warehouse.count(self.target) if existed else 0
        pipeline = dlt.pipeline(
            pipeline_name=self.name,
            pipelines_dir=str(self.folder),
            destination=connector_of(self.step.destination).destination(
                self.step.destination, self.writer, self.warehouse, self.move
            ),
            dataset_name=self.target[0],
        )
        pipeline.sync_destination()
        known = self.name in pipeline.schemas
        schema = pipeline.schemas[self.name].clone() if known else dlt.Schema(self.name)
        cursor = self._stored_state(pipeline).get("cursor", {}).get("last")
        if self.interval is not None and cursor is None:
            check_loaded(self.table, self.node)
        if existed and (before := self._statements(schema)) is not None:
            self.move.use(before)
        normalize = schema.naming.normalize_identifier
        if (deletes := self.shape.deletes(normalize)) is not None:
            self.move.also(deletes)
        if self.table.write_disposition is WriteDisposition.MERGE:
            self.move.merge_by(self._own_merge(normalize))
        arrow = not self.connector.gives_rows
        with self._opened:
            source = self._source(pipeline, schema)
            extracted = pipeline.extract(
                source, **({"loader_file_format": "parquet"} if arrow else {})
            )
        self.shape.send(extracted.loads_ids)
        pipeline.normalize()
        info = pipeline.load()
        if not self.move.happened:
            # There was no row to move.
            staging = qualified((STAGING_LAYOUT % self.target[0], self.target[1]))
            if statements := self.move.without_rows(staging):
                self.warehouse.query("; ".join(statements))
        self.shape.settle(clears=self.step.full_refresh)
        self._tell_commit(cursor, self._stored_state(pipeline))
        verify(
            self.result,
            self.table,
            self.target,
            self.warehouse,
            info.loads_ids,
            self.move.replaces,
            self.move.placed,
        )
        return self.result

    def _statements(self, schema: Any) -> Statements | None:
        """What has to happen to the rows that are there before the new ones are added."""
        how, cursor = self.table.write_disposition, self.table.cursor
        if how is WriteDisposition.REPLACE:
            return None
        if self.step.full_refresh:
            state = (self.target[0], _STATE_TABLE)
            known = cursor is not None and self.warehouse.exists(state)
            return refresh(self.target, self.name, state if known else None)
        if self.interval is None or cursor is None or how is WriteDisposition.MERGE:
            return None
        name = schema.naming.normalize_identifier(cursor.column)
        columns = self.warehouse.columns([self.target])[self.target]
        kind = next((one.data_type for one in columns if one.name == name), "")
        version = schema.stored_version_hash
        return repeat_interval(self.target, name, kind, self.interval, self.name, version)

    def _tell(self, message: str, level: LogLevel) -> None:
        log(self.emit, self.step.step.key, message, level, self.node)

    def _report_changes(self, changes: tuple[ColumnChange, ...]) -> None:
        self.emit(SchemaChanged(step_key=self.step.step.key, node=self.node, changes=changes))

    def _tell_commit(self, before: Any, state: dict[str, Any]) -> None:
        """``before``: the cursor's value before the load; ``state``: the resource's state now."""
        result = self.result
        result.note(self.shape)
        result.rows, result.committed = self.counter.rows, True
        result.bytes = result.bytes or self.counter.bytes
        after = state.get("cursor", {}).get("last")
        result.cursor_moved = self.interval is None and after != before
        self.emit(
            NodeCommitted(
                step_key=self.step.step.key,
                node=self.node,
                rows=result.rows,
                cursor_moved=result.cursor_moved,
            )
        )
        self._tell_cursor(state.get("cursor", {}))

    def _tell_cursor(self, state: dict[str, Any]) -> None:
        """The load has committed, its cursor with it."""
        if self.table.cursor is None or self.interval is not None:
            return
        if len(state.get("seen", {})) > MAX_SEEN:
            state = {**state, "seen": {}}
        last = state.get("last")
        self.emit(
            CursorMoved(
                step_key=self.step.step.key,
                target=self.target[1],
                column=self.table.cursor.column,
                value=None if last is None else str(last),
                state=state,
            )
        )

    def _stored_state(self, pipeline: Any) -> dict[str, Any]:
        """What dlt keeps about this table's resource in the destination."""
        sources = pipeline.state.get("sources", {}).get(self.name, {})
        state: dict[str, Any] = sources.get("resources", {}).get(self.table.target, {})
        return state

    def _before(self, saved: dict[str, Any]) -> dict[str, Any]:
        """The resource's state to start from, a person's rewind included."""
        rewind = next((item for item in self.step.rewinds if item.target == self.target[1]), None)
        cursor = saved.get("cursor", {})
        if self.step.full_refresh:
            # A rewind that nobody has taken yet is part of it.
            taken = rewind.number if rewind is not None else cursor.get("rewind", 0)
            return {**saved, "cursor": {"rewind": taken}}
        start = rewound(cursor, rewind, is_new=self._is_new)
        if start is not cursor and not self._is_new:
            value = start.get("last")
            where = "the start" if value is None else repr(value)
            log(self.emit, self.step.step.key, f"Reads again from {where}.", node=self.node)
        return {**saved, "cursor": start}

    def _forget(self) -> None:
        """There is no table (any more): load it as if for the first time.

        dlt would trust the schema and the cursor that it stored, and load the newest rows into a
        table that somebody dropped.
        """
        for table, column in ((_VERSION_TABLE, "schema_name"), (_STATE_TABLE, "pipeline_name")):
            stored = (self.target[0], table)
            if self.warehouse.exists(stored):
                self.warehouse.query(
                    f"DELETE FROM {qualified(stored)} WHERE {column} = %s", [self.name]
                )

    def _sweep(self) -> None:
        self.result.swept = self.warehouse.sweep(self.target)
        if self.result.swept:
            log(
                self.emit,
                self.step.step.key,
                f"Removed {self.result.swept} rows of a load that was killed.",
                node=self.node,
            )

    def _source(self, pipeline: Any, schema: Any) -> Any:
        from dlt.extract.source import DltSource

        normalize = schema.naming.normalize_identifier
        check_table(str(self.table.target), normalize)
        if self.connector.gives_rows:
            resource = self._row_resource(pipeline, schema, normalize)
        else:
            resource = self._arrow_resource(schema, normalize)
        return DltSource(schema, self.name, [resource])

    def _hints(self, normalize: Any) -> dict[str, Any]:
        merged = self.table.write_disposition is not WriteDisposition.REPLACE
        keys = [normalize(key) for key in self.table.primary_key]
        return {
            # Merge without a key is dlt's append through staging: one INSERT … SELECT.
            "write_disposition": "merge" if merged else "replace",
            "primary_key": keys if self.table.write_disposition is WriteDisposition.MERGE else None,
        }

    def _own_merge(self, normalize: Any) -> ByKey:
        cursor = self.table.cursor
        return ByKey(
            self.table,
            self.target,
            [normalize(key) for key in self.table.primary_key],
            normalize(cursor.column) if cursor is not None else None,
            self.warehouse,
            self.step.full_refresh,
        )

    def _row_resource(self, pipeline: Any, schema: Any, normalize: Any) -> Any:
        import dlt

        cursor = None
        inside = self._interval_rows()
        if self.table.cursor is not None and inside is None:
            cursor = RowCursor(self.table, self._before(self._stored_state(pipeline)))
        start = cursor.start if cursor else None
        if self.interval is not None:
            start = self.interval.start.isoformat()
        columns = schema.tables.get(self.table.target, {}).get("columns", {})
        reading = self._reading(normalize, columns)
        resource = self._opened.enter_context(self.connector.open_resource(reading, start))
        hints = self._hints(normalize)
        resource.apply_hints(
            table_name=self.table.target,
            write_disposition=hints["write_disposition"],
            primary_key=hints["primary_key"] or [],
        )
        resource.max_table_nesting = 0
        checked: set[str] = set()
        stored = {} if self._is_new else columns
        self.shape.judge(stored, normalize, schema)

        def keep(item: dict[str, Any]) -> bool:
            if inside is not None:
                return inside.keep(item)
            if cursor is None:
                return True
            kept = cursor.keep(item)
            dlt.current.resource_state(self.table.target)["cursor"] = cursor.saved()
            return kept

        def count(item: dict[str, Any]) -> dict[str, Any]:
            if not checked.issuperset(item):
                checked.update(item)
                names = check_columns(sorted(checked), normalize, self.table.name)
                check_names([name for name in names.values() if name != ROW_HASH], self.table)
            self.counter.add(1)
            return item

        resource.add_filter(self.shape.wants).add_filter(keep)
        judged = resource.add_map(self.shape.row)
        return judged.add_filter(lambda item: item is not None).add_map(count)

    def _arrow_resource(self, schema: Any, normalize: Any) -> Any:
        import dlt

        stored = schema.tables.get(self.table.target, {}).get("columns", {})
        plan = self._arrow_plan(normalize, {} if self._is_new else stored)

        def rows() -> Iterator[pa.Table]:
            import pyarrow as pa

            state: dict[str, Any] = {}
            if self.table.cursor is not None and self.interval is None:
                state = dlt.current.resource_state()
                state.update(self._before(state))
            yield from self._arrow_batches(plan, state)
            if not self.counter.rows:
                # So that the table exists, and a replace empties it.
                fields = [pa.field(plan.names[name], kind) for name, kind in plan.types.items()]
                yield pa.schema(fields).empty_table()

        hints = self._hints(normalize)
        return dlt.resource(
            rows,
            name=str(self.table.target),
            columns=plan.hints or None,
            **{key: value for key, value in hints.items() if value is not None},
        )

    def _arrow_plan(self, normalize: Any, stored: dict[str, Any]) -> ArrowPlan:
        """What is read; ``stored``: dlt's words for the columns that the destination has."""
        reading = self._reading(normalize, stored)
        source = self.shape.source(lambda: self.connector.open_table(reading))
        present = [name for name in source.schema.names if name != source.mark]
        names = check_columns(present, normalize, self.table.name)
        check_names(list(names.values()), self.table)
        planned = self.shape.columns(source, names, stored)
        if not planned.types:
            raise TerminalStepError(
                f"{self.table.name!r} has no column with a value.", code="columns_empty"
            )
        for note in source.notes:
            log(self.emit, self.step.step.key, note, node=self.node)
        return ArrowPlan(source, names, planned.types, planned.hints)

    def _arrow_batches(self, plan: ArrowPlan, state: dict[str, Any]) -> Iterator[pa.Table]:
        """The rows that are to be loaded; ``state``, of the table's resource, moves with them."""
        source, names = plan.source, plan.names
        inside = self._interval_rows()
        bounds = inside.bounds(source.schema) if inside else (None, None)
        cursor = None
        if self.table.cursor is not None and inside is None:
            cursor = ArrowCursor(self.table, state)
        batches = source.read(*((cursor.start(), None) if cursor else bounds))
        fitted = self.shape.fit(batches, source.mark if cursor is not None else None)
        follower = cursor or inside
        for batch in follower.follow(fitted) if follower else fitted:
            self.counter.add(batch.num_rows, batch.nbytes)
            if batch.num_rows:
                yield batch.rename_columns([names[name] for name in batch.column_names])

    def _interval_rows(self) -> IntervalRows | None:
        if self.interval is None or self.table.cursor is None:
            return None
        return IntervalRows(self.table.cursor.column, self.interval)

    def _reading(self, normalize: Any, stored: Mapping[str, Any]) -> Reading:
        return Reading(
            connection=self.step.source,
            table=self.shape.read_spec,
            folder=self.folder,
            writer=self.writer,
            normalize=normalize,
            source_schema=self.step.step.source_schema,
            as_text=frozenset(
                name for name, column in stored.items() if column.get("data_type") == "text"
            ),
            privacy=self.shape.privacy,
            screen=self.shape.screen,
        )


def pipeline_name(key: str, target: str) -> str:
    """dlt's name of one table's pipeline and schema: its own state, whatever the others do."""
    digest = hashlib.sha256(f"{key}/{target}".encode()).hexdigest()[:8]
    return f"{key}_{target}"[:50].rstrip("_") + f"_{digest}"
