"""Types of a SQLite table's columns, from every value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from datanika.engines.connectors.sql import CatalogColumn, SqlConnector
from datanika.errors import TerminalStepError

if TYPE_CHECKING:
    from datanika.engines.dlt_engine.sources.sql_rows import Travel

_SAFE = 2**53
"""Integers beyond it are not exact as doubles."""
_TIME = (
    "length({c}) BETWEEN 19 AND 26 AND "
    "strftime('%Y-%m-%d %H:%M:%S', substr({c}, 1, 19), '+0 days') = "
    "replace(substr({c}, 1, 19), 'T', ' ') AND (length({c}) = 19 OR substr({c}, 20, 1) = '.' "
    "AND length({c}) > 20 AND substr({c}, 21) NOT GLOB '*[^0-9]*')"
)
_PROBES = (
    "sum(typeof({c}) = 'integer')", "sum(typeof({c}) = 'real')", "sum(typeof({c}) = 'text')",
    "sum(typeof({c}) = 'blob')",
    f"sum(typeof({{c}}) = 'integer' AND {{c}} NOT BETWEEN -{_SAFE} AND {_SAFE})",
    "sum(typeof({c}) = 'integer' AND {c} NOT IN (0, 1))",
    "sum(typeof({c}) = 'text' AND date({c}, '+0 days') = {c})",
    f"sum(typeof({{c}}) = 'text' AND ({_TIME}))",
)  # fmt: skip


def travels_of(
    connector: SqlConnector[Any],
    cursor: Any,
    table: tuple[str, str],
    columns: Sequence[CatalogColumn],
    as_text: frozenset[str],
) -> Mapping[str, Travel]:
    """How each column is read. ``as_text``: names of those that the destination has as text.

    Raises :class:`TerminalStepError` ``values_mixed``.
    """
    answers: list[int] = []
    # SQLite allows 2,000 result columns.
    for begin in range(0, len(columns), 200):
        some = columns[begin : begin + 200]
        probes = [
            probe.replace("{c}", connector.quoted(one.name)) for one in some for probe in _PROBES
        ]
        cursor.execute(f"SELECT {', '.join(probes)} FROM {connector.qualified(*table)}")
        answers += [int(value or 0) for value in cursor.fetchone()]
    width = len(_PROBES)
    return {
        column.name: _travel(
            column, column.name in as_text, *answers[index * width : (index + 1) * width]
        )
        for index, column in enumerate(columns)
    }


def _travel(
    column: CatalogColumn, as_text: bool, whole: int, real: int, text: int, blob: int,
    unsafe: int, not_flag: int, dates: int, times: int,
) -> Travel:  # fmt: skip
    import pyarrow as pa

    from datanika.engines.dlt_engine.sources.sql_rows import Travel

    kind = column.data_type
    if blob and whole + real + text:
        raise TerminalStepError(
            f"Column {column.name!r} holds binary values among others.",
            code="values_mixed",
            hint="Correct them in the file, or leave the column out.",
        )
    if blob:
        return Travel(pa.binary())
    if as_text:
        return Travel(pa.string(), convert=_text)
    if whole + real + text == 0:
        return Travel(_declared(kind))
    if text == 0 and real == 0:
        flag = kind.startswith("bool") and not not_flag
        return Travel(pa.bool_(), convert=bool) if flag else Travel(pa.int64())
    if text == 0 and not unsafe:
        return Travel(pa.float64(), convert=float)
    if whole + real == 0:
        if kind == "date" and dates == text:
            return Travel(pa.date32())
        if kind.startswith(("datetime", "timestamp")) and times == text:
            return Travel(pa.timestamp("us"))
        return Travel(pa.string())
    return Travel(pa.string(), convert=_text, note="values of several types are loaded as text.")


def _declared(kind: str) -> Any:
    """Of a column without a value: SQLite's rules of affinity, and what people mean by the rest."""
    import pyarrow as pa

    if kind == "date":
        return pa.date32()
    if kind.startswith(("datetime", "timestamp")):
        return pa.timestamp("us")
    if kind.startswith("bool"):
        return pa.bool_()
    if "int" in kind:
        return pa.int64()
    if "blob" in kind:
        return pa.binary()
    if any(part in kind for part in ("real", "floa", "doub", "dec", "num")):
        return pa.float64()
    return pa.string()


def _text(value: Any) -> str:
    return repr(value) if isinstance(value, float) else str(value)
