"""How each column of a PostgreSQL source travels to PostgreSQL: as it is wherever both servers have
the type, else as something that holds every value and is named in a note.

A table that is there already keeps its columns' types: the values are cast to them at the source,
where that loses nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datanika.contracts.spec import TableSpec
from datanika.engines.dlt_engine.direct.session import Session
from datanika.engines.dlt_engine.sources.base import choose_columns
from datanika.engines.warehouse.base import Table, qualified, quoted
from datanika.errors import TerminalStepError

_CATALOG = """
WITH RECURSIVE base AS (
    SELECT a.attnum, a.attname, a.atttypid AS type_id, a.atttypmod AS modifier
    FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
    SELECT b.attnum, b.attname, t.typbasetype, t.typtypmod
    FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type_id WHERE t.typtype = 'd'
)
SELECT b.attname, pg_catalog.format_type(b.type_id, b.modifier), t.typname, t.typtype,
    t.typcategory, t.oid < 16384 AND t.typnamespace = 'pg_catalog'::regnamespace
        AND t.typsend <> 0 AND t.typreceive <> 0
FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type_id
WHERE t.typtype <> 'd' ORDER BY b.attnum
"""
# Their values name objects or a locale of their own server.
_LOCAL = re.compile(r"^_?(reg\w+|money|aclitem|cid|tid|xid|xid8|pg_\w+|txid_snapshot)$")
TEXTS = frozenset({"text", "character varying", "varchar"})
_WHOLE = {"smallint": 5, "integer": 10, "bigint": 19}
_SIZE = re.compile(r"^([a-z ]+?)\((\d+)(?:,(-?\d+))?\)( with(?:out)? time zone)?$")


@dataclass(frozen=True)
class SourceColumn:
    """``type`` is what format_type says, of a domain's base type; ``is_common``: every PostgreSQL
    has this type, and sends it as bytes that mean the same everywhere."""

    name: str
    type: str
    kind: str
    is_common: bool
    is_nested: bool


@dataclass(frozen=True)
class Travel:
    """``expression`` is evaluated at the source and gives ``type``; ``check`` is a condition that
    every value must meet."""

    column: SourceColumn
    expression: str
    type: str
    check: str | None = None
    note: str | None = None


def find(session: Session, name: Table, table: TableSpec) -> dict[str, SourceColumn]:
    """The columns to read, in their order.

    Raises :class:`TerminalStepError` ``table_missing``, ``column_missing``, ``cursor_missing``.
    """
    found = session.run(
        "SELECT c.oid FROM pg_catalog.pg_class c "
        "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')",
        name,
    )
    if not found:
        raise TerminalStepError(
            f"The source has no table {'.'.join(name)!r}.",
            code="table_missing",
            hint="Check its name and schema, and that the user may see it.",
        )
    columns = {
        str(column): SourceColumn(
            name=column,
            type=kind,
            kind=typname,
            is_common=common and typtype in "brm" and not _LOCAL.match(typname),
            is_nested=category == "A" or typtype == "c",
        )
        for column, kind, typname, typtype, category, common in session.run(_CATALOG, [found[0][0]])
    }
    cursor = table.cursor.column if table.cursor else None
    chosen = choose_columns(list(columns), table.columns, cursor, table.name)
    return {name: columns[name] for name in chosen}


def missing_types(session: Session, columns: Sequence[SourceColumn]) -> set[str]:
    """Which types of ``columns`` the destination's server does not have: it may be an older one."""
    kinds = sorted({column.kind for column in columns if column.is_common})
    rows = session.run(
        "SELECT kind FROM unnest(%s::text[]) AS kind "
        "WHERE to_regtype('pg_catalog.' || quote_ident(kind)) IS NULL",
        [kinds],
    )
    return {kind for (kind,) in rows}


def travel(column: SourceColumn, existing: str | None, absent: set[str]) -> Travel | None:
    """How ``column`` becomes a column of the type ``existing``, or of its best type where there is
    none. None: it cannot without loss."""
    name = quoted(column.name)
    native = column.is_common and column.kind not in absent
    if existing is None:
        if native:
            return Travel(column, name, column.type)
        if column.is_nested:
            note = f"{column.name}: {column.type} is loaded as JSON."
            return Travel(column, f"CAST(pg_catalog.to_json({name}) AS json)", "json", note=note)
        note = f"{column.name}: {column.type} is loaded as text."
        return Travel(column, f"CAST({name} AS text)", "character varying", note=note)
    if native and existing == column.type:
        return Travel(column, name, existing)
    return _into(column, name, existing, native)


def _into(column: SourceColumn, name: str, existing: str, native: bool) -> Travel | None:
    if existing in TEXTS:
        if column.type in TEXTS or column.kind == "varchar":
            return Travel(column, name, existing)
        note = f"{column.name}: {column.type} is loaded as text."
        return Travel(column, f"CAST({name} AS text)", existing, note=note)
    if existing in ("json", "jsonb"):
        if column.kind in ("json", "jsonb"):
            return Travel(column, f"CAST(CAST({name} AS text) AS {existing})", existing)
        if column.is_nested:
            note = f"{column.name}: {column.type} is loaded as JSON."
            return Travel(column, f"CAST(pg_catalog.to_json({name}) AS {existing})", existing)
        return None
    if not native:
        return None
    return _into_number(column, name, existing) or _into_longer(column, name, existing)


def _into_number(column: SourceColumn, name: str, existing: str) -> Travel | None:
    digits, cast = _WHOLE.get(column.type), f"CAST({name} AS {existing})"
    if column.kind == "oid" and existing == "bigint":
        return Travel(column, cast, existing)
    if digits and digits <= _WHOLE.get(existing, 0):
        return Travel(column, cast, existing)
    if existing == "double precision" and column.kind == "float4":
        return Travel(column, f"CAST(CAST({name} AS text) AS float8)", existing)
    if existing != "numeric" and not existing.startswith("numeric("):
        return None
    if column.kind == "numeric" and existing == "numeric":
        return Travel(column, name, existing)
    if not digits and column.kind != "numeric":
        return None
    precision, scale = _size(existing)
    if existing == "numeric" or (digits and digits + scale <= precision):
        return Travel(column, cast, existing)
    whole, fraction = (digits, 0) if digits else _size(column.type)
    if column.type != "numeric" and fraction <= scale and whole - fraction + scale <= precision:
        return Travel(column, name if not digits else cast, existing)
    # Rounding would be silent; a number that is too big is refused by the server anyway.
    return Travel(column, cast, existing, check=f"pg_catalog.scale({name}) <= {scale}")


def _into_longer(column: SourceColumn, name: str, existing: str) -> Travel | None:
    """varchar(10) into varchar(20), timestamp(3) into timestamp."""
    ours, theirs = _parts(column.type), _parts(existing)
    if ours is None or theirs is None or ours[0] != theirs[0]:
        return None
    if theirs[1] is None or (ours[1] is not None and ours[1] <= theirs[1]):
        if column.kind == "bpchar" and ours[1] != theirs[1]:
            return None
        return Travel(column, name, existing)
    return None


def _parts(kind: str) -> tuple[str, int | None] | None:
    found = _SIZE.match(kind)
    if found is None:
        return kind, None
    return (found[1] + (found[4] or ""), int(found[2])) if found[3] is None else None


def _size(kind: str) -> tuple[int, int]:
    """(precision, scale) of a numeric; (0, 0) for one without."""
    found = _SIZE.match(kind)
    return (int(found[2]), int(found[3] or 0)) if found else (0, 0)


def check_values(session: Session, name: Table, travels: Sequence[Travel]) -> list[str]:
    """Columns that hold a value which would not arrive as it is."""
    checks = [one for one in travels if one.check]
    if not checks:
        return []
    bad = ", ".join(f"coalesce(bool_or(NOT ({one.check})), false)" for one in checks)
    [row] = session.run(f"SELECT {bad} FROM {qualified(name)}")
    return [one.column.name for one, found in zip(checks, row, strict=True) if found]


def hint_of(kind: str) -> dict[str, Any]:
    """dlt's words for a column of the SQL type ``kind``, for its schema of the table."""
    if kind in _WHOLE:
        precision = {"smallint": 16, "integer": 32}.get(kind)
        return {"data_type": "bigint", **({"precision": precision} if precision else {})}
    if kind.startswith("numeric("):
        precision, scale = _size(kind)
        return {"data_type": "decimal", "precision": precision, "scale": scale}
    plain = {
        "numeric": {"data_type": "decimal"},
        "double precision": {"data_type": "double"},
        "real": {"data_type": "double"},
        "boolean": {"data_type": "bool"},
        "date": {"data_type": "date"},
        "bytea": {"data_type": "binary"},
        "json": {"data_type": "json"},
        "jsonb": {"data_type": "json"},
    }
    if kind in plain:
        return plain[kind]
    if kind.startswith("timestamp"):
        zoned = kind.endswith("with time zone")
        return {"data_type": "timestamp", **({} if zoned else {"timezone": False})}
    if kind.startswith("time") and not kind.endswith("with time zone"):
        return {"data_type": "time"}
    return {"data_type": "text"}


def existing_types(session: Session, table: Table) -> Mapping[str, str]:
    """column -> SQL type of ``table``, in its order; empty when there is no such table."""
    return dict(
        session.run(
            "SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod) "
            "FROM pg_catalog.pg_attribute a "
            "WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped "
            "ORDER BY a.attnum",
            [qualified(table)],
        )
    )
