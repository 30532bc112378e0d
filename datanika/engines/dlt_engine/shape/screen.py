"""CSV and JSON-lines files, read once in Python before DuckDB reads them: a reader of files stops
at the first line that it cannot read, and one bad line must not lose the others.

What can be read is written to a clean copy, one per file; the rest goes to quarantine. It costs a
pass over the files, so it is done only for tables that quarantine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from datanika.engines.dlt_engine.shape.bad_rows import Bad, BadRow, row_json
from datanika.engines.dlt_engine.shape.json_numbers import parse_number
from datanika.engines.dlt_engine.shape.json_values import problem_in
from datanika.engines.dlt_engine.shape.privacy import Privacy
from datanika.errors import TerminalStepError

MAX_ROW = 8_000_000
"""Bytes of one row; DuckDB's own limit is 16 MB."""
MAX_RECORD_LINES = 10_000
"""Lines of one CSV record: an open quote must not swallow a file."""
_EXACT_FLOAT = 2**53


class Screen:
    """``place`` is an empty folder for the clean copies."""

    def __init__(self, place: Path, privacy: Privacy, bad: Bad) -> None:
        self._place, self._privacy, self._bad = place, privacy, bad
        self.names: dict[str, None] = {}
        """Columns of the source, in the order they were met."""

    # -- JSON lines -------------------------------------------------------------------------------

    def jsonl(self, paths: list[Path]) -> list[Path]:
        """Clean copies of ``paths``."""
        kinds: dict[str, set[str]] = {}
        clean = [self._jsonl(path, number, kinds) for number, path in enumerate(paths)]
        inexact = {name for name, found in kinds.items() if {"float", "large"} <= found}
        # With fractions beside it DuckDB takes a column for doubles, which round such integers.
        return [self._exact(path, inexact) for path in clean] if inexact else clean

    def _jsonl(self, path: Path, number: int, kinds: dict[str, set[str]]) -> Path:
        target = self._place / f"{number}.jsonl"
        with target.open("wb") as out:
            for line, raw in enumerate(_lines(path), start=1):
                raw = raw.removeprefix(b"\xef\xbb\xbf") if line == 1 else raw
                text = raw.strip(b" \t\r\n")
                if not text:
                    continue
                row, problem = _parse(text)
                if problem is not None:
                    self._unreadable(path, line, text, *problem, row)
                    continue
                assert row is not None
                for name, value in row.items():
                    self.names.setdefault(name)
                    if (kind := _number_kind(value)) is not None:
                        kinds.setdefault(name, set()).add(kind)
                out.write(text + b"\n")
        return target

    def _exact(self, path: Path, columns: set[str]) -> Path:
        target = path.with_suffix(".exact.jsonl")
        with target.open("wb") as out:
            for raw in _lines(path):
                row = json.loads(raw)
                name = next((n for n in columns if _is_inexact(row.get(n))), None)
                if name is None:
                    out.write(raw)
                    continue
                reason = f"Column {name!r} holds numbers with fractions, which round this integer."
                self._bad(BadRow("integer_inexact", reason, name, self._shown(row)))
        path.unlink()
        return target

    # -- CSV --------------------------------------------------------------------------------------

    def csv(self, paths: list[Path], delimiter: str) -> list[tuple[Path, list[str]]]:
        """Clean copies without a header line, and the names of their columns."""
        return [self._csv(path, number, delimiter) for number, path in enumerate(paths)]

    def _csv(self, path: Path, number: int, delimiter: str) -> tuple[Path, list[str]]:
        target = self._place / f"{number}.csv"
        records = _records(path, delimiter)
        header = next((fields for _, _, fields in records if fields is not None), [])
        names = [name or "" for name in header]
        if not names or any(not name.strip() or max(name) >= "\udc80" for name in names):
            raise TerminalStepError(
                f"The first line of {path.name!r} does not name every column.",
                code="header_invalid",
                hint="Write the columns' names into the first line, in UTF-8.",
            )
        for name in names:
            self.names.setdefault(name)
        with target.open("w", encoding="utf-8", newline="") as out:
            for line, raw, fields in records:
                if fields is None:
                    self._unreadable(
                        path, line, raw, "csv_malformed", "The line's quotes do not close.", None
                    )
                elif not raw.strip(b"\r\n") and len(names) > 1:
                    continue
                elif len(fields) != len(names):
                    what = f"The line has {len(fields)} fields, the header {len(names)}."
                    self._unreadable(path, line, raw, "csv_fields", what, None)
                elif (problem := _in_fields(names, fields)) is not None:
                    row = dict(zip(names, fields, strict=True))
                    self._unreadable(path, line, raw, *problem, row)
                else:
                    out.write(delimiter.join(map(_written, fields)) + "\n")
        return target, names

    # -- bad rows ---------------------------------------------------------------------------------

    def _unreadable(
        self,
        path: Path,
        line: int,
        raw: bytes,
        code: str,
        reason: str,
        column: str | None = None,
        row: dict[str, Any] | None = None,
    ) -> None:
        reason = f"{path.name}, line {line}: {reason}"
        self._bad(BadRow(code, reason, column, self._shown(row, raw)))

    def _shown(self, row: dict[str, Any] | None, raw: bytes = b"") -> str:
        if row is not None:
            return row_json(self._privacy.row(row))
        if self._privacy.columns:
            # Nobody can tell where in it the hidden columns are.
            return row_json({"left_out": "The table has hidden columns.", "bytes": len(raw)})
        return row_json({"text": raw.decode("utf-8", "backslashreplace")})


def _lines(path: Path) -> Iterator[bytes]:
    """Lines with their ends, of a file that may be compressed."""
    import io

    import pyarrow as pa

    with pa.input_stream(str(path), compression="detect") as stream:
        yield from io.BufferedReader(stream, 1 << 20)


Problem = tuple[str, str, str | None]


def _parse(text: bytes) -> tuple[dict[str, Any] | None, Problem | None]:
    """The row that a line is, and what is wrong with it."""
    if len(text) > MAX_ROW:
        return None, ("row_too_large", f"The row has more than {MAX_ROW} bytes.", None)
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError:
        return None, ("not_utf8", "The line is not UTF-8.", None)
    try:
        row = json.loads(
            decoded, parse_constant=_refuse, parse_float=parse_number, object_pairs_hook=_object
        )
    except _RepeatedName as error:
        return None, ("name_repeated", f"The name {error} is there twice.", None)
    except (ValueError, RecursionError):
        return None, ("not_json", "The line is not JSON.", None)
    if not isinstance(row, dict):
        return None, ("not_an_object", "The line is JSON, but no object.", None)
    return row, problem_in(row)


class _RepeatedName(Exception):
    pass


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        raise _RepeatedName(repr(next(name for name in names if names.count(name) > 1)))
    return result


def _number_kind(value: Any) -> str | None:
    if isinstance(value, float):
        return "float"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _EXACT_FLOAT:
        return "large"
    return None


def _is_inexact(value: Any) -> bool:
    return _number_kind(value) == "large" and float(value) != value


# -- CSV ------------------------------------------------------------------------------------------

Field = str | None
"""None is a field without anything, not even quotes."""
_STRAY: Callable[[str], bool] = re.compile("[\udc80-\udcff]").search  # type: ignore[assignment]


def _records(path: Path, delimiter: str) -> Iterator[tuple[int, bytes, list[Field] | None]]:
    """(line, bytes, fields); fields are None where quotes do not close. Bytes that are no UTF-8
    are kept as Python's surrogate escapes."""
    lines = enumerate(_lines(path), start=1)
    waiting: list[tuple[int, bytes]] = []
    while True:
        if not waiting:
            following = next(lines, None)
            if following is None:
                return
            waiting.append(following)
        number, raw = waiting.pop(0)
        if number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        taken, fields = [raw], _fields(raw, delimiter)
        size = len(raw)
        while fields is None and len(taken) < MAX_RECORD_LINES and size < MAX_ROW:
            rest = waiting.pop(0) if waiting else next(lines, None)
            if rest is None:
                break
            taken.append(rest[1])
            size += len(rest[1])
            if b'"' in rest[1]:
                fields = _fields(b"".join(taken), delimiter)
        if fields is None:
            # Only its first line is given up: what it swallowed may be rows.
            waiting = [(number + i, line) for i, line in enumerate(taken[1:], start=1)] + waiting
            yield number, raw, None
        else:
            yield number, b"".join(taken), fields


def _fields(raw: bytes, delimiter: str) -> list[Field] | None:
    """The fields of a record; None where a quote is open at its end. A quote inside of a field
    without quotes is a character of it."""
    text = raw.decode("utf-8", "surrogateescape").removesuffix("\n").removesuffix("\r")
    if '"' not in text:
        return [field or None for field in text.split(delimiter)]
    fields: list[Field] = []
    position = 0
    while True:
        if text.startswith('"', position):
            value, position = _quoted(text, position)
            if value is None:
                return None
            end = text.find(delimiter, position)
            tail = text[position:] if end < 0 else text[position:end]
            # What follows the closing quote belongs to the field, as every lenient reader has it.
            fields.append(value + tail)
        else:
            end = text.find(delimiter, position)
            fields.append((text[position:] if end < 0 else text[position:end]) or None)
        if end < 0:
            return fields
        position = end + len(delimiter)


def _quoted(text: str, position: int) -> tuple[str | None, int]:
    """The field whose quote opens at ``position``, and where it ends."""
    parts: list[str] = []
    start = position + 1
    while True:
        end = text.find('"', start)
        if end < 0:
            return None, start
        parts.append(text[start:end])
        if not text.startswith('"', end + 1):
            return "".join(parts), end + 1
        parts.append('"')
        start = end + 2


def _in_fields(names: list[str], fields: list[Field]) -> Problem | None:
    for name, field in zip(names, fields, strict=True):
        if field is None:
            continue
        if _STRAY(field):
            return "not_utf8", f"Column {name!r} is not UTF-8.", name
        if "\0" in field:
            return "nul_in_text", f"Column {name!r} holds a NUL character.", name
    return None


def _written(field: Field) -> str:
    return "" if field is None else '"' + field.replace('"', '""') + '"'
