"""What goes into the transaction that moves rows from staging into their table.

dlt writes that transaction as a list of statements. A full refresh and the repetition of an
interval put theirs in front, so that no reader ever sees the table without the rows that are being
replaced, and a killed load leaves what was there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from datanika.contracts.enums import WriteDisposition
from datanika.contracts.overrides import Interval
from datanika.contracts.spec import TableSpec
from datanika.engines.dlt_engine.by_key import ByKey
from datanika.engines.warehouse.base import LOAD_ID, LOADS_TABLE, Table, qualified, quoted
from datanika.errors import TerminalStepError

Statements = Callable[[str], list[str]]
"""``(staging table as SQL) -> statements``; none may hold a semicolon or a line break."""


class MoveFromStaging:
    """The statements of one table's load; ``happened`` once dlt has asked for them.

    dlt moves nothing where a source gave no row at all: then the caller has to run them.
    """

    def __init__(self) -> None:
        self._statements: Statements | None = None
        self._deletes: Statements | None = None
        self._merge: ByKey | None = None
        self.happened = True

    @property
    def replaces(self) -> bool:
        """Whether rows that were there before go."""
        return self._statements is not None

    def use(self, statements: Statements) -> None:
        """Put these in front."""
        self._statements, self.happened = statements, False

    def also(self, deletes: Statements) -> None:
        """Put these after those; they are about staged rows, so without any there is no need."""
        self._deletes = deletes

    def merge_by(self, merge: ByKey) -> None:
        """Let ``merge`` have its own statements in the place of dlt's."""
        self._merge = merge
        if merge.needs_no_row:
            self.happened = False

    @property
    def placed(self) -> int | None:
        """How many rows the table is to have under this load, where that is known."""
        return self._merge.placed if self._merge is not None else None

    def merged(self, staging: str, columns: Sequence[str]) -> list[str] | None:
        """The statements of the merge; None: dlt's are right."""
        return self._merge.statements(staging, columns) if self._merge is not None else None

    def without_rows(self, staging: str) -> list[str]:
        """Every statement, where dlt had no row to move."""
        found = self.statements(staging) if self._statements is not None else []
        return [*found, *(self._merge.without_rows() if self._merge is not None else [])]

    def statements(self, staging: str) -> list[str]:
        """To put in front of dlt's own."""
        self.happened = True
        both = (self._statements, self._deletes)
        return [sql for make in both if make is not None for sql in make(staging)]


def moving_client(client: type[Any], move: MoveFromStaging) -> type[Any]:
    """dlt's job client of a destination, with ``move`` in its merges."""
    from dlt.destinations.sql_jobs import SqlMergeFollowupJob

    class MergeJob(SqlMergeFollowupJob):
        @classmethod
        def generate_sql(cls, table_chain: Any, sql_client: Any) -> list[str]:
            with sql_client.with_staging_dataset():
                staging = sql_client.make_qualified_table_name(table_chain[0]["name"])
            merged = move.merged(staging, list(table_chain[0]["columns"]))
            if merged is None:
                merged = super().generate_sql(table_chain, sql_client)
            return move.statements(staging) + merged

    class MovingClient(client):
        def _create_merge_followup_jobs(self, table_chain: Any) -> list[Any]:
            return [MergeJob.from_table_chain(table_chain, self.sql_client)]

    MovingClient.__name__ = client.__name__
    return MovingClient


def refresh(table: Table, pipeline: str, state_table: Table | None) -> Statements:
    """Every row goes, and the cursor of ``pipeline`` with them.

    A load that is killed after this transaction and before dlt's own entry is swept by the next
    one: without a cursor that one reads everything again.
    """

    def statements(staging: str) -> list[str]:
        found = [f"DELETE FROM {qualified(table)}"]
        if state_table is not None:
            found.append(
                f"DELETE FROM {qualified(state_table)} WHERE pipeline_name = '{pipeline}' "
                f"AND {LOAD_ID} NOT IN (SELECT {LOAD_ID} FROM {staging})"
            )
        return found

    return statements


def repeat_interval(
    table: Table, column: str, data_type: str, interval: Interval, schema: str, version: str
) -> Statements:
    """Rows of ``interval`` go before they come again, so that none is there twice.

    ``column``, of ``data_type`` at the destination, holds the cursor. The load is entered as
    completed at once: the next one must not sweep its rows, because no cursor would bring them
    back. ``schema`` and ``version`` are dlt's. Raises :class:`TerminalStepError`.
    """
    condition = interval_condition(column, data_type, interval)

    def statements(staging: str) -> list[str]:
        return [
            f"DELETE FROM {qualified(table)} WHERE {condition}",
            f"INSERT INTO {qualified((table[0], LOADS_TABLE))} "
            "(load_id, schema_name, status, inserted_at, schema_version_hash) "
            f"SELECT DISTINCT {LOAD_ID}, '{schema}', 0, current_timestamp, '{version}' "
            f"FROM {staging}",
        ]

    return statements


def interval_condition(column: str, data_type: str, interval: Interval) -> str:
    """SQL: whether ``column``, of ``data_type`` at the destination, is inside of ``interval``.

    Raises :class:`TerminalStepError` ``interval_not_time``.
    """
    value, suffix = _as_moment(quoted(column), data_type, column)
    start, end = (
        f"{'TIMESTAMPTZ' if suffix else 'TIMESTAMP'} '{_utc_text(moment)}{suffix}'"
        for moment in (interval.start, interval.end)
    )
    return f"{value} >= {start} AND {value} < {end}"


def _utc_text(moment: Any) -> str:
    import datetime as dt

    return str(moment.astimezone(dt.UTC).replace(tzinfo=None).isoformat(" "))


def _as_moment(expression: str, data_type: str, column: str) -> tuple[str, str]:
    """(SQL that can be compared, zone of the literals to compare it with)"""
    kind = data_type.lower()
    if kind == "timestamp with time zone":
        return expression, "+00"
    if kind.startswith("timestamp"):
        return expression, ""
    if kind == "date":
        return f"CAST({expression} AS timestamp)", ""
    if kind in ("text", "varchar", "character varying"):
        return f"CAST({expression} AS timestamptz)", "+00"
    raise not_a_time(column)


def check_loaded(table: TableSpec, node: str) -> None:
    """An interval may not be appended where no cursor is stored yet: the next run would load
    everything, and these rows would be there twice. Raises :class:`TerminalStepError`."""
    if table.write_disposition is WriteDisposition.APPEND:
        raise TerminalStepError(
            f"{node} has never been loaded by its cursor.",
            code="backfill_before_load",
            hint="Run the pipeline once, then backfill what lies before its initial_value.",
        )


def not_a_time(column: str) -> TerminalStepError:
    """The cursor cannot be compared with the bounds of an interval."""
    return TerminalStepError(
        f"The cursor column {column!r} holds no times, so no interval of it can be loaded.",
        code="interval_not_time",
        hint="Backfill by a cursor on a timestamp or a date; choose the steps that have one.",
    )
