"""Which tables go past arrow, and what their columns are called."""

from __future__ import annotations

import re
from collections.abc import Callable

from datanika.contracts.spec import TableSpec

_UNDERSTOOD = frozenset(
    {
        "name",
        "target",
        "write_disposition",
        "primary_key",
        "cursor",
        "columns",
        "merge_strategy",
        "deletes",
    }  # fmt: skip
)
"""Settings of a table that the direct ways obey; any other one that is set needs the values in
arrow."""

_PLAIN = re.compile(r"^[a-z](?:_?[a-z0-9]){0,30}$")
"""Names that dlt leaves as they are; for the others it is asked. Its import takes longer than a
small load."""


class NotDirect(Exception):
    """The rows cannot go the direct way; the message says why."""


def other_setting(table: TableSpec) -> str | None:
    """A setting of ``table`` that COPY would not obey, if one is set."""
    defaults = type(table).model_fields
    for name, value in table:
        if name not in _UNDERSTOOD and value != defaults[name].get_default(
            call_default_factory=True
        ):
            return name
    return None


def naming(max_length: int | None = None) -> Callable[[str], str]:
    """dlt's rule for names, at most ``max_length`` long."""

    def normalize(name: str) -> str:
        if _PLAIN.match(name):
            return name
        from dlt.common.normalizers.naming.snake_case import NamingConvention

        return str(NamingConvention(max_length).normalize_identifier(name))

    return normalize
