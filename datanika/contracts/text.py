"""Text, numbers and moments as they may arrive from anywhere, and what of them can be stored.

PostgreSQL stores no NUL and no half of a surrogate pair, and a number in JSON has to be one.
Schemas say so where JSON Schema can; :func:`storable` refuses the rest.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, StringConstraints

MAX_ID = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly (RFC 8259, section 6)."""
MAX_INTEGER = 2**63 - 1
"""The largest one that PostgreSQL's bigint holds."""
_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
_BLANK = r"\x00-\x20\x7f-\xa0\xad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff"
NAME_PATTERN = rf"^[^{_CONTROL}]*[^{_BLANK}][^{_CONTROL}]*$"
"""At least one character that can be seen, and none that controls a terminal."""
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def storable(value: Any) -> Any:
    """``value``, read from JSON; raises :class:`ValueError` where PostgreSQL could not store it."""
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= one <= "\udfff" for one in value):
            raise ValueError("text without NUL and without half surrogate pairs is needed")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a finite number is needed")
    elif isinstance(value, dict):
        for key, inner in value.items():
            storable(key)
            storable(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            storable(inner)
    return value


def _written(value: Any) -> Any:
    # Pydantic would also take the seconds since 1970, and a date.
    if not isinstance(value, dt.datetime) and not _MOMENT.fullmatch(str(value)):
        raise ValueError("a moment as RFC 3339 writes it is needed: 2026-03-01T06:00:00Z")
    return value


def _utc(moment: dt.datetime) -> dt.datetime:
    try:
        return moment.astimezone(dt.UTC)
    except OverflowError:
        # Before year 1 or after 9999 in UTC.
        edge = dt.datetime.min if moment.year == 1 else dt.datetime.max
        return edge.replace(tzinfo=dt.UTC)


Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NAME_PATTERN)]
Line = Annotated[
    str, StringConstraints(max_length=1000, pattern=rf"^[^{_CONTROL}]*$"), AfterValidator(storable)
]
Text = Annotated[
    str, StringConstraints(max_length=20_000, pattern=r"^[^\x00]*$"), AfterValidator(storable)
]
Code = Annotated[
    str, StringConstraints(max_length=1_000_000, pattern=r"^[^\x00]*$"), AfterValidator(storable)
]


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
"""JSON has one kind of number: 3.0 is an integer too (JSON Schema 2020-12, section 6.1.1)."""
Integer = Annotated[int, WHOLE]
RowId = Annotated[int, Field(ge=1, le=MAX_ID, strict=True), WHOLE]
Flag = Annotated[bool, Field(strict=True)]
"""True or false: neither 0 nor "yes"."""
JsonObject = Annotated[dict[str, Any], BeforeValidator(storable)]
Moment = Annotated[AwareDatetime, BeforeValidator(_written), AfterValidator(_utc)]
"""A moment with its zone, as RFC 3339 writes it."""

Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
"""A step key or a destination schema: lower case, digits, underscore, at most 63 bytes."""

SourceName = Annotated[Line, Field(min_length=1)]
"""What something is called outside: it may hold anything that a line may hold."""
