"""Folded changes into their table, by key, inside of the caller's transaction."""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from datanika.engines.dlt_engine.by_key import DELETED_AT
from datanika.engines.dlt_engine.cdc.fold import Chunk, Key, Last, Move
from datanika.engines.dlt_engine.cdc.pgoutput import KEPT, Value
from datanika.engines.dlt_engine.direct.landing import beside
from datanika.engines.warehouse.base import LOAD_ID, Table, qualified, quoted
from datanika.errors import TerminalStepError

OP, KEPT_COLUMNS = "_datanika_op", "_datanika_kept"
_MARK, _PUT = "0", "1"

Convert = Callable[[list[bytes]], list[bytes]]
Staged = tuple[list[Value], str, str | None, dt.datetime | None]
"""(values in the order of the lanes, what to do, which of them the table keeps, when deleted)"""


@dataclass(frozen=True)
class Lane:
    """One column on its way.

    ``native`` is the source's word for its type, ``type`` the destination column's, ``stage`` the
    staging table's. ``convert``: what the log's text becomes before it is staged; ``by_server``: a
    reading of the table has done that already. ``check``: a condition on the staged column that
    every value must meet.
    """

    source: str
    target: str
    native: str
    type: str
    stage: str
    convert: Convert | None = None
    by_server: bool = False
    check: str | None = None
    fill: Value = None


class ChangeSession(Protocol):
    """To the destination."""

    def run(self, sql: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]: ...

    def count(self, sql: str) -> int: ...


class Applier(ABC):
    """``lanes`` in the order of the chunks' values. Everything happens in one transaction."""

    def __init__(
        self,
        session: Any,
        target: Table,
        lanes: Sequence[Lane],
        key: Sequence[str],
        load_id: str,
        *,
        soft: bool,
        time_type: str,
    ) -> None:
        self.session, self.lanes = session, lanes
        self._target = qualified(target)
        self._shown = ".".join(target)
        by_source = {lane.source: lane for lane in lanes}
        self.key = [by_source[one].target for one in key]
        self._key_places = [[lane.source for lane in lanes].index(one) for one in key]
        self._load_id, self._soft, self._time_type = load_id, soft, time_type
        self.staging = qualified((target[0], beside(target[1], "changes")))
        self.put = 0
        """Rows that were inserted, or put in the place of their old values."""

    def prepare(self) -> None:
        """Make the staging table."""
        columns = [f"{quoted(lane.target)} {lane.stage}" for lane in self.lanes]
        columns += [
            f"{quoted(OP)} smallint",
            f"{quoted(KEPT_COLUMNS)} varchar",
            f"{quoted(DELETED_AT)} {self._time_type}",
        ]
        self.session.run(f"CREATE {self.unlogged} TABLE {self.staging} ({', '.join(columns)})")

    unlogged = ""

    def finish(self) -> None:
        """The staging table goes."""
        self.session.run(f"DROP TABLE {self.staging}")

    def apply(self, chunk: Chunk) -> None:
        """Raises :class:`TerminalStepError` ``rows_lost``, ``cdc_row_missing``."""
        if chunk.truncated_at is not None:
            self._truncate(chunk.truncated_at)
        if chunk.move is not None:
            self._move(chunk.move)
        if chunk.rows:
            self._rows(chunk)

    def _truncate(self, at: dt.datetime) -> None:
        if self._soft:
            self.session.run(
                f"UPDATE {self._target} SET {quoted(DELETED_AT)} = {self._time(at)}, "
                f"{quoted(LOAD_ID)} = '{self._load_id}' WHERE {quoted(DELETED_AT)} IS NULL"
            )
        else:
            self.session.run(f"DELETE FROM {self._target}")

    def _time(self, at: dt.datetime) -> str:
        return f"CAST('{at.isoformat(' ')}' AS {self._time_type})"

    # Rows

    def stage(self, rows: list[Staged]) -> None:
        """Fill the staging table, and check what needs it."""
        self.convert(rows, from_log=True)
        taken = self.fill(rows)
        if taken != len(rows):
            raise self._lost(len(rows), taken)
        self.check(self.staging)

    def convert(self, rows: list[Staged], *, from_log: bool) -> None:
        """Make over, in place, what the destination cannot; of a reading of the table, what its
        query has not."""
        for place, lane in enumerate(self.lanes):
            if lane.convert is not None and (from_log or not lane.by_server):
                _convert(rows, place, lane.convert)

    def check(self, staged: str) -> None:
        """Raises :class:`TerminalStepError` ``value_out_of_range`` that names the column."""
        checked = [lane for lane in self.lanes if lane.check is not None]
        if not checked:
            return
        bad = ", ".join(f"coalesce(bool_or(NOT ({lane.check})), false)" for lane in checked)
        [found] = self.session.run(f"SELECT {bad} FROM {staged}")
        for lane, is_bad in zip(checked, found, strict=True):
            if is_bad:
                raise TerminalStepError(
                    f"Column {lane.target!r} of {self._shown} is of the type {lane.type}, which "
                    "cannot hold a value that came.",
                    code="value_out_of_range",
                    hint="Correct it in the source, or run a full refresh, which makes the column "
                    "anew where that helps.",
                )

    @abstractmethod
    def fill(self, rows: list[Staged]) -> int:
        """Put ``rows`` into the staging table; how many it took."""

    @abstractmethod
    def empty(self) -> None:
        """Take all rows out of the staging table."""

    def cast(self, lane: Lane) -> str:
        """SQL of a staged value as the destination's type."""
        name = f"s.{quoted(lane.target)}"
        return name if lane.stage == lane.type else f"CAST({name} AS {lane.type})"

    def _rows(self, chunk: Chunk) -> None:
        rows = [self._staged(key, last) for key, last in chunk.rows.items()]
        put = sum(1 for one in rows if one[1] == _PUT)
        kept = sum(1 for one in rows if one[2] is not None)
        has_marked = any(one[1] == _PUT and one[3] is not None for one in rows)
        self.stage(rows)
        match = self._match("t", "s")
        if kept:
            self._take_kept(rows, match, kept)
        if has_marked:
            # A key whose text changed, and which is the same to the database.
            put -= self.session.count(
                f"DELETE FROM {self.staging} AS s WHERE s.{OP} = {_PUT} "
                f"AND s.{quoted(DELETED_AT)} IS NOT NULL AND EXISTS (SELECT 1 FROM {self.staging} "
                f"AS t WHERE {match} AND t.{OP} = {_PUT} AND t.{quoted(DELETED_AT)} IS NULL)"
            )
        if self._soft:
            self.session.run(
                f"UPDATE {self._target} AS t SET {quoted(DELETED_AT)} = s.{quoted(DELETED_AT)}, "
                f"{quoted(LOAD_ID)} = '{self._load_id}' FROM {self.staging} AS s "
                f"WHERE {match} AND s.{OP} = {_MARK}"
            )
            match += f" AND s.{OP} = {_PUT}"
        self.session.run(f"DELETE FROM {self._target} AS t USING {self.staging} AS s WHERE {match}")
        placed = self.insert(f"WHERE s.{OP} = {_PUT}") if put else 0
        if placed != put:
            raise self._lost(put, placed)
        self.put += placed
        self.empty()

    def insert(self, where: str = "", staged: str | None = None) -> int:
        """Rows of the staging table, or of ``staged``, into the table; how many."""
        names = [lane.target for lane in self.lanes] + [LOAD_ID]
        chosen = [self.cast(lane) for lane in self.lanes] + [f"'{self._load_id}'"]
        if self._soft:
            names.append(DELETED_AT)
            chosen.append(f"s.{quoted(DELETED_AT)}")
        return int(
            self.session.count(
                f"INSERT INTO {self._target} ({', '.join(map(quoted, names))}) "
                f"SELECT {', '.join(chosen)} FROM {staged or self.staging} AS s {where}"
            )
        )

    def _staged(self, key: Key, last: Last) -> Staged:
        if last.values is None:
            values: list[Value] = [None] * len(self.lanes)
            for place, value in zip(self._key_places, key, strict=True):
                values[place] = value
            return values, _MARK, None, last.deleted_at
        values, kept = last.values, None
        if KEPT in values:
            kept = "".join("1" if value is KEPT else "0" for value in values)
            values = [None if value is KEPT else value for value in values]
        return list(values), _PUT, kept, last.deleted_at

    def _take_kept(self, rows: list[Staged], match: str, wanted: int) -> None:
        """Large values that the log does not repeat come from the table."""
        places = [
            place
            for place in range(len(self.lanes))
            if any(one[2] is not None and one[2][place] == "1" for one in rows)
        ]
        values = ", ".join(
            f"{quoted(self.lanes[place].target)} = CASE WHEN substr(s.{KEPT_COLUMNS}, "
            f"{place + 1}, 1) = '1' THEN {self.uncast(self.lanes[place])} "
            f"ELSE s.{quoted(self.lanes[place].target)} END"
            for place in places
        )
        found = self.session.count(
            f"UPDATE {self.staging} AS s SET {values} FROM {self._target} AS t "
            f"WHERE {match} AND s.{KEPT_COLUMNS} IS NOT NULL"
        )
        if found != wanted:
            raise self._row_missing()

    def uncast(self, lane: Lane) -> str:
        """SQL of the destination's value as the staged type."""
        name = f"t.{quoted(lane.target)}"
        return name if lane.stage == lane.type else f"CAST({name} AS {lane.stage})"

    def _move(self, move: Move) -> None:
        """Rare: a row with values of kilobytes whose key changed."""
        new: Key = tuple(move.values[place] for place in self._key_places)
        row: Staged = (list(move.values), _PUT, None, None)
        plain: list[Value] = [None if value is KEPT else value for value in move.values]
        old = self._staged(move.old, Last(None, move.at))
        assert KEPT not in new
        self.stage([(plain, *row[1:]), old])
        # Into the staging table with all of its values, from the row of the old key.
        taken = ", ".join(
            f"{quoted(lane.target)} = {self.uncast(lane)}"
            for lane, value in zip(self.lanes, move.values, strict=True)
            if value is KEPT
        )
        found = self.session.count(
            f"UPDATE {self.staging} AS s SET {taken} FROM {self._target} AS t, "
            f"{self.staging} AS o WHERE o.{OP} = {_MARK} AND s.{OP} = {_PUT} "
            f"AND {self._match('t', 'o')}"
        )
        if found != 1:
            raise self._row_missing()
        match = self._match("t", "s")
        if self._soft:
            self.session.run(
                f"UPDATE {self._target} AS t SET {quoted(DELETED_AT)} = s.{quoted(DELETED_AT)}, "
                f"{quoted(LOAD_ID)} = '{self._load_id}' FROM {self.staging} AS s "
                f"WHERE {match} AND s.{OP} = {_MARK}"
            )
            match += f" AND s.{OP} = {_PUT}"
        self.session.run(f"DELETE FROM {self._target} AS t USING {self.staging} AS s WHERE {match}")
        self.put += self.insert(f"WHERE s.{OP} = {_PUT}")
        self.empty()

    def _match(self, one: str, other: str) -> str:
        return " AND ".join(f"{one}.{quoted(key)} = {self.key_of(other, key)}" for key in self.key)

    def key_of(self, alias: str, key: str) -> str:
        """SQL of a staged key as the destination's type."""
        lane = next(lane for lane in self.lanes if lane.target == key)
        name = f"{alias}.{quoted(key)}"
        return name if lane.stage == lane.type else f"CAST({name} AS {lane.type})"

    def alive(self) -> int:
        """Rows of the table that are not marked as deleted."""
        where = f" WHERE {quoted(DELETED_AT)} IS NULL" if self._soft else ""
        return int(self.session.run(f"SELECT count(*) FROM {self._target}{where}")[0][0])

    def _lost(self, wanted: int, found: int) -> TerminalStepError:
        return TerminalStepError(
            f"{wanted} rows of changes were to come into {self._shown}, but {found} did.",
            code="rows_lost",
            hint="Nothing was changed; run it again, or run a full refresh.",
        )

    def _row_missing(self) -> TerminalStepError:
        return TerminalStepError(
            f"{self._shown} lacks a row whose large values have to stay as they are.",
            code="cdc_row_missing",
            hint="Somebody else has deleted rows of this table. Run a full refresh.",
        )


def _convert(rows: list[Staged], place: int, convert: Convert) -> None:
    found = [
        (number, value)
        for number, one in enumerate(rows)
        if isinstance(value := one[0][place], bytes)
    ]
    if not found:
        return
    for (number, _), new in zip(found, convert([v for _, v in found]), strict=True):
        rows[number][0][place] = new
