"""The incremental cursor and the interval of a table, said in SQL at the source.

The rules are those of ``cursor.py`` and ``interval.py``, over one snapshot: the highest value that
is remembered is the highest of the rows that are read.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from datanika.contracts.enums import WriteDisposition
from datanika.contracts.overrides import Interval
from datanika.contracts.spec import TableSpec
from datanika.engines.dlt_engine.cursor import ArrowCursor
from datanika.engines.dlt_engine.direct.columns import SourceColumn
from datanika.engines.dlt_engine.direct.marks import MARK, are_of_server, mark_of
from datanika.engines.dlt_engine.direct.session import Session
from datanika.engines.warehouse.base import quoted
from datanika.errors import TerminalStepError

_ORDERED = frozenset(
    {"int2", "int4", "int8", "numeric", "text", "varchar", "date", "timestamp", "timestamptz"}
)
"""Types whose order is one for every server, for arrow and for Python (texts by their bytes)."""
_TIMES = frozenset({"date", "timestamp", "timestamptz"})
_FIRST, _LAST = "0001-01-01", "9999-12-31 23:59:59.999999"


@dataclass(frozen=True)
class Reading:
    """``source``: what to select from; ``state``: the resource's state after the load."""

    source: str
    state: dict[str, Any]


def whole(name: str) -> Reading:
    """Every row of the table ``name`` (SQL)."""
    return Reading(name, {})


def unfit(table: TableSpec, columns: Mapping[str, SourceColumn], is_interval: bool) -> str | None:
    """Why the cursor of ``table`` cannot be said in SQL."""
    if table.cursor is None:
        return None
    column = columns[table.cursor.column]
    if column.kind not in (_TIMES if is_interval else _ORDERED):
        return f"its cursor is of the type {column.type}"
    return None


def inside(
    session: Session,
    name: str,
    columns: Mapping[str, SourceColumn],
    cursor: str,
    interval: Interval,
) -> Reading:
    """The rows of ``interval``; the state is the caller's to keep."""
    _check_empty(session, name, cursor)
    zoned = columns[cursor].kind == "timestamptz"
    start, end = (_literal(moment, zoned) for moment in (interval.start, interval.end))
    value = quoted(cursor)
    return Reading(f"(SELECT * FROM {name} WHERE {value} >= {start} AND {value} < {end}) AS i", {})


def after(
    session: Session,
    name: str,
    columns: Mapping[str, SourceColumn],
    table: TableSpec,
    state: dict[str, Any],
) -> Reading | None:
    """The rows that the cursor has not seen. None: its marks are not the server's.

    Raises :class:`TerminalStepError` ``cursor_null``, ``cursor_type``, ``value_out_of_range``.
    """
    assert table.cursor is not None
    known = ArrowCursor(table, state)
    if not are_of_server(known.seen):
        return None
    spec, exact = table.cursor, table.write_disposition is WriteDisposition.APPEND
    column = columns[spec.column]
    value = quoted(spec.column)
    if column.kind in ("text", "varchar"):
        value += ' COLLATE "C"'
    start = known.start()
    _check_empty(session, name, spec.column)
    where = "" if start is None else f" WHERE {value} >= {_text(start, column)}"
    highest = _highest(session, f"SELECT max({value}) FROM {name}{where}", column)
    source = name
    marks: dict[str, int] = dict(known.seen)
    if start is not None:
        source = f"(SELECT * FROM {name}{where}) AS r"
    if exact and known.last is not None and known.seen:
        source = _without(session, name, value, _text(known.last, column), columns, known.seen)
    last = known.last
    if highest is not None:
        if exact:
            again = last is not None and _same(session, last, highest, column)
            now = _marks(session, name, value, _text(highest, column), columns)
            if again:
                marks = {mark: max(now.get(mark, 0), marks.get(mark, 0)) for mark in {*now, *marks}}
            else:
                marks = now
        last = highest
    rewind = state.get("cursor", {}).get("rewind", 0)
    new = {"column": spec.column, "last": last, "seen": marks if exact else {}, "rewind": rewind}
    return Reading(source, {**state, "cursor": new})


def _check_empty(session: Session, name: str, cursor: str) -> None:
    if session.run(f"SELECT 1 FROM {name} WHERE {quoted(cursor)} IS NULL LIMIT 1"):
        raise TerminalStepError(
            f"The cursor column {cursor!r} has empty values.",
            code="cursor_null",
            hint="Choose a column that is never empty, or load without a cursor.",
        )


def _without(
    session: Session,
    name: str,
    value: str,
    last: str,
    columns: Mapping[str, SourceColumn],
    seen: Mapping[str, int],
) -> str:
    """Rows beyond ``last``, and those at it that were not seen as often as they are there."""
    names = ", ".join(quoted(column) for column in columns)
    texts = ", ".join(f"('{mark}', {int(count)})" for mark, count in seen.items())
    return (
        f"(SELECT {names} FROM {name} WHERE {value} > {last} UNION ALL SELECT {names} FROM "
        f"(SELECT marked.*, row_number() OVER (PARTITION BY {MARK}) AS _datanika_number "
        f"FROM (SELECT {names}, {mark_of(columns)} AS {MARK} FROM {name} "
        f"WHERE {value} = {last}) AS marked) AS numbered "
        f"LEFT JOIN (VALUES {texts}) AS seen (mark, often) ON seen.mark = {MARK} "
        f"WHERE _datanika_number > coalesce(often, 0)) AS r"
    )


def _marks(
    session: Session, name: str, value: str, last: str, columns: Mapping[str, SourceColumn]
) -> dict[str, int]:
    rows = session.run(
        f"SELECT {mark_of(columns)}, count(*) FROM {name} WHERE {value} = {last} GROUP BY 1"
    )
    return {str(mark): int(count) for mark, count in rows}


def _highest(session: Session, sql: str, column: SourceColumn) -> str | None:
    """The text that ``cursor.py`` would remember."""
    if column.kind in _TIMES:
        sql = f"SELECT m, m IS NULL OR m BETWEEN '{_FIRST}' AND '{_LAST}' FROM ({sql}) AS h (m)"
        sql = f"SELECT CASE WHEN fits THEN m END, fits FROM ({sql}) AS f (m, fits)"
    else:
        sql = f"SELECT m, true FROM ({sql}) AS h (m)"
    [(value, fits)] = session.run(sql)
    if not fits or str(value) in ("NaN", "Infinity", "-Infinity"):
        raise TerminalStepError(
            f"The cursor column {column.name!r} holds infinity, NaN or a date outside of the years "
            "1 to 9999.",
            code="value_out_of_range",
            hint="Replace these values in the source, or choose another cursor.",
        )
    if value is None:
        return None
    return value.isoformat(" ") if isinstance(value, dt.datetime) else str(value)


def _same(session: Session, one: str, other: str, column: SourceColumn) -> bool:
    [(same,)] = session.run(f"SELECT {_text(one, column)} = {_text(other, column)}")
    return bool(same)


def _text(value: str, column: SourceColumn) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    if column.kind == "timestamp":
        # A zone would be ignored: say the same moment in UTC.
        moment = _parsed(value, column)
        escaped = moment.astimezone(dt.UTC).replace(tzinfo=None).isoformat(" ")
    return f"CAST(E'{escaped}' AS pg_catalog.{column.kind})"


def _parsed(value: str, column: SourceColumn) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(value)
    except ValueError:
        raise TerminalStepError(
            f"The cursor value {value!r} does not fit the column's type {column.type}.",
            code="cursor_type",
            hint="Correct initial_value.",
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _literal(moment: dt.datetime, zoned: bool) -> str:
    zone = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    text = zone.astimezone(dt.UTC).replace(tzinfo=None).isoformat(" ")
    return f"TIMESTAMPTZ '{text}+00'" if zoned else f"TIMESTAMP '{text}'"
