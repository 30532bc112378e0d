"""A table's filters and hidden columns in the query of a PostgreSQL source."""

from __future__ import annotations

from typing import Any

from datanika.contracts.spec import TableSpec
from datanika.engines.dlt_engine.shape.privacy import Privacy
from datanika.engines.dlt_engine.shape.sql import POSTGRES, ColumnType, hidden, where
from datanika.engines.dlt_engine.shape.values import Family
from datanika.engines.warehouse.base import quoted

# A domain's base type: a filter's value need not be one that the domain allows.
_TYPES = """
WITH RECURSIVE base AS (
    SELECT a.attname, a.atttypid AS type_id, a.attnum
    FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
    SELECT b.attname, t.typbasetype, b.attnum
    FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type_id WHERE t.typtype = 'd'
)
SELECT b.attname, pg_catalog.format_type(b.type_id, NULL), t.typname, t.typcategory, t.typtype
FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type_id
WHERE t.typtype <> 'd' ORDER BY b.attnum
"""
_FAMILIES = {
    "text": Family.TEXT,
    "varchar": Family.TEXT,
    "bpchar": Family.TEXT,
    "date": Family.DATE,
    "timestamp": Family.LOCAL_TIME,
    "timestamptz": Family.MOMENT,
}
_INCOMPARABLE = frozenset({"json", "xml", "point", "polygon", "bytea"})


class PostgresShape:
    """``cursor`` is open in autocommit mode; ``relation`` is the table's oid."""

    def __init__(self, cursor: Any, relation: int, table: TableSpec, privacy: Privacy) -> None:
        self._cursor, self._relation = cursor, relation
        self._table, self._privacy = table, privacy

    def hidden(self, column: str) -> str | None:
        """SQL of what may be seen of ``column``; None: all of it."""
        return hidden(column, quoted(column), self._privacy, POSTGRES)

    def condition(self) -> str:
        """The filters as SQL, or an empty string."""
        if not self._table.filters:
            return ""
        self._cursor.execute(_TYPES, [self._relation])
        types = {
            name: ColumnType(
                name=kind,
                family=_FAMILIES.get(base, Family.OTHER),
                value=quoted(name),
                is_comparable=category != "A" and typtype != "c" and base not in _INCOMPARABLE,
            )
            for name, kind, base, category, typtype in self._cursor.fetchall()
        }
        return where(self._table.filters, types, POSTGRES, self._try_cast)

    def _try_cast(self, text: str, kind: str) -> bool:
        import psycopg2

        try:
            # The type's name is the catalog's own spelling.
            self._cursor.execute(f"SELECT CAST(%s AS {kind.replace('%', '%%')})", [text])
        except psycopg2.DataError:
            return False
        return True
