"""Types of CSV columns, from every value of every file rather than from a sample.

A sample's guess fails on the row that disagrees, and a sniffer reads decimals as doubles, whose
sums drift. Numbers with a fraction become DECIMAL here; numbers with leading zeros stay text,
because they are codes. A sample proposes each column's type, which costs little, and one pass over
every value then checks only that one: a type that the sample has refuted stays refuted. Where a
file has a row on each line, that pass reads lines, not fields.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datanika.engines.warehouse.base import literal, quoted

DECIMAL_SCALE = 9
_INTEGER = r"-?(0|[1-9][0-9]{0,18})"
_DECIMAL = r"-?((0|[1-9][0-9]*)(\.[0-9]+)?|\.[0-9]+)"
_DOUBLE = r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?"
# Without a code's leading zeros.
_WRITTEN_DOUBLE = r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?"
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = r"[ T]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?"
_ZONE = r"(Z|[-+][0-9]{2}(:?[0-9]{2})?)"

# In this order: the first that fits every value wins.
_CANDIDATES = {
    "BOOLEAN": r"(?i:true|false)",
    "BIGINT": _INTEGER,
    "DATE": _DATE,
    "TIMESTAMP": _DATE + _TIME,
    "TIMESTAMP WITH TIME ZONE": _DATE + _TIME + _ZONE,
}


SAMPLE_ROWS = 2_000
FIRST_ROWS = 50


def propose_csv_types(
    database: Any, source: str, columns: Sequence[str], as_text: set[str]
) -> dict[str, str]:
    """The type of each column of ``source`` (whose columns are all VARCHAR) by its first rows; of
    columns that are empty there, by every row. To be checked with :func:`missed`."""
    names = ", ".join(map(quoted, columns))
    first = database.execute(f"SELECT {names} FROM {source} LIMIT {FIRST_ROWS}").fetchall()
    return propose_by(database, source, columns, as_text, first)


def propose_by(
    database: Any,
    source: str,
    columns: Sequence[str],
    as_text: set[str],
    first: Sequence[Sequence[str | None]],
) -> dict[str, str]:
    """The same, where the :data:`FIRST_ROWS` of ``source`` are known.

    To try every type on every value costs, and so does every expression: the first rows say which
    type to try. What they have refuted stays refuted.
    """
    types, unknown = dict[str, str](), []
    for position, name in enumerate(columns):
        values = [row[position] for row in first if row[position] is not None]
        types[name] = "VARCHAR" if name in as_text else _guess([str(one) for one in values])
        if not values and name not in as_text:
            unknown.append(name)
    sample = f"(FROM {source} LIMIT {SAMPLE_ROWS})"
    bad, _, _ = missed(database, sample, types)
    if bad or unknown:
        types |= infer_csv_types(database, sample, [*bad, *unknown], set())
    if unknown:
        probes = ", ".join(f"count({quoted(name)})" for name in unknown)
        counts = database.execute(f"SELECT {probes} FROM {sample}").fetchone()
        empty = [name for name, count in zip(unknown, counts, strict=True) if not count]
        if empty:
            types |= infer_csv_types(database, source, empty, set())
    return types


def _guess(values: Sequence[str]) -> str:
    """The first type that fits all of ``values``, as :func:`infer_csv_types` has it but for values
    that only look as if they did."""
    if not values:
        return "VARCHAR"
    for kind, pattern in _CANDIDATES.items():
        if all(map(re.compile(pattern).fullmatch, values)):
            return kind
    answer: list[Any] = [False] * len(_CANDIDATES)
    is_decimal = all(map(re.compile(_DECIMAL).fullmatch, values))
    parts = [value.lstrip("-").partition(".") for value in values] if is_decimal else []
    answer += [
        is_decimal,
        max((len(part) for _, _, part in parts), default=0),
        max((len(whole) for whole, _, _ in parts), default=None),
        all(map(re.compile(_DOUBLE).fullmatch, values)),
        any(map(re.compile("[-+]?0[0-9].*").fullmatch, values)),
    ]
    return _decide(answer)


def missed(database: Any, source: str, types: Mapping[str, str]) -> tuple[list[str], int, bool]:
    """One pass over every value: the columns that hold one which does not fit their type, the
    number of rows, and whether a text holds a quotation mark."""
    judged = [name for name in types if types[name] != "VARCHAR"]
    quotes = [f"coalesce(bool_or(contains({quoted(n)}, '\"')), false)" for n in types
              if types[n] == "VARCHAR"]  # fmt: skip
    checks = [f"coalesce(bool_and({_fits(quoted(n), types[n])}), true)" for n in judged]
    row = database.execute(
        f"SELECT count(*), {' OR '.join(quotes) or 'false'}{''.join(', ' + c for c in checks)} "
        f"FROM {source}"
    ).fetchone()
    bad = [name for name, fits in zip(judged, row[2:], strict=True) if not fits]
    return bad, int(row[0]), bool(row[1])


def plain_rows(
    database: Any, paths: Sequence[Path], delimiter: str, types: Mapping[str, str]
) -> int | None:
    """The rows of files in which each line is a row whose values fit their types, and a quotation
    mark stands only where every reader sees the same. None for other files, of which :func:`missed`
    knows more: one expression for a line costs a third of one for each field.
    """
    import duckdb

    row = re.escape(delimiter).join(_field(kind, delimiter) for kind in types.values())
    files = ", ".join(literal(str(path)) for path in paths)
    try:
        [(count, plain)] = database.execute(
            f"SELECT count(*), bool_and(coalesce(regexp_full_match(line, {literal(row)}), false)) "
            f"FROM read_csv([{files}], header=true, auto_detect=false, delim='\x01', quote='', "
            "escape='', columns={'line': 'VARCHAR'})"
        ).fetchall()
    except duckdb.Error:
        # More columns than an expression may have, a line of no text, a file without rows.
        return None
    return int(count) if plain else None


def _field(kind: str, delimiter: str) -> str:
    """What a reader of CSV takes for a value of the type ``kind``, or for NULL."""
    if kind == "VARCHAR":
        return rf'([^"\r\n{re.escape(delimiter)}]*|"([^"]|"")*")'
    return f'({_pattern(kind)}|"{_pattern(kind)}")?'


def checked_csv_types(
    database: Any, source: str, columns: Sequence[str], as_text: set[str]
) -> dict[str, str]:
    """DuckDB type of each column of ``source`` (all of them VARCHAR), from every value."""
    types = propose_csv_types(database, source, columns, as_text)
    bad, _, _ = missed(database, source, types)
    return types | infer_csv_types(database, source, bad, set()) if bad else types


def _fits(column: str, kind: str) -> str:
    fits = f"regexp_full_match({column}, '{_pattern(kind)}')"
    if kind not in _CANDIDATES:
        return fits
    return f"({column} IS NULL OR ({fits} AND TRY_CAST({column} AS {kind}) IS NOT NULL))"


def _pattern(kind: str) -> str:
    if kind.startswith("DECIMAL"):
        scale = int(kind.rstrip(")").partition(",")[2])
        whole, part = 37 - scale, f"[0-9]{{1,{scale}}}"
        return rf"-?((0|[1-9][0-9]{{0,{whole}}})(\.{part})?|\.{part})"
    return _WRITTEN_DOUBLE if kind == "DOUBLE" else _CANDIDATES[kind]


def infer_csv_types(
    database: Any, source: str, columns: Sequence[str], as_text: set[str]
) -> dict[str, str]:
    """The first type that fits every value of a column; slow, for every type is tried."""
    judged = [name for name in columns if name not in as_text]
    if not judged:
        return dict.fromkeys(columns, "VARCHAR")
    probes = [probe for name in judged for probe in _probes(quoted(name))]
    row = database.execute(f"SELECT {', '.join(probes)} FROM {source}").fetchone()
    width = len(row) // len(judged)
    answers = {name: row[index * width : (index + 1) * width] for index, name in enumerate(judged)}
    return {name: _decide(answers[name]) if name in answers else "VARCHAR" for name in columns}


def _probes(column: str) -> list[str]:
    # An empty value says nothing of the type.
    fits = [
        f"bool_and(CASE WHEN {column} IS NOT NULL THEN regexp_full_match({column}, '{pattern}') "
        f"AND TRY_CAST({column} AS {kind}) IS NOT NULL END)"
        for kind, pattern in _CANDIDATES.items()
    ]
    return [
        *fits,
        f"bool_and(regexp_full_match({column}, '{_DECIMAL}'))",
        f"max(length(regexp_extract({column}, '\\.([0-9]*)$', 1)))",
        f"max(length(regexp_extract({column}, '^-?([0-9]*)', 1)))",
        f"bool_and(regexp_full_match({column}, '{_DOUBLE}'))",
        f"bool_or(regexp_full_match({column}, '[-+]?0[0-9].*'))",
    ]


def _decide(answer: Sequence[Any]) -> str:
    for kind, fits in zip(_CANDIDATES, answer, strict=False):
        if fits:
            return kind
    is_decimal, fraction, whole, is_double, is_code = answer[len(_CANDIDATES) :]
    if is_decimal and whole is not None:
        scale = max(DECIMAL_SCALE, int(fraction or 0))
        if whole + scale <= 38:
            return f"DECIMAL(38,{scale})"
        # More digits than any decimal holds: exact as text.
        return "VARCHAR"
    if is_double and not is_code:
        return "DOUBLE"
    return "VARCHAR"
