"""Sessions to PostgreSQL that carry a load: one that reads, one that writes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from datanika.engines.connectors.postgres import PostgresTarget
from datanika.engines.dlt_engine.fence import check_holder
from datanika.engines.warehouse.postgres import connect

_SETTINGS = (
    "SET client_encoding = 'UTF8'; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; "
    "SET extra_float_digits = 1; SET bytea_output = 'hex'; SET statement_timeout = 0"
)
"""Values are compared by their text, so their text must not depend on a server's settings."""


class Session:
    """A psycopg2 connection with short names. ``%`` in SQL is itself unless there are
    parameters."""

    def __init__(self, target: PostgresTarget, application_name: str) -> None:
        self.connection = connect(target, application_name)
        try:
            self.run(_SETTINGS)
        except BaseException:
            self.connection.close()
            raise

    def run(self, sql: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of one statement, if it gives any."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return list(cursor.fetchall()) if cursor.description else []

    def count(self, sql: str) -> int:
        """How many rows a statement changed."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return int(cursor.rowcount)

    def lock(self, key: int) -> None:
        """Hold the advisory lock ``key``."""
        self.run("SELECT pg_advisory_lock(%s)", [key])

    def unlock(self, key: int) -> None:
        """A lost session has lost its locks, and the error that is on its way says more."""
        if not self.connection.closed:
            self.run("SELECT pg_advisory_unlock(%s)", [key])

    def close(self) -> None:
        """End it; what was not committed is undone."""
        self.connection.close()


@contextlib.contextmanager
def reading(target: PostgresTarget, application_name: str) -> Iterator[Session]:
    """One snapshot of a source: what is counted is what is read."""
    session = Session(target, application_name)
    try:
        session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield session
    finally:
        session.close()


@contextlib.contextmanager
def writing(target: PostgresTarget, application_name: str) -> Iterator[Session]:
    """A session under the locks of the warehouse whose session ``application_name`` names.

    Raises :class:`TerminalStepError` ``superseded`` when these are lost.
    """
    session = Session(target, application_name)
    try:
        check(session)
        yield session
    finally:
        session.close()


def check(session: Session) -> None:
    """Raises :class:`TerminalStepError` ``superseded`` when the load has lost its locks."""
    with session.connection.cursor() as cursor:
        check_holder(cursor)
