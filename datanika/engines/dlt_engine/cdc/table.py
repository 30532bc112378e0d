"""A table of the source as change data capture sees it: what identifies its rows, what its log
holds of them, and whether what is known of it still fits."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datanika.contracts.spec import TableSpec
from datanika.engines.dlt_engine.cdc.pgoutput import Value
from datanika.engines.dlt_engine.direct.session import Session
from datanika.engines.dlt_engine.sources.base import choose_columns
from datanika.engines.warehouse.base import Table
from datanika.errors import TerminalStepError

_TABLE = """
SELECT c.oid, c.relkind, c.relpersistence, c.relreplident,
    c.relkind = 'r' AND EXISTS (SELECT FROM pg_catalog.pg_inherits WHERE inhparent = c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s
"""
# A constant default of a column that was added is in the catalog, not in the older rows.
_COLUMNS = """
SELECT a.attname, a.attnum, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull,
    a.attgenerated, a.atthasmissing, (a.attmissingval::text::text[])[1],
    a.atthasdef OR a.attidentity <> ''
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_IDENTITY = """
SELECT a.attname FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::int2[])
WHERE i.indrelid = %s AND CASE WHEN %s THEN i.indisreplident ELSE i.indisprimary END
ORDER BY a.attnum
"""


@dataclass(frozen=True)
class CdcColumn:
    """``number``: of its place in the table, never given twice. ``fill``: what rows from before it
    was added have in it; None: NULL, or unknown where ``is_unclear``."""

    name: str
    number: int
    type: str
    fill: Value = None
    is_unclear: bool = False


@dataclass(frozen=True)
class CdcTable:
    """``left_out``: columns that the log does not have."""

    oid: int
    name: Table
    columns: Mapping[str, CdcColumn]
    key: tuple[str, ...]
    left_out: tuple[str, ...]
    highest: int
    """Number of the last column that the table was given, one that was dropped since included."""

    def facts(self, chosen: Sequence[str]) -> dict[str, Any]:
        """What is kept in the resource's state, for :meth:`outdated`, of a load of ``chosen``."""
        columns = [self.columns[name] for name in chosen]
        return {
            "oid": self.oid,
            "key": list(self.key),
            "highest": self.highest,
            "columns": {one.name: [one.number, one.type] for one in columns},
        }

    def outdated(self, known: Mapping[str, Any], left_out: Collection[str] = ()) -> str | None:
        """Why the table has to be read as a whole again, if it has. ``known``: :meth:`facts` of
        when it was read last. Columns that went, or were added and of which it is clear what older
        rows have in them, are no reason, nor are those of ``left_out``."""
        if known.get("oid") != self.oid:
            return "it is another table of the same name"
        if known.get("key") != list(self.key):
            return "its key is another one"
        columns: dict[str, list[Any]] = known.get("columns", {})
        for one in self.columns.values():
            before = columns.get(one.name)
            if before is None:
                if one.name in left_out:
                    continue
                if one.number <= known["highest"]:
                    return f"column {one.name!r} was renamed, or was not read before"
                if one.is_unclear:
                    return f"column {one.name!r} was added with a default that older rows may have"
            elif before[0] != one.number:
                return f"column {one.name!r} was made anew"
            elif before[1] != one.type:
                return f"column {one.name!r} was {before[1]} and is {one.type}"
        return None


def find_table(session: Session, name: Table, spec: TableSpec) -> CdcTable:
    """Raises :class:`TerminalStepError`: ``table_missing``, ``column_missing``,
    ``cdc_table_unfit``, ``cdc_no_identity``."""
    shown = ".".join(name)
    found = session.run(_TABLE, name)
    if not found:
        raise TerminalStepError(
            f"The source has no table {shown!r}.",
            code="table_missing",
            hint="Check its name and schema, and that the user may see it.",
        )
    [(oid, kind, persistence, identity, has_children)] = found
    if kind not in "rp" or persistence != "p" or has_children:
        raise TerminalStepError(
            f"{shown!r} is no plain or partitioned table whose changes are logged.",
            code="cdc_table_unfit",
            hint="Views, foreign and unlogged tables, and tables that others inherit from are "
            "loaded by queries: leave `sync` out.",
        )
    rows = session.run(_COLUMNS, [oid])
    # Before version 18 no generated column is in the log, since then the stored ones are.
    logged = "s" if session.connection.server_version >= 180000 else ""
    left_out = [str(row[0]) for row in rows if row[4] and row[4] not in logged]
    present = {str(row[0]): row for row in rows if row[0] not in left_out}
    chosen = choose_columns(list(present), spec.columns, None, spec.name)
    columns = {}
    for column in chosen:
        _, number, type_, _, generated, has_missing, missing, has_default = present[column]
        fill = None if missing is None else str(missing).encode()
        unclear = bool(generated) or (has_default and not has_missing)
        columns[column] = CdcColumn(column, int(number), str(type_), fill, unclear)
    if kind == "p" and identity != "d":
        raise _no_identity(shown, "of a partitioned table only the primary key tells rows apart")
    key = _key(session, int(oid), identity, spec, shown)
    for one in key:
        if one not in columns or not present[one][3]:
            raise _no_identity(shown, f"its key column {one!r} is left out, or may be empty")
    [(highest,)] = session.run(
        "SELECT max(attnum) FROM pg_catalog.pg_attribute WHERE attrelid = %s", [oid]
    )
    return CdcTable(int(oid), name, columns, key, tuple(left_out), int(highest))


def _key(session: Session, oid: int, identity: str, spec: TableSpec, shown: str) -> tuple[str, ...]:
    if identity == "n":
        raise _no_identity(shown, "it has REPLICA IDENTITY NOTHING")
    rows = session.run(_IDENTITY, [oid, identity == "i"])
    own = tuple(str(name) for (name,) in rows)
    if identity == "f":
        key = spec.primary_key or own
        if not key:
            raise _no_identity(shown, "it has no primary key, and `primary_key` names none")
        return key
    if not own:
        raise _no_identity(shown, "it has no primary key")
    if spec.primary_key and set(spec.primary_key) != set(own):
        raise _no_identity(
            shown, f"its old rows are told by {', '.join(own)}, not by `primary_key`"
        )
    return own


def _no_identity(shown: str, why: str) -> TerminalStepError:
    return TerminalStepError(
        f"Changed and deleted rows of {shown!r} cannot be told: {why}.",
        code="cdc_no_identity",
        field="primary_key",
        hint="Give the table a primary key, or a unique index without empty values by ALTER TABLE "
        "... REPLICA IDENTITY USING INDEX ...; or ALTER TABLE ... REPLICA IDENTITY FULL, and name "
        "the columns in `primary_key`.",
    )
