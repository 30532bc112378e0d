"""Filters and hidden columns as SQL of the source: the source sends only what may arrive.

Values are quoted literals that the source casts to the column's type, never parts of the text of
a statement; whether they can be cast is asked first, with a bound parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from datanika.contracts.shape import Filter, FilterOperator, Mask
from datanika.engines.dlt_engine.shape.privacy import Privacy
from datanika.engines.dlt_engine.shape.values import Family, invalid, unsupported, value_text
from datanika.engines.warehouse.base import literal, quoted
from datanika.errors import TerminalStepError

_SIGNS = {
    FilterOperator.EQ: "=",
    FilterOperator.NE: "<>",
    FilterOperator.GT: ">",
    FilterOperator.GTE: ">=",
    FilterOperator.LT: "<",
    FilterOperator.LTE: "<=",
}
_ORDERED = (FilterOperator.GT, FilterOperator.GTE, FilterOperator.LT, FilterOperator.LTE)


@dataclass(frozen=True)
class ColumnType:
    """``name`` can stand in a CAST; ``value`` is the column as SQL, of that type."""

    name: str
    family: Family
    value: str
    is_comparable: bool = True


@dataclass(frozen=True)
class Dialect:
    """How one database writes what is needed here.

    ``hmac``: (SQL of a text, inner and outer key in hex) -> SQL of the digest in hex.
    """

    literal: Callable[[str], str]
    text: Callable[[str], str]
    hmac: Callable[[str, str, str], str]
    by_code_points: str = ""


def _postgres_literal(text: str) -> str:
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


POSTGRES = Dialect(
    literal=_postgres_literal,
    text=lambda column: f"CAST({column} AS text)",
    hmac=lambda text, inner, outer: (
        f"encode(sha256('\\x{outer}'::bytea || "
        f"sha256('\\x{inner}'::bytea || convert_to({text}, 'UTF8'))), 'hex')"
    ),
    by_code_points=' COLLATE "C"',
)
DUCKDB = Dialect(
    literal=literal,
    text=lambda column: f"CAST({column} AS VARCHAR)",
    hmac=lambda text, inner, outer: (
        f"sha256(unhex('{outer}') || unhex(sha256(unhex('{inner}') || encode({text}))))"
    ),
)


def where(
    filters: Iterable[Filter],
    types: Mapping[str, ColumnType],
    dialect: Dialect,
    try_cast: Callable[[str, str], bool],
) -> str:
    """The filters as a condition, or an empty string.

    ``try_cast(text, type)``: whether the source takes the text for a value of the type. Raises
    :class:`TerminalStepError` ``column_missing``, ``filter_invalid``, ``filter_unsupported``.
    """
    return " AND ".join(_condition(one, types, dialect, try_cast) for one in filters)


def _condition(
    one: Filter,
    types: Mapping[str, ColumnType],
    dialect: Dialect,
    try_cast: Callable[[str, str], bool],
) -> str:
    kind = types.get(one.column)
    if kind is None:
        raise missing(one.column, types)
    if one.operator is FilterOperator.IS_NULL:
        return f"{quoted(one.column)} IS NULL"
    if one.operator is FilterOperator.NOT_NULL:
        return f"{quoted(one.column)} IS NOT NULL"
    if not kind.is_comparable:
        raise unsupported(one.column, kind.name)

    def literal(value: object) -> str:
        text = value_text(value, kind.family, one.column)  # type: ignore[arg-type]
        if not try_cast(text, kind.name):
            raise invalid(one.column, value, f"of type {kind.name}")
        return f"CAST({dialect.literal(text)} AS {kind.name})"

    if one.operator in (FilterOperator.IN, FilterOperator.NOT_IN):
        negated = "NOT " if one.operator is FilterOperator.NOT_IN else ""
        return f"{kind.value} {negated}IN ({', '.join(map(literal, one.values))})"
    ordered = kind.family is Family.TEXT and one.operator in _ORDERED
    collation = dialect.by_code_points if ordered else ""
    return f"{kind.value}{collation} {_SIGNS[one.operator]} {literal(one.value)}"


def missing(column: str, present: Iterable[str]) -> TerminalStepError:
    """A setting is about a column that the source does not have."""
    return TerminalStepError(
        f"The source has no column {column!r}.",
        code="column_missing",
        hint=f"Its columns: {', '.join(present)}.",
    )


def hidden(name: str, value: str, privacy: Privacy, dialect: Dialect) -> str | None:
    """The column as SQL of what may be seen of it, as text; None: all of it.

    ``value`` is the SQL of the column's own value.
    """
    text = dialect.text(value)
    if name in privacy.hashed:
        return dialect.hmac(text, *privacy.pads)
    mask = privacy.masks.get(name)
    return None if mask is None else _masked(mask, value, text, dialect)


def _masked(mask: Mask, value: str, text: str, dialect: Dialect) -> str:
    cover = dialect.literal(mask.cover)
    match mask.how:
        case "null":
            return dialect.text("NULL")
        case "text":
            return f"CASE WHEN {value} IS NOT NULL THEN {dialect.text(cover)} END"
        case "keep_last":
            rest = f"{cover} || right({text}, {mask.keep})"
            return (
                f"CASE WHEN {value} IS NULL THEN {dialect.text('NULL')} "
                f"WHEN length({text}) > {mask.keep} THEN {rest} ELSE {dialect.text(cover)} END"
            )
