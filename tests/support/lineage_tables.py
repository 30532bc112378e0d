"""Small tables of the schema ``raw`` for lineage, and what a change of one column does to a query.

Domains are small, so that joins match and groups have several rows. What is random comes from a
seed.
"""

from __future__ import annotations

import datetime as dt
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

Rows = list[tuple[Any, ...]]
Value = Callable[[random.Random], Any]


def _number(most: int) -> Value:
    return lambda r: r.randint(1, most)


def _one_of(*values: str) -> Value:
    return lambda r: r.choice(values)


def _moment(r: random.Random) -> dt.datetime:
    return dt.datetime(2024, 1, 1) + dt.timedelta(days=r.randint(0, 400))


def _tags(r: random.Random) -> list[str]:
    return [r.choice("xyz") for _ in range(r.randint(1, 3))]


def _json(r: random.Random) -> str:
    return json.dumps({r.choice("abkl"): str(r.randint(1, 5))})


def _address(r: random.Random) -> dict[str, str]:
    return {"city": r.choice(["Athens", "Riga"]), "zip": str(r.randint(1, 3))}


COLUMNS: dict[str, dict[str, tuple[str, Value]]] = {
    "orders": {
        "id": ("integer", _number(6)),
        "customer_id": ("integer", _number(4)),
        "amount": ("integer", _number(9)),
        "status": ("text", _one_of("a", "b", "c")),
        "created_at": ("timestamp", _moment),
        "tags": ("text[]", _tags),
        "meta": ("json", _json),
    },
    "customers": {
        "id": ("integer", _number(4)),
        "name": ("text", _one_of("a", "b", "d", "e")),
        "country": ("text", _one_of("x", "y", "z")),
        "email": ("text", _one_of("p", "q")),
    },
    "contacts": {
        "id": ("integer", _number(4)),
        "email": ("text", _one_of("p", "q")),
        "phone": ("text", _one_of("1", "2", "3")),
    },
    "items": {
        "order_id": ("integer", _number(6)),
        "sku": ("text", _one_of("a", "b", "s", "t")),
        "qty": ("integer", _number(5)),
        "price": ("integer", _number(9)),
    },
    "regions": {
        "country": ("text", _one_of("x", "y", "z")),
        "region": ("text", _one_of("n", "s", "w")),
    },
    "Mixed": {"Id": ("integer", _number(5)), "fullName": ("text", _one_of("a", "b"))},
    "people": {
        "id": ("integer", _number(5)),
        "address": ("struct(city text, zip text)", _address),
    },
}
ROWS = 7


def tables_of(kind: str) -> list[str]:
    """The tables that a kind of database can have."""
    return [name for name in COLUMNS if name != "people" or kind == "duckdb"]


def known_columns(kind: str, *, without: Iterable[str] = ()) -> dict[str, list[str] | None]:
    """As the lineage is told of them; None for those in ``without``."""
    hidden = set(without)
    return {
        f"raw.{name}": None if name in hidden else list(COLUMNS[name]) for name in tables_of(kind)
    }


class Tables:
    """The tables in a database whose ``cursor`` has ``execute`` and ``fetchall``."""

    def __init__(self, cursor: Any, kind: str, seed: int) -> None:
        self._cursor, self.kind = cursor, kind
        self._random = random.Random(seed)
        self._mark = "?" if kind == "duckdb" else "%s"
        self.rows: dict[str, Rows] = {
            name: [
                tuple(value(self._random) for _, value in COLUMNS[name].values())
                for _ in range(ROWS)
            ]
            for name in tables_of(kind)
        }

    def create(self) -> None:
        """Make and fill them."""
        self._cursor.execute("create schema raw")
        for name, rows in self.rows.items():
            columns = ", ".join(
                f'"{column}" {self._type(kind)}' for column, (kind, _) in COLUMNS[name].items()
            )
            self._cursor.execute(f'create table raw."{name}" ({columns})')
            self._fill(name, rows)

    def _type(self, kind: str) -> str:
        return "jsonb" if kind == "json" and self.kind == "postgres" else kind

    def _fill(self, name: str, rows: Rows) -> None:
        marks = ", ".join([self._mark] * len(COLUMNS[name]))
        self._cursor.executemany(f'insert into raw."{name}" values ({marks})', rows)

    def result(self, sql: str) -> tuple[list[str], list[Counter[str]]]:
        """The names of a query's columns, and the values of each without their order."""
        self._cursor.execute(sql)
        names = [column[0] for column in self._cursor.description]
        rows = self._cursor.fetchall()
        return names, [Counter(repr(row[place]) for row in rows) for place in range(len(names))]

    def changed(self, sql: str, table: str, column: str) -> list[Counter[str]]:
        """The columns of ``sql`` with other values in one column of one table. The rows keep their
        places."""
        place = list(COLUMNS[table]).index(column)
        value = COLUMNS[table][column][1]
        rows = [
            tuple(value(self._random) if n == place else cell for n, cell in enumerate(row))
            for row in self.rows[table]
        ]
        self._cursor.execute("begin")
        try:
            self._cursor.execute(f'delete from raw."{table}"')
            self._fill(table, rows)
            return self.result(sql)[1]
        finally:
            self._cursor.execute("rollback")
