"""A load step whose tables follow their source, run again and again, and what to compare."""

from __future__ import annotations

import random
from typing import Any

import psycopg2.errors

from datanika.contracts.spec import TableSpec
from datanika.contracts.steps import ResolvedConnection, ResolvedLoad
from tests.support.postgres import Warehouse
from tests.test_engines import steps
from tests.test_engines.steps import Outcome, load, run
from tests.test_engines.targets import Target


class Synced:
    """A step from ``source`` to ``target``; each sync is a run."""

    def __init__(self, source: Warehouse, target: Target, *tables: TableSpec) -> None:
        self.source, self.target, self.tables = source, target, tables
        self.runs = 0

    def step(self, **more: Any) -> ResolvedLoad:
        """The next run."""
        self.runs += 1
        connection: ResolvedConnection = steps.postgres(self.source.config, 1)
        step = load(connection, self.target.connection, *self.tables, run_id=self.runs)
        return step.model_copy(update=more)

    def sync(self, **more: Any) -> Outcome:
        return run(self.step(**more))

    def synced(self, **more: Any) -> Outcome:
        """A run that has to succeed."""
        out = self.sync(**more)
        assert out.code is None, out.finished.failure
        return out

    def rows(self, columns: str = "*", where: str = "", table: str = "t") -> list[tuple[Any, ...]]:
        """Of the destination."""
        return self.target.query(f"SELECT {columns} FROM raw.{table} {where} ORDER BY 1")

    def there(self, columns: str = "*", where: str = "", table: str = "t") -> list[tuple[Any, ...]]:
        """Of the source."""
        return self.source.query(f"SELECT {columns} FROM {table} {where} ORDER BY 1")

    @property
    def slots(self) -> list[tuple[Any, ...]]:
        """(name, confirmed) of the source's slots."""
        return self.source.query(
            "SELECT slot_name, confirmed_flush_lsn::text FROM pg_replication_slots "
            "WHERE database = current_database()"
        )


class Changer:
    """Changes the table ``t`` by chance; the same ``seed``, the same changes."""

    CREATE = (
        "CREATE TABLE t (id int PRIMARY KEY, n numeric, s text, big text, j jsonb, a int[], "
        "at timestamptz)"
    )
    COLUMNS = "id, n::text, s, big, j::text, a::text, at::text"

    def __init__(self, source: Warehouse, seed: object) -> None:
        self._source, self._chance = source, random.Random(f"changes {seed}")
        source.query(self.CREATE)
        source.query("ALTER TABLE t ALTER big SET STORAGE EXTERNAL")

    def work(self, transactions: int) -> None:
        """Several transactions, some of which are rolled back as a whole or in part."""
        connection = self._source.connect()
        try:
            with connection.cursor() as cursor:
                for _ in range(transactions):
                    for _ in range(self._chance.randint(1, 12)):
                        self._statement(cursor)
                    if self._chance.random() < 0.15:
                        connection.rollback()
                    else:
                        connection.commit()
        finally:
            connection.close()

    def _statement(self, cursor: Any) -> None:
        cursor.execute("SAVEPOINT one")
        try:
            cursor.execute(*self._change())
        except psycopg2.errors.UniqueViolation:
            cursor.execute("ROLLBACK TO SAVEPOINT one")
        else:
            if self._chance.random() < 0.1:
                cursor.execute("ROLLBACK TO SAVEPOINT one")
        cursor.execute("RELEASE SAVEPOINT one")

    def _change(self) -> tuple[str, list[Any]]:
        chance = self._chance
        key, other = chance.randint(1, 40), chance.randint(1, 40)
        text = chance.choice(["", " ", 'a,"b"\n\\N\t\'', "\\.", None, "é😀", str(key)])
        number = chance.choice(["NaN", "0.10", "-12345678901234567890.5", None])
        big = chance.choice(["x", "yz"]) * chance.choice([1, 2500, 30_000])
        kind = chance.random()
        if kind < 0.35:
            return (
                "INSERT INTO t VALUES (%s, %s, %s, %s, %s, %s, now())",
                [key, number, text, big, f'{{"k": {other}, "t": null}}', [other, None]],
            )
        if kind < 0.6:
            return "UPDATE t SET s = %s, n = %s WHERE id = %s", [text, number, key]
        if kind < 0.7:
            return "UPDATE t SET big = %s WHERE id BETWEEN %s AND %s", [big, key, key + 3]
        if kind < 0.82:
            return "UPDATE t SET id = %s, s = coalesce(%s, s) WHERE id = %s", [other, text, key]
        if kind < 0.97:
            return "DELETE FROM t WHERE id = %s", [key]
        if kind < 0.985:
            return "TRUNCATE t", []
        return "UPDATE t SET a = a || %s, j = NULL", [key]
