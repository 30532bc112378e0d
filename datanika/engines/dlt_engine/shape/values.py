"""A filter's value as text, so that every source compares the same things."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum

from datanika.contracts.shape import FilterValue
from datanika.errors import TerminalStepError


class Family(StrEnum):
    """What a column's type means for the values that it is compared with."""

    TEXT = "text"
    DATE = "date"
    LOCAL_TIME = "timestamp"
    MOMENT = "timestamptz"
    OTHER = "other"


def value_text(value: FilterValue, family: Family, column: str) -> str:
    """``value`` as a literal of the column's type may be written.

    A time without a zone is UTC. Raises :class:`TerminalStepError` ``filter_invalid``.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if family in (Family.DATE, Family.LOCAL_TIME, Family.MOMENT):
        moment = _moment(value, column)
        if family is Family.DATE:
            if moment.time() != dt.time():
                raise invalid(column, value, "a date")
            return moment.date().isoformat()
        if family is Family.MOMENT:
            return moment.isoformat(" ")
        return moment.replace(tzinfo=None).isoformat(" ")
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    return value.isoformat() if isinstance(value, dt.date) else str(value)


def _moment(value: FilterValue, column: str) -> dt.datetime:
    """In UTC."""
    if isinstance(value, dt.datetime):
        moment = value
    elif isinstance(value, dt.date):
        moment = dt.datetime.combine(value, dt.time())
    else:
        try:
            moment = dt.datetime.fromisoformat(str(value))
        except ValueError:
            raise invalid(column, value, "a date or time") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)


def invalid(column: str, value: object, kind: str) -> TerminalStepError:
    """The filter's value is none of the column's type."""
    return TerminalStepError(
        f"The filter on {column!r} compares with {value!r}, which is not {kind}.",
        code="filter_invalid",
        hint="Correct the filter's value, or the column it is on.",
    )


def unsupported(column: str, kind: str) -> TerminalStepError:
    """Values of this type have no order and no equality here."""
    return TerminalStepError(
        f"Column {column!r} is of type {kind}, which a filter can only test for being empty.",
        code="filter_unsupported",
        hint="Use is_null or not_null, or filter in a view of the source.",
    )
