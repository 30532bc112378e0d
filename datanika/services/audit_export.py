"""The audit log as a file: a JSON object on each line, or a table for a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from typing import Any

from datanika.models import AuditLog

COLUMNS = (
    "id", "seq", "at", "user_id", "actor", "action", "resource_type", "resource_id", "old", "new",
    "prev_hash", "row_hash",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def json_lines(entries: Iterable[AuditLog]) -> str:
    """One object for each entry, with the hashes: enough to check the chain elsewhere."""
    return "".join(
        json.dumps(_values(entry), ensure_ascii=False, separators=(",", ":")) + "\n"
        for entry in entries
    )


def csv_head() -> str:
    """The names of the columns."""
    return _lines([COLUMNS])


def csv_lines(entries: Iterable[AuditLog]) -> str:
    """One line for each entry; objects are JSON in their cell."""
    return _lines([_cell(value) for value in _values(entry).values()] for entry in entries)


def _values(entry: AuditLog) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in COLUMNS} | {"at": entry.at.isoformat()}


def _cell(value: Any) -> Any:
    """A text that a spreadsheet would compute gets an apostrophe in front (OWASP)."""
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def _lines(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
