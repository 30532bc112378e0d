"""Merges through dlt's staging, as the direct ways into PostgreSQL do them (``direct/landing.py``,
``direct/history.py``).

dlt's own keep any of several rows with one key, double rows whose key is empty, and have neither
``upsert`` nor ``scd2`` for DuckDB as we promise them. These statements take their place, in the
transaction that moves the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from datanika.contracts.spec import TableSpec
from datanika.engines.warehouse.base import LOAD_ID, Table, Warehouse, qualified, quoted
from datanika.errors import TerminalStepError

VALID_FROM, VALID_TO, ROW_HASH = "_dlt_valid_from", "_dlt_valid_to", "_dlt_id"
"""dlt's names for a row's validity and its hash."""
DELETED_AT = "_deleted_at"


@dataclass
class ByKey:
    """The merge of one table. ``placed``, once the statements were asked for: how many rows the
    table is to have under this load, where that is known."""

    table: TableSpec
    target: Table
    keys: Sequence[str]
    order: str | None
    warehouse: Warehouse
    fresh: bool
    """Every row of the table goes first."""
    placed: int | None = None

    @property
    def strategy(self) -> str:
        return self.table.merge_strategy

    @property
    def is_whole(self) -> bool:
        """Whether every row of the source comes."""
        return self.table.cursor is None

    @property
    def needs_no_row(self) -> bool:
        """Whether something is to be done where the source gives no row."""
        return self.table.deletes == "soft" or (self.strategy == "scd2" and self.is_whole)

    def _prepare(self) -> None:
        """The columns that the source does not have."""
        kinds = {}
        if self.strategy == "scd2":
            kinds = {VALID_FROM: "timestamptz", VALID_TO: "timestamptz", ROW_HASH: "varchar"}
        if self.table.deletes == "soft":
            kinds[DELETED_AT] = "timestamptz"
        for name, kind in kinds.items():
            self.warehouse.query(
                f"ALTER TABLE {self._into} ADD COLUMN IF NOT EXISTS {quoted(name)} {kind}"
            )

    @property
    def _into(self) -> str:
        return qualified(self.target)

    def statements(self, staging: str, columns: Sequence[str]) -> list[str]:
        """``columns``: of the staging table."""
        self._prepare()
        match = self._match(staging)
        one_a_key = self._keep_one(staging)
        if self.strategy == "scd2":
            return [*one_a_key, *self._history(staging, columns, match)]
        if self.table.delete_column is None:
            self.placed = self._unique(staging)
        merge = self._upsert if self.strategy == "upsert" else self._replace
        return [*one_a_key, *merge(staging, columns, match), *self._mark(staging)]

    def without_rows(self) -> list[str]:
        """The same where the source gave no row."""
        self._prepare()
        current = f"{quoted(VALID_TO)} IS NULL"
        if self.strategy == "scd2" and self.is_whole:
            return [f"UPDATE {self._into} SET {quoted(VALID_TO)} = now() WHERE {current}"]
        if self.table.deletes == "soft":
            gone = f"{quoted(DELETED_AT)} IS NULL"
            return [f"UPDATE {self._into} SET {quoted(DELETED_AT)} = now() WHERE {gone}"]
        return []

    def _keep_one(self, staging: str) -> list[str]:
        keys = ", ".join(map(quoted, self.keys))
        order = f" ORDER BY {quoted(self.order)} DESC NULLS LAST" if self.order else ""
        address = self.warehouse.row_address
        return [
            f"DELETE FROM {staging} WHERE {address} IN (SELECT {address} FROM "
            f"(SELECT {address}, row_number() OVER (PARTITION BY {keys}{order}) AS n "
            f"FROM {staging}) numbered WHERE n > 1)"
        ]

    def _match(self, staging: str) -> str:
        """Empty keys are equal too. To compare them so is slow in PostgreSQL: only where it
        matters."""
        nulls = ", ".join(f"coalesce(bool_or({quoted(key)} IS NULL), false)" for key in self.keys)
        [row] = self.warehouse.query(f"SELECT {nulls} FROM {staging}")
        return " AND ".join(
            f"t.{quoted(key)} {'IS NOT DISTINCT FROM' if has_null else '='} s.{quoted(key)}"
            for key, has_null in zip(self.keys, row, strict=True)
        )

    def _unique(self, staging: str) -> int:
        keys = ", ".join(map(quoted, self.keys))
        rows = f"SELECT DISTINCT {keys} FROM {staging}"
        [(count,)] = self.warehouse.query(f"SELECT count(*) FROM ({rows}) found")
        return int(count)

    # One row a key

    def _replace(self, staging: str, columns: Sequence[str], match: str) -> list[str]:
        names = ", ".join(map(quoted, columns))
        chosen = ", ".join(f"s.{quoted(name)}" for name in columns)
        return [
            f"DELETE FROM {self._into} AS t USING {staging} AS s WHERE {match}",
            f"INSERT INTO {self._into} ({names}) SELECT {chosen} FROM {staging} AS s",
        ]

    def _upsert(self, staging: str, columns: Sequence[str], match: str) -> list[str]:
        back = f", {quoted(DELETED_AT)} = NULL" if self.table.deletes == "soft" else ""
        values = ", ".join(f"{quoted(name)} = s.{quoted(name)}" for name in columns)
        names = ", ".join(map(quoted, columns))
        chosen = ", ".join(f"s.{quoted(name)}" for name in columns)
        return [
            f"UPDATE {self._into} AS t SET {values}{back} FROM {staging} AS s WHERE {match}",
            f"INSERT INTO {self._into} ({names}) SELECT {chosen} FROM {staging} AS s "
            f"WHERE NOT EXISTS (SELECT 1 FROM {self._into} AS t WHERE {match})",
        ]

    # History

    def _history(self, staging: str, columns: Sequence[str], match: str) -> list[str]:
        names = [name for name in columns if name not in (LOAD_ID, ROW_HASH)]
        hashed = self.warehouse.row_hash("s", sorted(names), staging)
        current = f"t.{quoted(VALID_TO)} IS NULL"
        same = f"{match} AND t.{quoted(ROW_HASH)} = {hashed}"
        gone = f"NOT EXISTS (SELECT 1 FROM {staging} AS s WHERE {same})"
        if not self.is_whole:
            gone += f" AND EXISTS (SELECT 1 FROM {staging} AS s WHERE {match})"
        absent = f"NOT EXISTS (SELECT 1 FROM {self._into} AS t WHERE {current} AND {same})"
        if self.fresh:
            self.placed = self._unique(staging)
        else:
            # Staging has not lost its repeated keys yet.
            keys = ", ".join(map(quoted, self.keys))
            order = f" ORDER BY {quoted(self.order)} DESC NULLS LAST" if self.order else ""
            address = self.warehouse.row_address
            numbered = (
                f"SELECT {address} AS a, row_number() OVER (PARTITION BY {keys}{order}) AS n "
                f"FROM {staging}"
            )
            [(self.placed,)] = self.warehouse.query(
                f"SELECT count(*) FROM {staging} AS s JOIN ({numbered}) AS r "
                f"ON r.a = s.{address} WHERE r.n = 1 AND {absent}"
            )
        into = ", ".join(map(quoted, [*names, ROW_HASH, LOAD_ID, VALID_FROM]))
        chosen = ", ".join(f"s.{quoted(name)}" for name in names)
        return [
            f"UPDATE {self._into} AS t SET {quoted(VALID_TO)} = now() WHERE {current} AND {gone}",
            f"INSERT INTO {self._into} ({into}) SELECT {chosen}, {hashed}, s.{quoted(LOAD_ID)}, "
            f"now() FROM {staging} AS s WHERE {absent}",
        ]

    # Gone from the source

    def _mark(self, staging: str) -> list[str]:
        """Every row that came has this load's id by now."""
        if self.table.deletes != "soft":
            return []
        load = f"(SELECT max({quoted(LOAD_ID)}) FROM {staging})"
        return [
            f"UPDATE {self._into} SET {quoted(DELETED_AT)} = now() "
            f"WHERE {quoted(DELETED_AT)} IS NULL AND {quoted(LOAD_ID)} IS DISTINCT FROM {load}"
        ]


def check_names(names: Sequence[str], table: TableSpec) -> None:
    """Raises :class:`TerminalStepError` for a source's column that is called like one of ours."""
    ours = set[str]()
    if table.sync == "cdc":
        return
    if table.merge_strategy == "scd2":
        ours |= {VALID_FROM, VALID_TO, ROW_HASH}
    if table.deletes == "soft":
        ours.add(DELETED_AT)
    for name in names:
        if name in ours:
            raise TerminalStepError(
                f"A column of {table.name!r} would be called {name!r}, which the merge needs.",
                code="columns_collide",
                field="columns",
                hint="Rename the column in the source, or leave it out with `columns`.",
            )
