"""Rows that do not fit, kept beside their table with the reason.

``<schema>_quarantine.<table>`` is written while the source is read, before its table is touched:
a load that is killed leaves rows of a load id that never completed, and the next one removes them,
as it does with those of the table. So each bad row is there once per load that read it; where a
table reads rows again (a cursor or a merge), once.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO

from datanika.contracts.enums import WriteDisposition
from datanika.contracts.spec import TableSpec
from datanika.engines.dlt_engine.shape.bad_rows import BadRow
from datanika.engines.warehouse import Warehouse
from datanika.engines.warehouse.base import LOAD_ID, LOADS_TABLE, Table, qualified, quoted
from datanika.errors import TerminalStepError

CHUNK = 500
"""Rows of one INSERT."""
_SUFFIX = "_quarantine"
_COLUMNS = {
    LOAD_ID: "text",
    "quarantined_at": "timestamp with time zone",
    "code": "text",
    "reason": "text",
    "column_name": "text",
    "row": "text",
    "row_hash": "text",
    "is_complete": "boolean",
}


def quarantine_of(target: Table) -> Table:
    """Where bad rows of ``target`` go. Schema names end at 63 bytes, so a long one is cut and
    told apart by a digest."""
    schema, table = target
    if len(schema) + len(_SUFFIX) > 63:
        digest = hashlib.sha256(schema.encode()).hexdigest()[:8]
        schema = f"{schema[: 63 - len(_SUFFIX) - 9]}_{digest}"
    return schema + _SUFFIX, table


class Quarantine:
    """The bad rows of one load of one table. ``spool`` is a file of its own until they are sent,
    so that there may be many."""

    def __init__(self, warehouse: Warehouse, target: Table, table: TableSpec, folder: Path) -> None:
        self.table = quarantine_of(target)
        self.rows = 0
        self._warehouse, self._target = warehouse, target
        self._replaces = table.write_disposition is WriteDisposition.REPLACE
        self._once = not self._replaces and (
            table.cursor is not None or table.write_disposition is WriteDisposition.MERGE
        )
        self._path = folder / "quarantine.jsonl"
        self._spool: IO[str] | None = None
        self._load_id: str | None = None
        self._skipped = Counter[str]()

    def add(self, bad: BadRow) -> None:
        """Keep ``bad``; it is written by :meth:`send`."""
        if self._spool is None:
            self._spool = self._path.open("w", encoding="utf-8")
        self._spool.write(json.dumps(asdict(bad)) + "\n")
        self.rows += 1

    def sweep(self) -> None:
        """Remove rows of loads that never completed."""
        if not self._warehouse.exists(self.table):
            return
        loads = (self._target[0], LOADS_TABLE)
        done = f"SELECT load_id FROM {qualified(loads)} WHERE status = 0"
        orphans = f" AND {LOAD_ID} NOT IN ({done})" if self._warehouse.exists(loads) else ""
        place = qualified(self.table)
        self._warehouse.query(f"DELETE FROM {place} WHERE NOT is_complete{orphans}")
        self._warehouse.query(f"UPDATE {place} SET is_complete = true WHERE NOT is_complete")

    def send(self, load_id: str) -> None:
        """Write what was kept under ``load_id``, which is not complete yet."""
        if self._spool is None:
            return
        self._spool.close()
        self._spool, self._load_id = None, load_id
        self._create()
        with self._path.open(encoding="utf-8") as file:
            rows = (BadRow(**json.loads(line)) for line in file)
            while chunk := list(itertools.islice(rows, CHUNK)):
                self._insert(chunk, load_id)
        self._path.unlink()

    def settle(self, *, clears: bool = False) -> None:
        """The load has committed. Rows of earlier loads go with the rows that they were beside:
        when the table is replaced, and when ``clears``."""
        place = qualified(self.table)
        if (self._replaces or clears) and self._warehouse.exists(self.table):
            keep = "" if self._load_id is None else f" WHERE {LOAD_ID} <> %s"
            parameters = [] if self._load_id is None else [self._load_id]
            self._warehouse.query(f"DELETE FROM {place}{keep}", parameters)
        if self._load_id is not None:
            self._warehouse.query(
                f"UPDATE {place} SET is_complete = true WHERE {LOAD_ID} = %s", [self._load_id]
            )

    def _create(self) -> None:
        schema, table = quoted(self.table[0]), qualified(self.table)
        columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in _COLUMNS.items())
        self._warehouse.create(
            f"CREATE SCHEMA IF NOT EXISTS {schema}",
            f"CREATE TABLE IF NOT EXISTS {table} ({columns})",
        )
        present = self._warehouse.columns([self.table])[self.table]
        if {column.name for column in present} < _COLUMNS.keys():
            raise TerminalStepError(
                f"{'.'.join(self.table)} is not a quarantine table.",
                code="quarantine_unusable",
                hint="Rename or drop it: bad rows of this table are kept there.",
            )

    def _insert(self, rows: list[BadRow], load_id: str) -> None:
        marked = [(bad, _mark(bad)) for bad in rows]
        if self._once:
            known = self._known([mark for _, mark in marked], load_id)
            marked = list(self._unknown(marked, known))
        if not marked:
            return
        now = dt.datetime.now(dt.UTC)
        values: list[object] = []
        for bad, mark in marked:
            values += [load_id, now, bad.code, bad.reason, bad.column, bad.row, mark, False]
        place = f"({', '.join(['%s'] * len(_COLUMNS))})"
        names = ", ".join(map(quoted, _COLUMNS))
        self._warehouse.query(
            f"INSERT INTO {qualified(self.table)} ({names}) VALUES "
            f"{', '.join([place] * len(marked))}",
            values,
        )

    def _known(self, marks: list[str], load_id: str) -> Counter[str]:
        """How often rows with these marks were kept by earlier loads."""
        wanted = sorted(set(marks))
        rows = self._warehouse.query(
            f"SELECT row_hash, count(*) FROM {qualified(self.table)} WHERE {LOAD_ID} <> %s "
            f"AND row_hash IN ({', '.join(['%s'] * len(wanted))}) GROUP BY row_hash",
            [load_id, *wanted],
        )
        return Counter({mark: int(count) for mark, count in rows})

    def _unknown(
        self, marked: list[tuple[BadRow, str]], known: Counter[str]
    ) -> Iterator[tuple[BadRow, str]]:
        for bad, mark in marked:
            if self._skipped[mark] < known[mark]:
                self._skipped[mark] += 1
            else:
                yield bad, mark


def _mark(bad: BadRow) -> str:
    text = f"{bad.code}\0{bad.column}\0{bad.row}"
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()
