"""What of JSON no destination can hold: found in a parsed row."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

MAX_INTEGER = 2**63 - 1
_SURROGATE = re.compile("[\ud800-\udfff]")
_PROBLEMS = {
    "nul_in_text": "holds a NUL character, which no text can.",
    "lone_surrogate": "holds half of a surrogate pair, which is no character.",
    "integer_too_large": "holds an integer beyond 64 bit.",
    "number_too_large": "holds a number that is none or beyond what a double holds.",
    "number_inexact": "holds a number of which a double keeps fewer digits.",
    "name_unusable": "has a name that no column can have.",
}


def problem_in(row: dict[str, Any]) -> tuple[str, str, str | None] | None:
    """(code, sentence, column) of the first value that cannot be stored; None: all can."""
    for name, value in row.items():
        if not name.strip() or (code := _in_text(name)) is not None:
            return "name_unusable", "A column has a name that no column can have.", None
        if (code := _in_value(value)) is not None:
            return code, f"Column {name!r} {_PROBLEMS[code]}", name
    return None


def _in_value(value: Any) -> str | None:
    if isinstance(value, str):
        return _in_text(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return "integer_too_large" if not -MAX_INTEGER - 1 <= value <= MAX_INTEGER else None
    if isinstance(value, Decimal):
        return "number_inexact"
    if isinstance(value, float):
        return None if math.isfinite(value) else "number_too_large"
    if isinstance(value, dict):
        inner = [_in_text(key) or _in_value(item) for key, item in value.items()]
        return next((code for code in inner if code is not None), None)
    if isinstance(value, list):
        return next((code for item in value if (code := _in_value(item)) is not None), None)
    return None


def _in_text(text: str) -> str | None:
    if "\0" in text:
        return "nul_in_text"
    return "lone_surrogate" if _SURROGATE.search(text) else None
