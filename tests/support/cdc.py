"""A load step whose tables follow their source, run again and again, and what to compare."""

from __future__ import annotations

from typing import Any

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
