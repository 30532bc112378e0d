"""A load step's replication slot and publication at its source: made, checked, read, let go.

Both are called the same and belong to one step of one pipeline of one organisation. The slot is
read by SQL functions over an ordinary connection, not by the streaming protocol: nothing is
confirmed by reading, so the slot stands still until the destination has committed, and poolers and
the egress guard see a connection like any other. The protocol is used once a table, to begin it:
only its temporary slots give a snapshot that says where in the log it is.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from datanika.engines.connectors.postgres import PostgresTarget
from datanika.engines.dlt_engine.cdc.pgoutput import lsn_of, lsn_text
from datanika.engines.dlt_engine.direct.session import Session
from datanika.engines.warehouse.base import Table, qualified, quoted
from datanika.engines.warehouse.postgres import connect_replication
from datanika.errors import TerminalStepError, TransientStepError

BUSY_SECONDS = 30.0
"""How long a reader of the slot that was killed may take to go."""
_STATE = (
    "SELECT s.database, s.plugin, s.wal_status, s.active_pid, "
    "s.confirmed_flush_lsn::text, pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), "
    "s.restart_lsn)::bigint, s.safe_wal_size, to_jsonb(s) ->> 'invalidation_reason' "
    "FROM pg_catalog.pg_replication_slots s WHERE s.slot_name = %s"
)


@dataclass(frozen=True)
class SlotState:
    """``confirmed``: changes before it are gone from the slot. ``retained_bytes``: of the log that
    the server keeps for it; ``safe_bytes``: how much may come until the server gives it up (None:
    it never does)."""

    confirmed: int
    status: str
    retained_bytes: int | None
    safe_bytes: int | None


class Slot:
    """``session`` is to the source, in autocommit mode."""

    def __init__(self, name: str, session: Session, target: PostgresTarget) -> None:
        self.name, self._session, self._target = name, session, target
        self._user = target.config.user

    # What the server and the role must allow

    def check_server(self) -> None:
        """Raises :class:`TerminalStepError` ``cdc_not_enabled``, ``cdc_no_privilege``."""
        [(level, standby, version)] = self._session.run(
            "SELECT current_setting('wal_level'), pg_catalog.pg_is_in_recovery(), "
            "current_setting('server_version_num')::int"
        )
        if standby or version < 130000:
            raise TerminalStepError(
                "Changes can be read from a primary of PostgreSQL 13 or later only.",
                code="cdc_not_enabled",
                hint="Connect to the primary, or load the table by queries.",
            )
        if level != "logical":
            raise TerminalStepError(
                f"The source's server writes a log of the level {level!r}, from which no changes "
                "can be read.",
                code="cdc_not_enabled",
                hint="An administrator runs: ALTER SYSTEM SET wal_level = 'logical'; and restarts "
                "the server. Managed services have a setting for it, such as "
                "rds.logical_replication.",
            )
        [(able,)] = self._session.run(
            "SELECT rolreplication OR rolsuper OR EXISTS (SELECT FROM pg_catalog.pg_roles r "
            "WHERE r.rolname IN ('rds_replication', 'cloudsqlsuperuser') "
            "AND pg_catalog.pg_has_role(current_user, r.oid, 'USAGE')) "
            "FROM pg_catalog.pg_roles WHERE rolname = current_user"
        )
        if not able:
            raise self._no_privilege(
                f"The role {self._user!r} may not read the server's log.",
                f"ALTER ROLE {quoted(self._user)} REPLICATION;",
            )

    def _no_privilege(self, message: str, sql: str) -> TerminalStepError:
        return TerminalStepError(
            message, code="cdc_no_privilege", hint=f"An administrator runs: {sql}"
        )

    # Publication

    def published(self) -> set[int] | None:
        """OIDs of the publication's tables; None: there is no publication."""
        if not self._session.run(
            "SELECT 1 FROM pg_catalog.pg_publication WHERE pubname = %s", [self.name]
        ):
            return None
        rows = self._session.run(
            "SELECT r.prrelid FROM pg_catalog.pg_publication_rel r "
            "JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid WHERE p.pubname = %s "
            "UNION SELECT to_regclass(quote_ident(schemaname) || '.' || quote_ident(tablename)) "
            "FROM pg_catalog.pg_publication_tables WHERE pubname = %s",
            [self.name, self.name],
        )
        return {int(oid) for (oid,) in rows}

    def publish(self, tables: Sequence[Table], *, exists: bool) -> None:
        """Put ``tables`` into the publication. Raises ``cdc_no_privilege``."""
        if not tables and exists:
            return
        listed = ", ".join(f"TABLE ONLY {qualified(one)}" for one in tables)
        if exists:
            sql = f"ALTER PUBLICATION {quoted(self.name)} ADD {listed}"
        else:
            sql = (
                f"CREATE PUBLICATION {quoted(self.name)} FOR {listed} "
                f"WITH ({self._publication_options()})"
            )
        self._own(sql, "publish changes of these tables")

    def _publication_options(self) -> str:
        options = "publish_via_partition_root = true"
        if self._session.connection.server_version >= 180000:
            options += ", publish_generated_columns = 'stored'"
        return options

    def unpublish(self, oids: Sequence[int]) -> None:
        """Take tables out of the publication; what is not ours to change stays."""
        import psycopg2.errors

        for oid in oids:
            rows = self._session.run(
                "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c "
                "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %s",
                [oid],
            )
            for schema, name in rows:
                try:
                    self._session.run(
                        f"ALTER PUBLICATION {quoted(self.name)} DROP TABLE ONLY "
                        f"{qualified((schema, name))}"
                    )
                except psycopg2.errors.InsufficientPrivilege:
                    return

    def _own(self, sql: str, what: str) -> None:
        import psycopg2.errors

        try:
            self._session.run(sql)
        except psycopg2.errors.InsufficientPrivilege:
            raise self._no_privilege(
                f"The role {self._user!r} may not {what}.", f"{sql};"
            ) from None

    # Slot

    def state(self) -> SlotState | None:
        """None: there is no slot. Raises ``cdc_slot_taken`` for one that is somebody else's."""
        rows = self._session.run(_STATE, [self.name])
        if not rows:
            return None
        database, plugin, status, _, confirmed, retained, safe, invalid = rows[0]
        if database != self._target.config.database or plugin != "pgoutput":
            raise TerminalStepError(
                f"The replication slot {self.name!r} is of the database {database!r}.",
                code="cdc_slot_taken",
                hint="The step read another database before. If that is over, an administrator "
                f"runs there: SELECT pg_drop_replication_slot('{self.name}');",
            )
        lost = status == "lost" or invalid is not None or confirmed is None
        return SlotState(
            confirmed=lsn_of(confirmed) if confirmed else 0,
            status="lost" if lost else str(status or "reserved"),
            retained_bytes=None if retained is None else int(retained),
            safe_bytes=None if safe is None else int(safe),
        )

    def create(self) -> None:
        """Waits for the transactions that are open at the source."""
        import psycopg2.errors

        try:
            self._session.run(
                "SELECT pg_catalog.pg_create_logical_replication_slot(%s, 'pgoutput')", [self.name]
            )
        except psycopg2.errors.InsufficientPrivilege:
            sql = f"ALTER ROLE {quoted(self._user)} REPLICATION;"
            raise self._no_privilege(
                f"The role {self._user!r} may not make a replication slot.", sql
            ) from None
        except psycopg2.errors.ConfigurationLimitExceeded:
            raise self._no_slots() from None

    def drop(self) -> None:
        """End the slot and its readers: the server keeps no log for it any more."""

        def drop() -> None:
            self._session.run("SELECT pg_catalog.pg_drop_replication_slot(%s)", [self.name])

        self._when_free(drop)

    def drop_publication(self) -> None:
        """A publication that another role made stays."""
        import psycopg2.errors

        try:
            self._session.run(f"DROP PUBLICATION IF EXISTS {quoted(self.name)}")
        except psycopg2.errors.InsufficientPrivilege:
            return

    def end_of_log(self) -> int:
        """A place after every change that has been committed, and between two of them.

        A message of our own goes into the log and is flushed: what is asynchronously committed
        before it is flushed with it, and its end cannot be inside of another entry.
        """
        self._session.run("SET synchronous_commit = 'local'")
        [(text,)] = self._session.run(
            "SELECT pg_catalog.pg_logical_emit_message(true, 'datanika', '')::text"
        )
        return lsn_of(text)

    def peek(self, end: int, each: Any) -> None:
        """Give every message whose commit is before ``end`` (and maybe some later ones) to
        ``each``; the slot stays where it is."""
        copy = (
            "COPY (SELECT data FROM pg_catalog.pg_logical_slot_peek_binary_changes("
            f"'{self.name}', '{lsn_text(end)}', NULL, 'proto_version', '1', "
            f"'publication_names', '{self.name}')) TO STDOUT (FORMAT binary)"
        )

        def read() -> None:
            with self._session.connection.cursor() as cursor:
                cursor.copy_expert(copy, _Rows(each), size=256 * 1024)

        self._when_free(read)

    def advance(self, lsn: int) -> None:
        """Let go of the changes before ``lsn``."""
        self._when_free(
            lambda: self._session.run(
                "SELECT pg_catalog.pg_replication_slot_advance(%s, %s::pg_lsn)",
                [self.name, lsn_text(lsn)],
            )
        )

    def _when_free(self, work: Any) -> None:
        import psycopg2.errors

        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                work()
                return
            except psycopg2.errors.ObjectInUse:
                if time.monotonic() >= deadline:
                    raise TransientStepError(
                        f"Somebody else reads the replication slot {self.name!r}.",
                        code="cdc_slot_busy",
                        hint="Only its pipeline may read it; see active_pid in "
                        "pg_replication_slots.",
                    ) from None
                time.sleep(0.2)

    @contextmanager
    def snapshot(self, application_name: str) -> Iterator[tuple[str, int]]:
        """(its name, for SET TRANSACTION SNAPSHOT; its place in the log): it has exactly the
        transactions whose commit is before that place. Waits for open transactions."""
        import psycopg2.errors

        connection = connect_replication(self._target, application_name)
        try:
            with connection.cursor() as cursor:
                # One of a run that was killed may be there for a moment.
                name = f"{self.name[:50]}_{secrets.token_hex(4)}"
                try:
                    cursor.execute(
                        f"CREATE_REPLICATION_SLOT {quoted(name)} TEMPORARY LOGICAL pgoutput "
                        "EXPORT_SNAPSHOT"
                    )
                except psycopg2.errors.ConfigurationLimitExceeded:
                    raise self._no_slots() from None
                _, point, snapshot, _ = cursor.fetchone()
            yield str(snapshot), lsn_of(point)
        finally:
            connection.close()

    def _no_slots(self) -> TerminalStepError:
        return TerminalStepError(
            "All replication slots of the source's server are in use.",
            code="cdc_no_slots",
            hint="Each load step needs one, and one more while a table is begun. An administrator "
            "raises max_replication_slots, or drops slots that nobody reads.",
        )


class _Rows:
    """What psycopg2 writes a binary COPY of one bytea column into: one call a row."""

    def __init__(self, each: Any) -> None:
        self._each = each
        self._begun = False

    def write(self, data: bytes) -> int:
        at = 0
        if not self._begun:
            self._begun = True
            at = 19
        # One field, whose length follows; -1 is the end.
        if data[at : at + 2] == b"\x00\x01":
            size = int.from_bytes(data[at + 2 : at + 6], "big")
            if at + 6 + size != len(data):
                raise ValueError("A row of COPY came in pieces.")
            self._each(data[at + 6 :])
        return len(data)
