"""Where a load into PostgreSQL takes its rows from: a COPY of the source, or arrow batches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, Protocol

from datanika.engines.dlt_engine.direct.columns import Travel
from datanika.engines.dlt_engine.direct.relay import CopyOut, copy_file, relay
from datanika.engines.dlt_engine.direct.session import Session
from datanika.engines.dlt_engine.direct.sql_cursor import Reading
from datanika.engines.dlt_engine.sources.base import CsvCheck, RawCsv
from datanika.engines.warehouse.base import LOAD_ID, literal, quoted

if TYPE_CHECKING:
    import pyarrow as pa


class Feed(Protocol):
    """``columns``: destination name -> SQL type, in order. ``rows`` and ``bytes`` are what the
    source gave, ``state`` is the resource's state; all three are right once it was filled."""

    columns: Mapping[str, str]
    path: str
    rows: int
    bytes: int
    state: dict[str, Any]

    def fill(self, table: str, names: Sequence[str], load_id: str | None, freeze: bool) -> int:
        """Copy every row into ``table``; how many the destination took."""
        ...


class CopyFeed:
    """PostgreSQL to PostgreSQL: the bytes of a binary COPY go through as they are."""

    path: str = "binary COPY"

    def __init__(
        self,
        source: Session,
        into: Session,
        reading: Reading,
        travels: Sequence[Travel],
        names: Mapping[str, str],
    ) -> None:
        self._source, self._into, self._reading = source, into, reading
        self._expressions = [one.expression for one in travels]
        self.columns: Mapping[str, str] = {names[one.column.name]: one.type for one in travels}
        self.state = reading.state
        self.rows = 0
        self.bytes = 0

    def fill(self, table: str, names: Sequence[str], load_id: str | None, freeze: bool) -> int:
        expressions, targets = list(self._expressions), [quoted(name) for name in names]
        if load_id is not None:
            expressions.append(f"CAST('{load_id}' AS varchar)")
            targets.append(quoted(LOAD_ID))
        out = CopyOut(
            self._source,
            f"COPY (SELECT {', '.join(expressions)} FROM {self._reading.source}) "
            "TO STDOUT (FORMAT binary)",
        )
        options = "FORMAT binary, FREEZE" if freeze else "FORMAT binary"
        taken, self.bytes = relay(
            out, self._into, f"COPY {table} ({', '.join(targets)}) FROM STDIN ({options})"
        )
        self.rows = out.rows
        return taken


class CsvFeed:
    """The bytes of CSV files: the destination parses them, while DuckDB checks every value.

    Raises :class:`Differs` when the check says that the destination read something else.
    """

    path: str = "CSV to COPY"

    def __init__(
        self,
        into: Session,
        csv: RawCsv,
        columns: Mapping[str, str],
        texts: Mapping[str, str],
        state: dict[str, Any],
    ) -> None:
        self._into, self._csv, self._texts = into, csv, texts
        self.columns, self.state = columns, state
        self.rows = 0
        self.bytes = 0

    def fill(self, table: str, names: Sequence[str], load_id: str | None, freeze: bool) -> int:
        import psycopg2

        if load_id is not None:
            raise Differs("rows are appended")
        delimiter = literal(self._csv.delimiter)
        options = f"FORMAT csv, HEADER, DELIMITER {delimiter}{', FREEZE' if freeze else ''}"
        targets = ", ".join(quoted(name) for name in names)
        checks: list[CsvCheck | BaseException] = []

        def check() -> None:
            try:
                checks.append(self._csv.check())
            except BaseException as error:
                checks.append(error)

        thread = threading.Thread(target=check, name="check", daemon=True)
        thread.start()
        taken = 0
        try:
            for path in self._csv.paths:
                # PostgreSQL has the byte order mark as a part of the header, which it skips.
                copy = f"COPY {table} ({targets}) FROM STDIN ({options})"
                rows, size = copy_file(path, self._into, copy)
                taken, self.bytes = taken + rows, self.bytes + size
        except psycopg2.DataError as error:
            # A type that shows later, or an empty text where there is a number.
            raise Differs(str(error).partition("\n")[0]) from error
        finally:
            thread.join()
        self._judge(checks[0], table, taken)
        return taken

    def _judge(self, found: CsvCheck | BaseException, table: str, taken: int) -> None:
        if isinstance(found, BaseException):
            raise found
        self.rows = found.rows
        if found.missed:
            raise Differs(f"the type of {found.missed[0]} shows in later rows only")
        if found.rows != taken:
            raise Differs("the destination counts other rows")
        if found.lengths:
            sums = ", ".join(
                f"coalesce(sum(octet_length({quoted(self._texts[name])})), 0)"
                for name in found.lengths
            )
            [row] = self._into.run(f"SELECT {sums} FROM {table}")
            if [int(value) for value in row] != list(found.lengths.values()):
                raise Differs("the destination reads quotation marks differently")


class Differs(Exception):
    """The destination did not read what the source holds; the message says why."""


class ArrowFeed:
    """Arrow batches as CSV: the destination's own input functions read every value's text.

    Every text is quoted and an empty field is NULL, so an empty string stays one.
    """

    def __init__(
        self,
        into: Session,
        columns: Mapping[str, str],
        batches: Callable[[], Iterator[pa.Table]],
        state: dict[str, Any],
        path: str,
    ) -> None:
        self._into, self._batches = into, batches
        self.columns, self.state, self.path = columns, state, path
        self.rows = 0
        self.bytes = 0

    def fill(self, table: str, names: Sequence[str], load_id: str | None, freeze: bool) -> int:
        targets = [quoted(name) for name in names]
        if load_id is not None:
            targets.append(quoted(LOAD_ID))
        options = "FORMAT csv, FREEZE" if freeze else "FORMAT csv"

        def produce(file: IO[bytes]) -> None:
            for batch in self._batches():
                self.rows += batch.num_rows
                _write(batch.select(list(names)), load_id, file)

        taken, self.bytes = relay(
            produce, self._into, f"COPY {table} ({', '.join(targets)}) FROM STDIN ({options})"
        )
        return taken


def _write(batch: pa.Table, load_id: str | None, file: IO[bytes]) -> None:
    import pyarrow as pa
    import pyarrow.csv as pc

    for position, field in enumerate(batch.schema):
        if pa.types.is_binary(field.type):
            texts = [
                None if value is None else "\\x" + value.hex()
                for value in batch.column(position).to_pylist()
            ]
            batch = batch.set_column(position, field.name, pa.array(texts, pa.string()))
    if load_id is not None:
        batch = batch.append_column(LOAD_ID, pa.repeat(load_id, batch.num_rows))
    if batch.num_columns == 1:
        # A line that is empty is no row for some readers: its NULL would be lost.
        batch = batch.rename_columns(["value"])
    options = pc.WriteOptions(include_header=False, batch_size=16_384, quoting_style="needed")
    pc.write_csv(batch, file, options)
