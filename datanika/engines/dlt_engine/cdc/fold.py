"""Changes of one table, folded to the last state of each key, a bounded number at a time."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from datanika.engines.dlt_engine.cdc.pgoutput import (
    KEPT,
    Begin,
    Relation,
    Value,
    begin,
    relation,
    row,
)
from datanika.errors import TerminalStepError

MAX_KEYS = 50_000
MAX_BYTES = 32 * 1024 * 1024
"""Of what is folded in memory before it is written to the destination."""

Key = tuple[Value, ...]


@dataclass
class Last:
    """What became of a key. ``values``: its row, in the order of the table's columns; None: only
    that it was deleted is known. ``deleted_at``: when, None: it is there."""

    values: list[Value] | None
    deleted_at: dt.datetime | None = None


@dataclass
class Move:
    """A row whose key changed and whose large values the log does not have: it takes them along
    from ``old``."""

    old: Key
    values: list[Value]
    at: dt.datetime


@dataclass
class Chunk:
    """To be applied in this order: the truncation, the move, then the rows."""

    rows: dict[Key, Last] = field(default_factory=dict)
    truncated_at: dt.datetime | None = None
    move: Move | None = None
    size: int = 0


class Fold:
    """``columns``: what arrives, in order; ``key``: the columns that tell a row from others;
    ``fills``: what a row from before a column was added has in it. ``soft``: the last values of
    deleted rows are wanted.

    Changes whose commit is before ``start``, or not before ``end``, are left out.
    """

    def __init__(
        self,
        name: str,
        columns: Sequence[str],
        key: Sequence[str],
        fills: Mapping[str, Value],
        start: int,
        end: int,
        *,
        soft: bool,
    ) -> None:
        self._name, self._columns, self._soft = name, list(columns), soft
        self._key = [self._columns.index(one) for one in key]
        self._key_names = frozenset(key)
        self._fills = [fills.get(column) for column in columns]
        self._start, self._end = start, end
        self._chunk = Chunk()
        self._places: list[int | None] = []
        self._is_plain = False
        self.counts: Counter[str] = Counter()
        self.net = 0
        """Rows that the source has more than before, or than none once it was truncated."""
        self.emptied = False
        self.bytes = 0

    def chunks(self, messages: Iterator[bytes]) -> Iterator[Chunk]:
        """Fold ``messages``; a chunk has to be applied before the next one is asked for."""
        now: Begin | None = None
        wanted = False
        for message in messages:
            kind = message[0]
            if kind == 66:  # B
                now = begin(message)
                wanted = self._start <= now.lsn < self._end
            elif kind == 82:  # R
                self._learn(relation(message))
            elif wanted and now is not None:
                self.bytes += len(message)
                move = self._change(kind, message, now.at)
                if move is not None:
                    yield from self._flush()
                    yield Chunk(move=move)
                if len(self._chunk.rows) >= MAX_KEYS or self._chunk.size >= MAX_BYTES:
                    yield from self._flush()
        yield from self._flush()

    @property
    def changes(self) -> int:
        """Changes that were read."""
        return sum(self.counts.values())

    def _flush(self) -> Iterator[Chunk]:
        chunk, self._chunk = self._chunk, Chunk()
        if chunk.rows or chunk.truncated_at is not None:
            yield chunk

    def _learn(self, found: Relation) -> None:
        if not self._key_names <= found.identity:
            raise TerminalStepError(
                f"The rows of {self._name} are not told by {', '.join(sorted(self._key_names))} "
                "in the server's log any more.",
                code="cdc_no_identity",
                hint="Give the table its primary key back, or REPLICA IDENTITY FULL; then run a "
                "full refresh.",
            )
        places = {name: place for place, name in enumerate(found.columns)}
        self._places = [places.get(column) for column in self._columns]
        self._is_plain = self._places == list(range(len(found.columns)))

    def _values(self, given: Sequence[Value], absent: Sequence[Value] | None) -> list[Value]:
        """In the order of the table's columns; of a column that was not there yet ``absent``'s,
        or what the destination has."""
        if self._is_plain:
            return list(given)
        return [
            (given[place] if place is not None else KEPT if absent is None else absent[number])
            for number, place in enumerate(self._places)
        ]

    def _key_of(self, values: Sequence[Value]) -> Key:
        return tuple([values[place] for place in self._key])

    def _change(self, kind: int, message: bytes, at: dt.datetime) -> Move | None:
        if kind == 84:  # T
            self._truncate(at)
            return None
        old, new, whole = row(message)
        if new is None:
            assert old is not None
            self._delete(self._key_of(self._values(old, self._fills)), at)
            self.counts["deletes"] += 1
            self.net -= 1
            return None
        self._chunk.size += len(message)
        if kind == 73:  # I
            values = self._values(new, self._fills)
            self._chunk.rows[self._key_of(values)] = Last(values)
            self.counts["inserts"] += 1
            self.net += 1
            return None
        self.counts["updates"] += 1
        return self._update(old, self._values(new, None), whole, at)

    def _update(
        self, old: Sequence[Value] | None, values: list[Value], whole: bool, at: dt.datetime
    ) -> Move | None:
        before = None if old is None else self._values(old, None)
        if before is not None:
            # Part of the identity is in the old row where it was large and stayed.
            known = range(len(values)) if whole else self._key
            for place in known:
                if values[place] is KEPT:
                    values[place] = before[place]
        key = self._key_of(values)
        old_key = key if before is None else self._key_of(before)
        previous = self._chunk.rows.get(old_key)
        if previous is not None and previous.values is not None and KEPT in values:
            values = [
                held if one is KEPT else one
                for one, held in zip(values, previous.values, strict=True)
            ]
        if old_key == key:
            self._chunk.rows[key] = Last(values)
            return None
        if KEPT in values:
            return Move(old_key, values, at)
        self._delete(old_key, at)
        self._chunk.rows[key] = Last(values)
        return None

    def _delete(self, key: Key, at: dt.datetime) -> None:
        last = self._chunk.rows.get(key)
        values = last.values if last is not None and self._soft else None
        self._chunk.rows[key] = Last(values, at)

    def _truncate(self, at: dt.datetime) -> None:
        self.counts["truncates"] += 1
        self.net, self.emptied = 0, True
        chunk = self._chunk
        chunk.truncated_at = at
        if not self._soft:
            chunk.rows.clear()
            chunk.size = 0
            return
        for last in chunk.rows.values():
            if last.deleted_at is None:
                last.deleted_at = at
