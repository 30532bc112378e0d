"""Messages of PostgreSQL's ``pgoutput`` plugin, protocol version 1.

https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final


class _Kept:
    """The type of :data:`KEPT`."""

    def __repr__(self) -> str:
        return "KEPT"


KEPT: Final = _Kept()
"""A large value that an update did not touch: the log does not have it."""

Value = bytes | None | _Kept
"""The text of a value, as COPY would give it; None is NULL."""

_EPOCH = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_BEGIN = Struct(">xqqi")
_INT = Struct(">i")
_SHORT = Struct(">h")
_HEAD = Struct(">xI")
_COLUMN = Struct(">Ii")
_TEXT, _NULL, _UNCHANGED, _NEW = ord("t"), ord("n"), ord("u"), ord("N")


@dataclass(frozen=True)
class Begin:
    """``lsn``: where the transaction's commit begins in the log; ``at``: when it committed."""

    lsn: int
    at: dt.datetime


@dataclass(frozen=True)
class Relation:
    """A table as it was at that place in the log. ``identity``: names of the columns by which
    old rows are told."""

    oid: int
    schema: str
    name: str
    columns: tuple[str, ...]
    identity: frozenset[str]


def begin(message: bytes) -> Begin:
    """Of a message ``B``."""
    lsn, micros, _ = _BEGIN.unpack_from(message)
    return Begin(lsn, _EPOCH + dt.timedelta(microseconds=micros))


def relation_oid(message: bytes) -> int:
    """Which table a message ``R``, ``I``, ``U`` or ``D`` is of."""
    return int(_HEAD.unpack_from(message)[0])


def relation(message: bytes) -> Relation:
    """Of a message ``R``."""
    oid = relation_oid(message)
    schema, at = _text(message, 5)
    name, at = _text(message, at)
    identity, at = message[at : at + 1], at + 1
    (count,) = _SHORT.unpack_from(message, at)
    at += 2
    names, keys = [], []
    for _ in range(count):
        is_key = message[at] & 1
        column, at = _text(message, at + 1)
        at += _COLUMN.size
        names.append(column)
        if is_key:
            keys.append(column)
    full = identity == b"f"
    return Relation(oid, schema, name, tuple(names), frozenset(names if full else keys))


def truncated(message: bytes) -> tuple[int, ...]:
    """The tables of a message ``T``."""
    (count,) = _INT.unpack_from(message, 1)
    return tuple(_HEAD.unpack_from(message, 5 + 4 * number)[0] for number in range(count))


def row(message: bytes) -> tuple[Sequence[Value] | None, Sequence[Value] | None, bool]:
    """Of a message ``I``, ``U`` or ``D``: the old row (None: the log has none), the new one, and
    whether the old one has all columns, not only those of the identity."""
    old: Sequence[Value] | None = None
    kind, at = message[5], 6
    whole = kind == 79  # O
    if kind != _NEW:
        old, at = _tuple(message, at)
        if at >= len(message):
            return old, None, whole
        at += 1
    return old, _tuple(message, at)[0], whole


def _tuple(message: bytes, at: int) -> tuple[list[Value], int]:
    (count,) = _SHORT.unpack_from(message, at)
    at += 2
    values: list[Value] = []
    add, length = values.append, _INT.unpack_from
    for _ in range(count):
        kind = message[at]
        at += 1
        if kind == _TEXT:
            end = at + 4 + length(message, at)[0]
            add(message[at + 4 : end])
            at = end
        elif kind == _NULL:
            add(None)
        elif kind == _UNCHANGED:
            add(KEPT)
        else:
            raise ValueError(f"pgoutput sent a value of the kind {chr(kind)!r}.")
    return values, at


def _text(message: bytes, at: int) -> tuple[str, int]:
    end = message.index(b"\0", at)
    return message[at:end].decode(), end + 1


def lsn_of(text: str) -> int:
    """The number of a place in the log like ``16/B374D848``."""
    high, low = text.split("/")
    return (int(high, 16) << 32) | int(low, 16)


def lsn_text(lsn: int) -> str:
    """A place in the log as PostgreSQL writes it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
