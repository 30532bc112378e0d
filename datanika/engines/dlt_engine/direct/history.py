"""``scd2``: a table that keeps what its rows were."""

from __future__ import annotations

from datanika.engines.dlt_engine.by_key import ROW_HASH, VALID_FROM, VALID_TO
from datanika.engines.dlt_engine.direct.landing import Fill, Landed, Landing, beside
from datanika.engines.warehouse.base import LOAD_ID, qualified, quoted

_HISTORY = {VALID_FROM: "timestamptz", VALID_TO: "timestamptz", ROW_HASH: "varchar"}


class History(Landing):
    """A row that changes, or that a whole reading has no more, stays with the time until
    which it was valid, in dlt's columns."""

    def land_history(self, fill: Fill, fresh: bool, whole: bool) -> Landed:
        """``fresh``: the history goes too; ``whole``: what does not come is no more."""
        place = self._place
        if place.existing:
            self._add_columns()
            missing = [name for name in _HISTORY if name not in place.existing]
            if missing:
                added = ", ".join(f"ADD COLUMN {quoted(n)} {_HISTORY[n]}" for n in missing)
                self._session.run(f"ALTER TABLE {self._target} {added}")
        else:
            columns = {**place.columns, LOAD_ID: "varchar NOT NULL", **_HISTORY}
            made = ", ".join(f"{quoted(n)} {k}" for n, k in columns.items())
            self._session.run(f"CREATE TABLE {self._target} ({made})")
        if fresh:
            self._session.run(f"DELETE FROM {self._target}")
        staging = self._staged(fill)
        landed = self._landed
        match = self._match(staging)
        same = f"{match} AND t.{quoted(ROW_HASH)} = s.{quoted(ROW_HASH)}"
        current = f"t.{quoted(VALID_TO)} IS NULL"
        gone = f"NOT EXISTS (SELECT FROM {staging} s WHERE {same})"
        if not whole:
            gone += f" AND EXISTS (SELECT FROM {staging} s WHERE {match})"
        self._session.run(
            f"UPDATE {self._target} t SET {quoted(VALID_TO)} = now() WHERE {current} AND {gone}"
        )
        names = [*self._names, ROW_HASH]
        chosen = ", ".join(f"s.{quoted(name)}" for name in names)
        into = ", ".join(quoted(name) for name in [*names, LOAD_ID, VALID_FROM])
        absent = f"NOT EXISTS (SELECT FROM {self._target} t WHERE {current} AND {same})"
        [(landed.wanted,)] = self._session.run(f"SELECT count(*) FROM {staging} s WHERE {absent}")
        landed.placed = self._session.count(
            f"INSERT INTO {self._target} ({into}) "
            f"SELECT {chosen}, '{self._load_id}', now() FROM {staging} s WHERE {absent}"
        )
        landed.way = "changed rows beside the ones that were valid"
        self._session.run(f"DROP TABLE {staging}")
        return landed

    def _staged(self, fill: Fill) -> str:
        """A table of what came, one row a key, with their hashes."""
        target = self._place.target
        came, hashed = (qualified((target[0], beside(target[1], what))) for what in ("a", "b"))
        columns = ", ".join(f"{quoted(n)} {k}" for n, k in self._place.columns.items())
        self._session.run(f"CREATE UNLOGGED TABLE {came} ({columns})")
        self._landed = Landed(fill(came, self._names, None, True))
        self._keep_one_a_key(came)
        row = ", ".join(quoted(name) for name in sorted(self._names))
        self._session.run(
            f"CREATE UNLOGGED TABLE {hashed} AS SELECT *, "
            f"CAST(md5(CAST(ROW({row}) AS text)) AS varchar) AS {quoted(ROW_HASH)} FROM {came}"
        )
        self._session.run(f"DROP TABLE {came}")
        self._session.run(f"ANALYZE {hashed}")
        return hashed
