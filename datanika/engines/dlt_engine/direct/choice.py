"""Which tables go past arrow."""

from __future__ import annotations

from datanika.contracts.spec import TableSpec

_UNDERSTOOD = frozenset(
    {"name", "target", "write_disposition", "primary_key", "cursor", "columns", "merge_strategy"}
)
"""Settings of a table that the direct ways obey; any other one that is set needs the values in
arrow."""


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
