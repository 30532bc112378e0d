"""Rows into their table: all of it in one transaction, so that a killed load leaves nothing.

* ``replace``, and a table's first load: into a new table beside it, frozen, which then takes the
  table's name. Where something hangs on the table itself (views, foreign keys, triggers, policies),
  its rows are replaced instead.
* ``append``: straight into the table.
* ``merge``: into an unlogged table, then by key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from datanika.contracts.enums import WriteDisposition
from datanika.engines.dlt_engine.by_key import DELETED_AT
from datanika.engines.dlt_engine.direct.session import Session
from datanika.engines.dlt_engine.direct.swap import Swap
from datanika.engines.warehouse.base import LOAD_ID, Table, qualified, quoted

Fill = Callable[[str, Sequence[str], str | None, bool], int]
"""``(table as SQL, its columns to fill, load id for LOAD_ID or None, freeze) -> rows``."""


@dataclass(frozen=True)
class Place:
    """Where rows go. ``columns``: name -> SQL type of what comes, in order; ``existing``: of the
    table as it is (empty: there is none). ``order``: the column whose highest value wins among
    rows with one key; ``unique``: the source has one row a key; ``whole``: every row of the source
    comes."""

    target: Table
    columns: Mapping[str, str]
    existing: Mapping[str, str]
    key: Sequence[str] = ()
    order: str | None = None
    unique: bool = False
    strategy: str = "delete-insert"
    whole: bool = True
    marks: bool = False
    """Rows that are gone from the source stay, with the time of that in DELETED_AT."""


@dataclass
class Landed:
    """``filled``: rows that the server took in; ``wanted``: how many of them the table is to have
    under this load, ``placed``: how many it has; ``marked``: as deleted; ``way``: for people."""

    filled: int = 0
    wanted: int = 0
    placed: int = 0
    marked: int = 0
    way: str = ""


class Landing:
    """One load's statements; the caller has begun the transaction and commits it."""

    def __init__(self, session: Session, place: Place, load_id: str) -> None:
        self._session, self._place, self._load_id = session, place, load_id
        self._target = qualified(place.target)
        self._names = list(place.columns)

    def land(self, how: WriteDisposition, fill: Fill, before: str | None, fresh: bool) -> Landed:
        """``before``: a statement that takes rows out first; ``fresh``: every row goes."""
        place = self._place
        if how is WriteDisposition.MERGE and place.strategy == "scd2":
            from datanika.engines.dlt_engine.direct.history import History

            history = History(self._session, place, self._load_id)
            return history.land_history(fill, fresh, place.whole)
        if fresh or not place.existing or how is WriteDisposition.REPLACE:
            landed = self._fresh(fill)
            self._can_mark()
            return landed
        self._add_columns()
        if before is not None:
            self._session.run(before)
        if how is WriteDisposition.APPEND:
            rows = fill(self._target, self._names, self._load_id, False)
            return Landed(rows, rows, rows, way="straight into the table")
        self._can_mark()
        landed = self._merge(fill)
        if place.marks:
            landed.marked = self._mark()
        return landed

    def _can_mark(self) -> None:
        if self._place.marks:
            self._session.run(
                f"ALTER TABLE {self._target} ADD COLUMN IF NOT EXISTS "
                f"{quoted(DELETED_AT)} timestamptz"
            )

    def _mark(self) -> int:
        """Every row that came has this load's id by now."""
        return self._session.count(
            f"UPDATE {self._target} SET {quoted(DELETED_AT)} = now() "
            f"WHERE {quoted(DELETED_AT)} IS NULL "
            f"AND {quoted(LOAD_ID)} IS DISTINCT FROM '{self._load_id}'"
        )

    # A new table

    def _fresh(self, fill: Fill) -> Landed:
        new = (self._place.target[0], beside(self._place.target[1], "new"))
        swap = Swap(self._session, self._place.target) if self._place.existing else None
        reason = swap.refused() if swap else None
        kind = "UNLOGGED " if reason else ""
        columns = ", ".join(f"{quoted(name)} {kind_}" for name, kind_ in self._columns(reason))
        self._session.run(f"CREATE {kind}TABLE {qualified(new)} ({columns})")
        landed = Landed(fill(qualified(new), self._names, None, True))
        landed.wanted = landed.filled
        if self._place.key and not self._place.unique:
            landed.wanted -= self._keep_one_a_key(qualified(new))
        landed.placed = landed.wanted
        if reason or (swap is not None and not self._take_place(swap, new)):
            landed.placed = self._replace_rows(qualified(new))
            landed.way = f"in place of the rows ({reason or 'something hangs on the table'})"
        elif swap is not None:
            landed.way = "into a new table that took the old one's name"
        else:
            self._stamp(qualified(new))
            self._rename(new)
            landed.way = "into a new table"
        return landed

    def _columns(self, in_place: str | None) -> list[tuple[str, str]]:
        place = self._place
        if in_place is not None:
            return [(name, place.columns[name]) for name in self._names]
        kept = [
            (name, kind)
            for name, kind in place.existing.items()
            if name not in place.columns and name != LOAD_ID
        ]
        return [*place.columns.items(), *kept]

    def _stamp(self, new: str) -> None:
        # A constant default is one entry in the catalog, however many rows there are.
        self._session.run(
            f"ALTER TABLE {new} ADD COLUMN {quoted(LOAD_ID)} varchar NOT NULL "
            f"DEFAULT '{self._load_id}'"
        )
        self._session.run(f"ALTER TABLE {new} ALTER COLUMN {quoted(LOAD_ID)} DROP DEFAULT")

    def _take_place(self, swap: Swap, new: Table) -> bool:
        self._stamp(qualified(new))
        if swap.take_place(new):
            self._rename(new)
            return True
        self._session.run(f"ALTER TABLE {qualified(new)} DROP COLUMN {quoted(LOAD_ID)}")
        return False

    def _rename(self, new: Table) -> None:
        self._session.run(f"ALTER TABLE {qualified(new)} RENAME TO {quoted(self._place.target[1])}")

    def _replace_rows(self, new: str) -> int:
        self._add_columns()
        self._session.run(f"DELETE FROM {self._target}")
        rows = self._insert(new)
        self._session.run(f"DROP TABLE {new}")
        return rows

    def _add_columns(self) -> None:
        missing = {
            name: kind
            for name, kind in {**self._place.columns, LOAD_ID: "varchar"}.items()
            if name not in self._place.existing
        }
        if missing:
            added = ", ".join(f"ADD COLUMN {quoted(n)} {k}" for n, k in missing.items())
            self._session.run(f"ALTER TABLE {self._target} {added}")

    # By key

    def _merge(self, fill: Fill) -> Landed:
        staging = qualified((self._place.target[0], beside(self._place.target[1], "staging")))
        columns = ", ".join(f"{quoted(n)} {k}" for n, k in self._place.columns.items())
        self._session.run(f"CREATE UNLOGGED TABLE {staging} ({columns})")
        landed = Landed(fill(staging, self._names, None, True))
        landed.wanted = landed.filled
        if not self._place.unique:
            landed.wanted -= self._keep_one_a_key(staging)
        self._session.run(f"ANALYZE {staging}")
        match = self._match(staging)
        if self._place.strategy == "upsert":
            landed.way = "updated and inserted by key"
            landed.placed = self._upsert(staging, match)
        else:
            landed.way = "deleted and inserted by key"
            self._session.run(f"DELETE FROM {self._target} t USING {staging} s WHERE {match}")
            landed.placed = self._insert(staging)
        self._session.run(f"DROP TABLE {staging}")
        return landed

    def _upsert(self, staging: str, match: str) -> int:
        # Not MERGE, which PostgreSQL has since version 15.
        new = self._insert_new(staging, match)
        values = ", ".join(f"{quoted(name)} = s.{quoted(name)}" for name in self._names)
        back = f", {quoted(DELETED_AT)} = NULL" if self._place.marks else ""
        stamped = f"{values}, {quoted(LOAD_ID)} = '{self._load_id}'{back}"
        old = self._session.count(
            f"UPDATE {self._target} t SET {stamped} FROM {staging} s WHERE {match} "
            f"AND t.{quoted(LOAD_ID)} IS DISTINCT FROM '{self._load_id}'"
        )
        return new + old

    def _insert_new(self, staging: str, match: str) -> int:
        return self._insert(
            staging, f"WHERE NOT EXISTS (SELECT FROM {self._target} t WHERE {match})"
        )

    def _match(self, staging: str) -> str:
        """Keys that are empty are equal too, as they are where one row a key is kept."""
        nulls = ", ".join(f"coalesce(bool_or({quoted(k)} IS NULL), false)" for k in self._place.key)
        [row] = self._session.run(f"SELECT {nulls} FROM {staging}")
        return " AND ".join(
            f"t.{quoted(k)} {'IS NOT DISTINCT FROM' if has_null else '='} s.{quoted(k)}"
            for k, has_null in zip(self._place.key, row, strict=True)
        )

    def _insert(self, staging: str, where: str = "") -> int:
        names = ", ".join(quoted(name) for name in self._names)
        chosen = ", ".join(f"s.{quoted(name)}" for name in self._names)
        return self._session.count(
            f"INSERT INTO {self._target} ({names}, {quoted(LOAD_ID)}) "
            f"SELECT {chosen}, '{self._load_id}' FROM {staging} s {where}"
        )

    def _keep_one_a_key(self, table: str) -> int:
        """Delete all rows of a key but one; how many."""
        keys = ", ".join(quoted(key) for key in self._place.key)
        order = f" ORDER BY {quoted(self._place.order)} DESC" if self._place.order else ""
        return self._session.count(
            f"DELETE FROM {table} WHERE ctid IN (SELECT ctid FROM (SELECT ctid, row_number() "
            f"OVER (PARTITION BY {keys}{order}) AS n FROM {table}) numbered WHERE n > 1)"
        )


def beside(name: str, what: str) -> str:
    """The name of a table beside ``name`` for the length of a transaction."""
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"_datanika_{what}_{name[:30]}_{digest}"
