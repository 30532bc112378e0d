"""One table into PostgreSQL: the feed is chosen, its rows land, and dlt's entries are made, all in
one transaction; then it is counted again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from typing import Any

from datanika.contracts.enums import WriteDisposition
from datanika.engines.connectors.postgres import locate
from datanika.engines.dlt_engine.by_key import check_names
from datanika.engines.dlt_engine.direct import sql_cursor
from datanika.engines.dlt_engine.direct.arrow_columns import column_of, sql_type, stored_hints
from datanika.engines.dlt_engine.direct.beside import Beside
from datanika.engines.dlt_engine.direct.books import Books
from datanika.engines.dlt_engine.direct.choice import NotDirect, naming
from datanika.engines.dlt_engine.direct.columns import (
    TEXTS,
    SourceColumn,
    Travel,
    check_values,
    existing_types,
    find,
    hint_of,
    missing_types,
    travel,
)
from datanika.engines.dlt_engine.direct.dlt_import import dlt_beside
from datanika.engines.dlt_engine.direct.feeds import ArrowFeed, CopyFeed, CsvFeed, Differs, Feed
from datanika.engines.dlt_engine.direct.landing import Landed, Landing, Place
from datanika.engines.dlt_engine.direct.progress import watched
from datanika.engines.dlt_engine.direct.session import Session, check, reading, writing
from datanika.engines.dlt_engine.direct.swap import Swap
from datanika.engines.dlt_engine.loaded import Loaded, lost, verify
from datanika.engines.dlt_engine.move import check_loaded, interval_condition
from datanika.engines.dlt_engine.names import check_table
from datanika.engines.dlt_engine.sources.postgres import split_name
from datanika.engines.dlt_engine.table_load import TableLoad
from datanika.engines.emit import log
from datanika.engines.warehouse.base import LOAD_ID, Table, qualified

MAX_NAME = 63


class PostgresLoad(TableLoad):
    """Runs once, under the table's lock."""

    _normalize = staticmethod(naming(MAX_NAME))

    def run(self) -> Loaded:
        how, result = self.table.write_disposition, self.result
        name = self.warehouse.name_of_sessions(self.writer)
        with ExitStack() as stack:
            into = stack.enter_context(writing(locate(self.step.destination), name))
            books = Books(into, self.target[0], self.name, self.target[1])
            books.prepare()
            existing = dict(existing_types(into, self.target))
            self._is_new = not existing
            if existing and how is WriteDisposition.APPEND:
                self._sweep()
            counting = stack.enter_context(closing(self._count_before(existing)))
            saved = {} if self._is_new else books.resource_state()
            last = saved.get("cursor", {}).get("last")
            if self.interval is not None and last is None:
                check_loaded(self.table, self.node)
            before = self._rows_to_replace(existing)
            check_table(self.target[1], self._normalize)
            state = self._before(saved)
            for feed in self._feeds(stack, into, existing, state):
                into.run("BEGIN")
                if self.step.full_refresh:
                    books.forget_state()
                try:
                    with self._progress(into, feed), dlt_beside(self._needs_dlt(feed)):
                        landed = self._land(into, feed, existing, books.load_id, before, counting)
                    break
                except Differs as why:
                    self.result.reason = str(why)
                    into.run("ROLLBACK")
            result.before = counting.answer()
            if landed.filled != feed.rows:
                result.rows, result.loaded = feed.rows, landed.filled
                raise lost(result, self.target)
            if landed.placed != landed.wanted:
                result.rows, result.loaded = landed.wanted, landed.placed
                raise lost(result, self.target)
            moved = saved if self.interval is not None else feed.state
            columns = {name: hint_of(kind) for name, kind in {**existing, **feed.columns}.items()}
            columns.pop(LOAD_ID, None)
            books.enter(columns, moved, "replace" if how is WriteDisposition.REPLACE else "merge")
            check(into)
            into.run("COMMIT")
        result.bytes = feed.bytes
        self.counter.rows = feed.rows
        self._tell_commit(last, moved)
        replaced = before is not None or self.step.full_refresh
        ids = [books.load_id]
        verify(result, self.table, self.target, self.warehouse, ids, replaced, landed.placed)
        return result

    def _count_before(self, existing: dict[str, str]) -> Beside[int]:
        """How many rows the table has. Those that are replaced are counted while others come; of
        what is appended to, and changed, it must be known before."""
        counting = Beside(lambda: self.warehouse.count(self.target) if existing else 0)
        if self.table.write_disposition is not WriteDisposition.REPLACE:
            counting.answer()
        return counting

    def _progress(self, into: Session, feed: Feed) -> AbstractContextManager[None]:
        if isinstance(feed, ArrowFeed):
            # Its batches are counted as they are read.
            return nullcontext()
        return watched(self.warehouse, into.connection.info.backend_pid, self.counter)

    def _needs_dlt(self, feed: Feed) -> bool:
        """Whether dlt's entries need dlt itself, and this feed does not."""
        has_new_entries = self._is_new or self.table.cursor is not None
        return has_new_entries and not isinstance(feed, ArrowFeed)

    def _land(
        self,
        into: Session,
        feed: Feed,
        existing: dict[str, str],
        load_id: str,
        before: str | None,
        counting: Beside[int],
    ) -> Landed:
        merge = self.table.write_disposition is WriteDisposition.MERGE
        cursor = self.table.cursor
        order = self._normalize(cursor.column) if cursor and merge else None
        check_names(list(feed.columns), self.table)
        place = Place(
            target=self.target,
            columns=feed.columns,
            existing=existing,
            key=[self._normalize(key) for key in self.table.primary_key] if merge else (),
            order=order,
            strategy=self.table.merge_strategy,
            whole=cursor is None,
            marks=merge and self.table.deletes == "soft" and self.table.sync == "query",
        )
        landing = Landing(into, place, load_id)

        def fill(table: str, names: Sequence[str], load_id: str | None, freeze: bool) -> int:
            rows = feed.fill(table, names, load_id, freeze)
            # Who reads the table keeps it from being replaced.
            counting.answer()
            return rows

        landed = landing.land(self.table.write_disposition, fill, before, self.step.full_refresh)
        self.result.path, self.result.placed = feed.path, landed.way
        if landed.marked:
            message = f"Marked {landed.marked} rows that are gone from the source."
            log(self.emit, self.step.step.key, message, node=self.node)
        return landed

    def _rows_to_replace(self, existing: dict[str, str]) -> str | None:
        """The statement that takes out the rows of a repeated interval."""
        how, cursor = self.table.write_disposition, self.table.cursor
        if self.interval is None or cursor is None or how is not WriteDisposition.APPEND:
            return None
        name = self._normalize(cursor.column)
        condition = interval_condition(name, existing.get(name, ""), self.interval)
        return f"DELETE FROM {qualified(self.target)} WHERE {condition}"

    # Feeds

    def _feeds(
        self, stack: ExitStack, into: Session, existing: dict[str, str], state: dict[str, Any]
    ) -> Iterator[Feed]:
        """Ways for the rows, the fastest first; the next one is for when its rows differ."""
        find = self._csv_feed if self.step.source.kind == "files" else self._copy_feed
        try:
            direct = find(stack, into, existing, state)
            log(self.emit, self.step.step.key, f"Goes by {direct.path}.", node=self.node)
            yield direct
        except NotDirect as why:
            self.result.reason = str(why)
        message = f"Goes through arrow: {self.result.reason}."
        log(self.emit, self.step.step.key, message, node=self.node)
        yield self._arrow_feed(into, existing, state)

    def _csv_feed(
        self, stack: ExitStack, into: Session, existing: dict[str, str], state: dict[str, Any]
    ) -> Feed:
        from datanika.engines.connectors.files import FILES
        from datanika.engines.dlt_engine.sources.files import raw_csv

        kind = FILES.parse(self.step.source).format
        if kind != "csv":
            raise NotDirect(f"the file's format is {kind}")
        how = self.table.write_disposition
        if existing and how is WriteDisposition.APPEND and not self.step.full_refresh:
            raise NotDirect("rows are appended")
        texts = frozenset(name for name, type_ in existing.items() if type_ in TEXTS)
        hints = {name: {"data_type": "text"} for name in texts}
        csv = raw_csv(self._reading(self._normalize, hints))
        if csv is None:
            raise NotDirect("its columns, its cursor or its compression")
        self.shape.saw(csv.types)
        names = self._names(list(csv.types))
        columns = {}
        for name, duck in csv.types.items():
            target, found = names[name], column_of(duck)
            known = existing.get(target, found)
            if known != found and not (found == "character varying" and known in TEXTS):
                raise NotDirect(f"{target} is of the type {known}, not {found}")
            columns[target] = known
        return CsvFeed(into, csv, columns, names, state)

    def _copy_feed(
        self, stack: ExitStack, into: Session, existing: dict[str, str], state: dict[str, Any]
    ) -> Feed:
        if self.step.source.kind != "postgres":
            raise NotDirect(f"the source is of the kind {self.step.source.kind}")
        source = self._source_session(stack, state)
        name = split_name(self.table.name, self.step.step.source_schema)
        columns = find(source, name, self.table)
        if reason := sql_cursor.unfit(self.table, columns, self.interval is not None):
            raise NotDirect(reason)
        self.shape.saw({column.name: column.type for column in columns.values()})
        travels = self._travels(source, into, name, columns, existing)
        names = self._names(list(columns))
        found = self._positioned(source, qualified(name), columns, state)
        for one in travels:
            if one.note:
                log(self.emit, self.step.step.key, one.note, node=self.node)
        return CopyFeed(source, into, found, travels, names)

    def _source_session(self, stack: ExitStack, state: dict[str, Any]) -> Session:
        """One snapshot of the source; ``state``, of the resource, may be told where it is."""
        return stack.enter_context(reading(locate(self.step.source), self.writer.application_name))

    def _travels(
        self,
        source: Session,
        into: Session,
        name: Table,
        columns: dict[str, SourceColumn],
        existing: dict[str, str],
    ) -> list[Travel]:
        absent = missing_types(into, list(columns.values()))
        how = self.table.write_disposition
        fresh = how is WriteDisposition.REPLACE or self.step.full_refresh
        found: dict[str, Travel | None] = {
            column.name: travel(column, existing.get(self._normalize(column.name)), absent)
            for column in columns.values()
        }
        for bad in check_values(source, name, [one for one in found.values() if one]):
            found[bad] = None
        unfit = [column for column, one in found.items() if one is None]
        if unfit and not (fresh and Swap(into, self.target).refused() is None):
            known = existing[self._normalize(unfit[0])]
            raise NotDirect(f"{unfit[0]} is of the type {columns[unfit[0]].type}, not {known}")
        for column in unfit:
            found[column] = travel(columns[column], None, absent)
        return [one for one in found.values() if one is not None]

    def _positioned(
        self, source: Session, name: str, columns: dict[str, SourceColumn], state: dict[str, Any]
    ) -> sql_cursor.Reading:
        cursor = self.table.cursor
        if cursor is None:
            return sql_cursor.Reading(name, state)
        if self.interval is not None:
            return sql_cursor.inside(source, name, columns, cursor.column, self.interval)
        found = sql_cursor.after(source, name, columns, self.table, state)
        if found is None:
            raise NotDirect("its cursor remembers rows by marks of arrow")
        return found

    def _arrow_feed(
        self, into: Session, existing: dict[str, str], state: dict[str, Any]
    ) -> ArrowFeed:
        plan = self._arrow_plan(self._normalize, stored_hints(existing))
        # Which may have widened some of them.
        existing.update(existing_types(into, self.target))
        columns = {
            plan.names[name]: existing.get(plan.names[name])
            or sql_type(kind, plan.is_json(plan.names[name]))
            for name, kind in plan.types.items()
        }

        def batches() -> Iterator[Any]:
            return self._arrow_batches(plan, state)

        return ArrowFeed(into, columns, batches, state, "arrow to COPY")

    def _names(self, columns: list[str]) -> dict[str, str]:
        from datanika.engines.dlt_engine.names import check_columns

        return check_columns(columns, self._normalize, self.table.name)
