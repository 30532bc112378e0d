"""Numbers of JSON lines that a double rounds.

DuckDB parses a number with a fraction as a double. Up to 15 digits come back as they were written;
what has more is looked at here, in Python, and only if its column is of doubles.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from datanika.engines.warehouse.base import literal
from datanika.errors import TerminalStepError

_SUSPECT = r"[0-9][0-9.]{15,}|[eE][-+]?[0-9]{3,}"
_LINES = 1_000
MAX_LINE = 16 * 1024 * 1024
"""Bytes of a line that is read."""
_SHORT = 16
"""Characters of a number that has 15 digits at most."""


def check_numbers(database: Any, paths: Sequence[Path], types: Mapping[str, str]) -> None:
    """Raises :class:`TerminalStepError` ``number_inexact`` for a number that would be rounded.

    ``types``: column -> DuckDB's type. A line that is no JSON is left to the reader.
    """
    import duckdb

    columns = {
        name: duckdb.type(kind)
        for name, kind in types.items()
        if "DOUBLE" in kind or "JSON" in kind
    }
    if not columns:
        return
    files = ", ".join(literal(str(path)) for path in paths)
    lines = database.execute(
        f"SELECT json, filename FROM read_json_objects([{files}], format='newline_delimited', "
        f"filename=true, maximum_object_size={MAX_LINE}) WHERE regexp_matches(json, '{_SUSPECT}')"
    )
    while some := lines.fetchmany(_LINES):
        for line, file in some:
            if (found := _rounded(line, columns)) is not None:
                name, number = found
                raise TerminalStepError(
                    f"{Path(file).name}: column {name!r} holds {number}, of which a double keeps "
                    "fewer digits.",
                    code="number_inexact",
                    hint="Write such numbers as texts, or let the table quarantine bad rows.",
                )


def parse_number(text: str) -> float | Decimal:
    """The double that says what ``text`` (of a JSON number with a fraction or an exponent) says, or
    infinity; a Decimal where no double does. For ``json.loads(parse_float=)``."""
    value = float(text)
    if len(text) <= _SHORT and "e" not in text and "E" not in text:
        return value
    number = Decimal(text)
    return number if math.isfinite(value) and is_rounded(number) else value


def is_rounded(number: Decimal | int) -> bool:
    """Whether a double says something else, by its exact value and by its shortest text."""
    try:
        double = float(number)
        return Decimal(repr(double)) != number and Decimal(double) != number
    except OverflowError:
        return True


def _rounded(line: str, columns: Mapping[str, Any]) -> tuple[str, Decimal | int] | None:
    try:
        row = json.loads(line, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict):
        return None
    for name, kind in columns.items():
        for number in _doubles(row.get(name), kind):
            if is_rounded(number):
                return name, number
    return None


def _doubles(value: Any, kind: Any) -> Iterator[Decimal | int]:
    """The numbers in ``value`` that become doubles in DuckDB's type ``kind``."""
    if isinstance(value, dict):
        inner = dict(kind.children) if kind.id == "struct" else {}
        for name, item in value.items():
            yield from _doubles(item, inner.get(name, _ANY if kind.id == "struct" else _of(kind)))
    elif isinstance(value, list):
        for item in value:
            yield from _doubles(item, _of(kind))
    elif isinstance(value, Decimal) or (
        isinstance(value, int) and not isinstance(value, bool) and kind.id == "double"
    ):
        yield value


class _Any:
    """JSON as it is: its integers stay as they are."""

    id = "json"
    children: tuple[()] = ()


_ANY = _Any()


def _of(kind: Any) -> Any:
    """The type of a list's items, or of a map's values."""
    if kind.id not in ("list", "map"):
        return _ANY
    return dict(kind.children)["value" if kind.id == "map" else "child"]
