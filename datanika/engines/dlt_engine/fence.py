"""What keeps a load from writing after it lost its lock: its process was stopped, or is dead and
the server still runs its last statement.

Each session of a load is called after the session that holds the locks. A new session whose holder
is gone writes nothing, and whoever takes the locks next ends the sessions that are left
(``warehouse/postgres.py``).
"""

from __future__ import annotations

from functools import cache
from typing import Any

from datanika.errors import TerminalStepError

_HOLDER_LIVES = (
    "SELECT count(*) FROM pg_catalog.pg_stat_activity AS holder "
    "WHERE pg_catalog.current_setting('application_name') = "
    "holder.application_name || '-lock-' || holder.pid"
)


def check_holder(cursor: Any) -> None:
    """Raises :class:`TerminalStepError` ``superseded`` in a session whose holder is gone."""
    cursor.execute(_HOLDER_LIVES)
    if not cursor.fetchone()[0]:
        raise TerminalStepError(
            "This load lost its lock on the table, and writes nothing any more.",
            code="superseded",
            hint="Another attempt loads the table.",
        )


@cache
def fenced_sql_client() -> type[Any]:
    """dlt's SQL client whose every connection is checked; dlt is imported when asked for."""
    from dlt.destinations.impl.postgres.sql_client import Psycopg2SqlClient

    class FencedSqlClient(Psycopg2SqlClient):
        def open_connection(self) -> Any:
            connection = super().open_connection()
            try:
                with connection.cursor() as cursor:
                    check_holder(cursor)
            except BaseException:
                self.close_connection()
                raise
            return connection

    return FencedSqlClient
