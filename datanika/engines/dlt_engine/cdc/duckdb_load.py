"""Changes into DuckDB: every value as the text of its server, cast here and checked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from datanika.engines.dlt_engine.by_key import DELETED_AT
from datanika.engines.dlt_engine.cdc.apply import (
    KEPT_COLUMNS,
    OP,
    Applier,
    Convert,
    Lane,
    Staged,
)
from datanika.engines.dlt_engine.cdc.convert import by_server
from datanika.engines.dlt_engine.cdc.load import CdcLoad
from datanika.engines.dlt_engine.cdc.pgoutput import Value
from datanika.engines.dlt_engine.cdc.step import Work
from datanika.engines.dlt_engine.direct.books import Books
from datanika.engines.dlt_engine.direct.choice import naming
from datanika.engines.dlt_engine.direct.duckdb_load import DuckSession, bounded, hint_of
from datanika.engines.dlt_engine.direct.session import reading
from datanika.engines.dlt_engine.loaded import lost
from datanika.engines.dlt_engine.sources.postgres import PostgresColumn, find_columns
from datanika.engines.warehouse.base import LOAD_ID, literal, qualified, quoted
from datanika.engines.warehouse.duckdb import DuckdbWarehouse
from datanika.errors import TerminalStepError

_AT_ONCE = 20_000
_BYTES_AT_ONCE = 16 * 1024 * 1024
_TYPES = {
    "bool": "BOOLEAN",
    "int2": "SMALLINT",
    "int4": "INTEGER",
    "int8": "BIGINT",
    "oid": "BIGINT",
    "float4": "DOUBLE",
    "float8": "DOUBLE",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMP WITH TIME ZONE",
    "bytea": "BLOB",
    "time": "TIME",
}
_PLAIN = frozenset({"VARCHAR", "JSON", "BLOB"})
_DATED = frozenset({"DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"})
_ESCAPES = {
    b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v",
}  # fmt: skip
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


class _Session(DuckSession):
    """Which counts too, and shows arrow tables to its statements."""

    def count(self, sql: str) -> int:
        """How many rows a statement changed."""
        return int(self.run(sql)[0][0])

    @contextmanager
    def shown(self, rows: Any) -> Iterator[str]:
        """An arrow table as a relation of that name."""
        self._cursor.register("datanika_rows", rows)
        try:
            yield "datanika_rows"
        finally:
            self._cursor.unregister("datanika_rows")


class CdcDuckdbLoad(CdcLoad):
    """Runs once; the file has one writer."""

    time_type = "TIMESTAMP WITH TIME ZONE"
    normalize = staticmethod(naming())  # type: ignore[assignment]

    def begin(self, work: Work, chosen: Sequence[str]) -> None:
        result, names = self.result, self.names(list(chosen))
        with ExitStack() as stack:
            session = self.open(stack)
            books = Books(session, self.target[0], self.name, self.target[1])
            books.prepare()
            name = self.writer.application_name
            snapshot, lsn = stack.enter_context(self.cdc.slot.snapshot(name))
            source = stack.enter_context(reading(self.cdc.source, name))
            source.run(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
            lanes = self._lanes(source, work, chosen, names, {})
            self.saw(lanes)
            session.run("BEGIN")
            try:
                if self.step.full_refresh:
                    books.forget_state()
                columns = self._create(session, lanes)
                applier = self.applier(session, lanes, work, books.load_id)
                select = ", ".join(self._selected)
                copy = f"COPY (SELECT {select} FROM {qualified(work.table.name)}) TO STDOUT"
                rows = _Rows(applier, self.counter, self.folder / "snapshot.parquet")
                with source.connection.cursor() as cursor:
                    cursor.copy_expert(copy, rows, size=256 * 1024)
                    sent = int(cursor.rowcount)
                placed = rows.place()
                result.rows, result.after = sent, applier.alive()
                if not sent == placed == result.after:
                    result.loaded = placed
                    raise lost(result, self.target)
                self._check_unique(session, applier)
                state = {
                    **books.resource_state(),
                    "cdc": self.state_of(work, chosen, lsn, sent),
                }
                hints = {name: hint_of(kind) for name, kind in columns.items()}
                books.enter(hints, state, "merge")
                session.run("COMMIT")
            except BaseException:
                self.undo(session)
                raise
        self.counter.rows = sent
        result.loaded, result.bytes = sent, rows.bytes
        result.path = "COPY of a snapshot, then changes (CDC)"
        result.placed, result.verdict = "into a new table", "exact"
        self.committed(lsn, moved=True)

    def _create(self, session: _Session, lanes: Sequence[Lane]) -> dict[str, str]:
        """Make the table anew; its columns, those of before included, without dlt's."""
        columns = {lane.target: lane.type for lane in lanes}
        if self.soft:
            columns[DELETED_AT] = self.time_type
        for name, kind in session.types(self.target).items():
            if name not in (LOAD_ID, DELETED_AT):
                columns.setdefault(name, kind)
        made = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.items())
        session.run(
            f"CREATE OR REPLACE TABLE {qualified(self.target)} "
            f"({made}, {quoted(LOAD_ID)} VARCHAR NOT NULL)"
        )
        return columns

    def _check_unique(self, session: _Session, applier: Applier) -> None:
        key = ", ".join(map(quoted, applier.key))
        twice = f"SELECT 1 FROM {qualified(self.target)} GROUP BY {key} HAVING count(*) > 1 LIMIT 1"
        if session.run(twice):
            raise TerminalStepError(
                f"Several rows of {self.node} have the same {key}.",
                code="constraint_violated",
                field="primary_key",
                hint="Name columns in `primary_key` that tell every row from the others.",
            )

    def open(self, stack: ExitStack) -> _Session:
        assert isinstance(self.warehouse, DuckdbWarehouse)
        session = _Session(self.warehouse)
        stack.enter_context(bounded(session))
        return session

    def types(self, session: _Session) -> dict[str, str]:
        return session.types(self.target)

    def check_fence(self, session: _Session) -> None:
        """The file's own lock is the fence."""

    def hint(self, kind: str) -> dict[str, Any]:
        return hint_of(kind)

    def undo(self, session: _Session) -> None:
        with suppress(Exception):
            session.run("ROLLBACK")

    def lanes(
        self,
        session: Any,
        work: Work,
        chosen: Sequence[str],
        names: Mapping[str, str],
        existing: dict[str, str],
    ) -> list[Lane]:
        return self._lanes(self.cdc.session, work, chosen, names, existing)

    def _lanes(
        self,
        source: Any,
        work: Work,
        chosen: Sequence[str],
        names: Mapping[str, str],
        existing: Mapping[str, str],
    ) -> list[Lane]:
        spec = self.table.model_copy(update={"columns": tuple(chosen)})
        with source.connection.cursor() as cursor:
            columns, _ = find_columns(
                cursor, work.table.name, spec, self.shape.privacy, measures=not existing
            )
        lanes = []
        self._selected = []
        for name in chosen:
            column, target = columns[name], names[name]
            own = _type(column)
            kind = existing.get(target, own)
            if kind != own and not (kind.startswith("DECIMAL") and column.type == "numeric"):
                raise TerminalStepError(
                    f"Column {name!r} is of the type {own}, not {kind}.",
                    code="type_changed",
                    hint="Run a full refresh, which makes the column anew.",
                )
            expression = re.sub(
                r" AS \"(?:[^\"]|\"\")*\"(?: /\* text \*/)?$", "", column.expression
            )
            # A cast of an inet to text is not its output.
            made_over = "to_json(" in expression or column.type == "inet"
            self._selected.append(expression if made_over else quoted(name))
            convert = _of_kind(column)
            if made_over:
                convert = by_server(self.cdc.session, name, column.native, expression)
            lanes.append(
                Lane(
                    source=name,
                    target=target,
                    native=column.native,
                    type=kind,
                    stage="VARCHAR",
                    convert=convert,
                    by_server=made_over,
                    check=_check(target, kind),
                    fill=work.table.columns[name].fill,
                )
            )
        return lanes

    def literal(self, text: bytes, lane: Lane) -> str:
        return _cast(literal(text.decode()), lane.type)

    def applier(
        self, session: _Session, lanes: list[Lane], work: Work, load_id: str
    ) -> _DuckdbApplier:
        return _DuckdbApplier(
            session,
            self.target,
            lanes,
            work.table.key,
            load_id,
            soft=self.soft,
            time_type=self.time_type,
        )


class _DuckdbApplier(Applier):
    def fill(self, rows: list[Staged]) -> int:
        with self.session.shown(self.arrow(rows)) as name:
            return int(self.session.count(f"INSERT INTO {self.staging} SELECT * FROM {name}"))

    def arrow(self, rows: list[Staged]) -> Any:
        """``rows`` as a staging table has them, all values as texts."""
        import pyarrow as pa

        columns = [
            pa.array([one[0][place] for one in rows], pa.binary()).cast(pa.string())
            for place in range(len(self.lanes))
        ]
        columns += [
            pa.array([int(one[1]) for one in rows], pa.int16()),
            pa.array([one[2] for one in rows], pa.string()),
            pa.array([one[3] for one in rows], pa.timestamp("us", "UTC")),
        ]
        return pa.table(
            columns, [*(lane.target for lane in self.lanes), OP, KEPT_COLUMNS, DELETED_AT]
        )

    def empty(self) -> None:
        self.session.run(f"DELETE FROM {self.staging}")

    def cast(self, lane: Lane) -> str:
        return _cast(f"s.{quoted(lane.target)}", lane.type)

    def key_of(self, alias: str, key: str) -> str:
        lane = next(lane for lane in self.lanes if lane.target == key)
        return _cast(f"{alias}.{quoted(key)}", lane.type)

    def uncast(self, lane: Lane) -> str:
        name = f"t.{quoted(lane.target)}"
        if lane.type == "BLOB":
            return f"'\\x' || lower(hex({name}))"
        return f"CAST({name} AS VARCHAR)"


class _Rows:
    """What psycopg2 writes COPY's text format into: one call a row.

    They go to a Parquet file of texts, because one INSERT of all rows needs little memory in
    DuckDB; many in one transaction keep theirs until its end.
    """

    def __init__(self, applier: _DuckdbApplier, counter: Any, path: Path) -> None:
        self._applier, self._counter, self._path = applier, counter, path
        self._rows: list[Staged] = []
        self._size = 0
        self._writer: Any = None
        self.bytes = 0

    def write(self, data: bytes) -> int:
        values: list[Value] = list(data[:-1].split(b"\t"))
        if b"\\" in data:
            values = [None if one == b"\\N" else _plain(one) for one in data[:-1].split(b"\t")]
        self._rows.append((values, "1", None, None))
        self._size += len(data)
        if len(self._rows) >= _AT_ONCE or self._size >= _BYTES_AT_ONCE:
            self._flush()
        return len(data)

    def _flush(self) -> None:
        import pyarrow.parquet as pq

        self._applier.convert(self._rows, from_log=False)
        batch = self._applier.arrow(self._rows)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, batch.schema)
        self._writer.write_table(batch)
        self.bytes += self._size
        self._counter.add(len(self._rows))
        self._rows, self._size = [], 0

    def place(self) -> int:
        """Bring what has come into the table; how many rows."""
        self._flush()
        self._writer.close()
        staged = f"read_parquet({literal(str(self._path))})"
        self._applier.check(staged)
        return self._applier.insert(staged=staged)


def _plain(text: bytes) -> bytes:
    return _ESCAPED.sub(lambda found: _ESCAPES.get(found[1], found[1]), text)


def _type(column: PostgresColumn) -> str:
    if column.is_json:
        return "JSON"
    if column.decimal is not None:
        return f"DECIMAL({column.decimal[0]},{column.decimal[1]})"
    return _TYPES.get(column.type, "VARCHAR")


def _of_kind(column: PostgresColumn) -> Convert | None:
    if column.type == "bpchar":
        return lambda values: [one.rstrip(b" ") for one in values]
    return None


def _cast(value: str, kind: str) -> str:
    """SQL of a text ``value`` as ``kind``."""
    if kind == "VARCHAR":
        return value
    if kind == "BLOB":
        return f"unhex(substr({value}, 3))"
    return f"CAST({_dated(value, kind)} AS {kind})"


def _dated(value: str, kind: str) -> str:
    """DuckDB has the era after the date, in brackets."""
    if kind not in _DATED:
        return value
    era = f"regexp_replace({value}, '^([^ ]+)(.*) BC$', '\\1 (BC)\\2')"
    return f"CASE WHEN suffix({value}, ' BC') THEN {era} ELSE {value} END"


def _check(column: str, kind: str) -> str | None:
    if kind in _PLAIN:
        return None
    value = quoted(column)
    fits = f"TRY_CAST({_dated(value, kind)} AS {kind}) IS NOT NULL"
    if kind.startswith("DECIMAL("):
        scale = kind[:-1].split(",")[1]
        fits += f" AND length(rtrim(split_part({value}, '.', 2), '0')) <= {scale}"
    return f"{value} IS NULL OR ({fits})"
