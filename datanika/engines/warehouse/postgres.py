"""PostgreSQL as a warehouse: advisory locks, and the end of sessions of earlier attempts."""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.postgres import PostgresTarget, locate
from datanika.engines.warehouse.base import Table, Warehouse, WriterId, quoted
from datanika.errors import TerminalStepError, TransientStepError

LOCK_SECONDS = 60.0
END_SECONDS = 10.0
"""How long a session that was told to end may take to roll back."""
CONNECT_SECONDS = 15
WATCH_MILLISECONDS = 1000
_WATCH = "client_connection_check_interval"
_OURS = re.compile(r"^datanika-run-(\d+)-attempt-(\d+)(?:-lock-(\d+))?$")


# Whoever may become one of these can run programs or touch files on the server (PostgreSQL's
# "Predefined Roles"); before version 16, CREATEROLE is enough to be given them.
_PRIVILEGED = """
SELECT rolname FROM pg_catalog.pg_roles
WHERE (rolsuper OR rolname IN (
        'pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files'))
    AND pg_catalog.pg_has_role(session_user, oid, 'MEMBER')
UNION ALL
SELECT 'CREATEROLE' FROM pg_catalog.pg_roles
WHERE rolname = session_user AND rolcreaterole
    AND pg_catalog.current_setting('server_version_num')::int < 160000
"""


def connect(target: PostgresTarget, application_name: str) -> Any:
    """A psycopg2 connection in autocommit mode; nothing is taken from the environment or files.

    Raises :class:`TerminalStepError` ``role_privileged`` for a role that is more than a tenant's.
    """
    connection = _opened(target, application_name)
    connection.autocommit = True
    try:
        _watch_client(connection)
        if not target.privileged_roles:
            _refuse_privileged(connection, target.config.user)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_replication(target: PostgresTarget, application_name: str) -> Any:
    """The same for replication commands, of a target that :func:`connect` has connected to."""
    from psycopg2.extras import LogicalReplicationConnection

    return _opened(target, application_name, connection_factory=LogicalReplicationConnection)


def _opened(target: PostgresTarget, application_name: str, **more: Any) -> Any:
    import psycopg2

    config = target.config
    return psycopg2.connect(
        host=config.host,
        hostaddr=target.address,
        port=config.port,
        dbname=config.database,
        user=config.user,
        password=config.password,
        sslmode=config.sslmode,
        connect_timeout=CONNECT_SECONDS,
        application_name=application_name,
        options="-c timezone=UTC",
        passfile="/dev/null",
        **more,
    )


def _watch_client(connection: Any) -> None:
    """Let the server end this session's statement when this process is gone.

    An engine is cancelled by SIGKILL, because nothing gentler ends C code that waits in libpq, or a
    process that was stopped. Its server would then run the statement to its end, commit included:
    it looks at the socket only when it has something to send. Of the ways to stop it, this one
    needs nobody to be alive, neither the engine nor the worker nor a second login, and it holds
    for a machine that burns down. PostgreSQL has it since version 14, and not on Windows.
    """
    import psycopg2

    with contextlib.suppress(psycopg2.Error), connection.cursor() as cursor:
        cursor.execute(f"SET {_WATCH} = {WATCH_MILLISECONDS}")


def watch_options(connection: Any) -> str:
    """libpq ``options`` with which other sessions to the same server are watched too."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(current_setting(%s, true), '0')", [_WATCH])
        watched = cursor.fetchone()[0] != "0"
    # An older server would refuse a session with a parameter that it does not know.
    return f"-c{_WATCH}={WATCH_MILLISECONDS}" if watched else ""


def _refuse_privileged(connection: Any, user: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_PRIVILEGED)
        found = [name for (name,) in cursor.fetchall()]
    if found:
        raise TerminalStepError(
            f"The role {user!r} could run programs or read files on its server: it is, or may "
            f"become, {', '.join(sorted(found))}.",
            code="role_privileged",
            hint="Use a role with rights on its own schemas only. An operator can allow such roles "
            "with DATANIKA_EGRESS_PRIVILEGED_ROLES.",
        )


class PostgresWarehouse(Warehouse):
    current_database = "AND table_catalog = current_database()"
    row_address = "ctid"

    def __init__(self, connection: ResolvedConnection, writer: WriterId) -> None:
        target = locate(connection)
        self._config = target.config
        self._writer = writer
        self._connection = connect(target, writer.application_name)
        self.session_options = watch_options(self._connection)

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, list(parameters) or None)
            return list(cursor.fetchall()) if cursor.description else []

    @contextlib.contextmanager
    def lock(self, tables: Sequence[Table]) -> Iterator[None]:
        """Session locks: they are gone when this process is, whatever happens to it."""
        self._end(self._of_earlier_attempts())
        deadline = time.monotonic() + LOCK_SECONDS
        held = []
        try:
            # In one order everywhere, so that two steps cannot wait for each other.
            for table in sorted(set(tables)):
                key = lock_key(self._config.database, *table)
                self._acquire(key, table, deadline)
                held.append(key)
            # Now that nobody else writes these tables: what dead writers left running.
            self._end(self._of_earlier_attempts() | self._without_holder())
            yield
        finally:
            for key in held:
                with contextlib.suppress(Exception):
                    self.query("SELECT pg_advisory_unlock(%s)", [key])

    def row_hash(self, alias: str, columns: Sequence[str], table: str) -> str:
        # As direct/history.py has it: a table may go either way.
        row = ", ".join(f"{alias}.{quoted(name)}" for name in columns)
        return f"CAST(md5(CAST(ROW({row}) AS text)) AS varchar)"

    def close(self) -> None:
        self._connection.close()

    def _acquire(self, key: int, table: Table, deadline: float) -> None:
        while not self.query("SELECT pg_try_advisory_lock(%s)", [key])[0][0]:
            if time.monotonic() >= deadline:
                raise TransientStepError(
                    f"Another run has been writing {'.'.join(table)} for over "
                    f"{LOCK_SECONDS:.0f} seconds.",
                    code="destination_busy",
                    hint="Wait for it, or let only one pipeline write this table.",
                )
            time.sleep(0.1)

    def name_of_sessions(self, writer: WriterId) -> str:
        return f"{writer.application_name}-lock-{self._connection.info.backend_pid}"

    def _sessions(self) -> dict[int, re.Match[str]]:
        """Sessions of the platform's runs in this database, by process id; ours is left out."""
        rows = self.query(
            "SELECT pid, application_name FROM pg_stat_activity "
            "WHERE datname = current_database() AND usename = current_user "
            "AND starts_with(application_name, 'datanika-run-') AND pid <> pg_backend_pid()"
        )
        return {pid: match for pid, name in rows if (match := _OURS.match(name)) is not None}

    def _of_earlier_attempts(self) -> set[int]:
        """A process that was stopped and wakes up later must find its sessions gone."""
        writer = self._writer
        return {
            pid
            for pid, match in self._sessions().items()
            if int(match[1]) == writer.run_id and int(match[2]) < writer.attempt
        }

    def _without_holder(self) -> set[int]:
        """Sessions whose holder of locks is gone: the server runs a dead process' statement to its
        end, and would commit it at any later time."""
        sessions = self._sessions()
        holders = {pid: match[0] for pid, match in sessions.items() if match[3] is None}
        holders[self._connection.info.backend_pid] = self._writer.application_name
        return {
            pid
            for pid, match in sessions.items()
            if match[3] is not None
            and holders.get(int(match[3])) != match[0].removesuffix(f"-lock-{match[3]}")
        }

    def _end(self, pids: set[int]) -> None:
        """End sessions and wait until they are gone."""
        for pid in pids:
            self.query("SELECT pg_terminate_backend(%s)", [pid])
        deadline = time.monotonic() + END_SECONDS
        while pids & self._sessions().keys() and time.monotonic() < deadline:
            time.sleep(0.05)


def lock_key(*names: str) -> int:
    """The advisory lock (PostgreSQL counts them per database) of whatever ``names`` say."""
    text = "\x00".join(("datanika", *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)
