"""A table's filters and hidden columns in DuckDB's query of files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datanika.contracts.spec import TableSpec
from datanika.engines.dlt_engine.shape.privacy import Privacy
from datanika.engines.dlt_engine.shape.sql import DUCKDB, ColumnType, hidden, where
from datanika.engines.dlt_engine.shape.values import Family
from datanika.engines.warehouse.base import quoted

_FAMILIES = {
    "VARCHAR": Family.TEXT,
    "DATE": Family.DATE,
    "TIMESTAMP": Family.LOCAL_TIME,
    "TIMESTAMP_NS": Family.LOCAL_TIME,
    "TIMESTAMP_MS": Family.LOCAL_TIME,
    "TIMESTAMP_S": Family.LOCAL_TIME,
    "TIMESTAMP WITH TIME ZONE": Family.MOMENT,
}
_INCOMPARABLE = ("STRUCT", "MAP", "UNION", "JSON", "BLOB", '"NULL"')


class DuckdbShape:
    """``types``: what each column is loaded as; a CSV's columns are text in ``database``."""

    def __init__(
        self, database: Any, types: Mapping[str, str], table: TableSpec, privacy: Privacy
    ) -> None:
        self._database, self._types = database, types
        self._table, self._privacy = table, privacy

    def hidden(self, column: str) -> str | None:
        """SQL of what may be seen of ``column``; None: all of it."""
        value = quoted(column)
        if self._types[column] == "BLOB":
            value = f"('\\x' || lower(hex({value})))"
        elif self._types[column].startswith(("STRUCT", "MAP", "UNION")):
            value = f"to_json({value})"
        return hidden(column, value, self._privacy, DUCKDB)

    def condition(self) -> str:
        """The filters as SQL, or an empty string."""
        types = {
            name: ColumnType(
                name=kind,
                family=_FAMILIES.get(kind, Family.OTHER),
                value=f"CAST({quoted(name)} AS {kind})",
                is_comparable=not kind.startswith(_INCOMPARABLE) and not kind.endswith("]"),
            )
            for name, kind in self._types.items()
        }
        return where(self._table.filters, types, DUCKDB, self._try_cast)

    def _try_cast(self, text: str, kind: str) -> bool:
        found = self._database.execute(f"SELECT TRY_CAST(? AS {kind}) IS NOT NULL", [text])
        return bool(found.fetchone()[0])
