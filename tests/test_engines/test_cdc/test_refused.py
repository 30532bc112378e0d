"""What keeps a table from being followed is said with a code and a way out."""

from __future__ import annotations

from pathlib import Path

import psycopg2.errors
import pytest
from psycopg2.extras import LogicalReplicationConnection

from datanika.engines.dlt_engine.cdc import slot
from datanika.runtime import databases
from tests.support.cdc import Synced
from tests.support.postgres import PostgresServer, Warehouse
from tests.test_engines import steps
from tests.test_engines.steps import changes
from tests.test_engines.targets import Target, ask_duckdb


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(steps.duckdb(tmp_path), ask_duckdb(tmp_path))


@pytest.fixture
def one(source: Warehouse, target: Target) -> Synced:
    source.query("CREATE TABLE t (id int PRIMARY KEY)")
    source.query("INSERT INTO t VALUES (1)")
    return Synced(source, target, changes("t"))


def hint(out: object) -> str:
    return str(out.finished.failure.hint)  # type: ignore[attr-defined]


def test_a_role_without_rights_gets_the_statements_for_its_administrator(
    postgres_server: PostgresServer, one: Synced
) -> None:
    user = one.source.user
    with databases.cursor(postgres_server.admin_url) as cur:
        cur.execute(f'ALTER ROLE "{user}" NOREPLICATION')
    out = one.sync()
    assert out.code == "cdc_no_privilege"
    assert f'ALTER ROLE "{user}" REPLICATION;' in hint(out)
    admin = postgres_server.cluster.url("x", "x", one.source.database)
    own = postgres_server.admin_url.rsplit("/", 1)[0] + "/" + admin.rsplit("/", 1)[1]
    with databases.cursor(postgres_server.admin_url) as cur:
        cur.execute(f'ALTER ROLE "{user}" REPLICATION')
    with databases.cursor(own) as cur:
        cur.execute("CREATE SCHEMA theirs")
        cur.execute("CREATE TABLE theirs.u (id int PRIMARY KEY)")
        cur.execute("INSERT INTO theirs.u VALUES (1)")
        cur.execute(f'GRANT USAGE ON SCHEMA theirs TO "{user}"')
        cur.execute(f'GRANT SELECT ON theirs.u TO "{user}"')
    one.tables = (changes("theirs.u", "t"),)
    out = one.sync()
    assert out.code == "cdc_no_privilege"
    statement = hint(out).partition("runs: ")[2]
    with databases.cursor(own) as cur:
        cur.execute(statement)
    one.synced()
    assert one.rows("id") == [(1,)]


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("ALTER TABLE t DROP CONSTRAINT t_pkey", "cdc_no_identity"),
        ("ALTER TABLE t REPLICA IDENTITY NOTHING", "cdc_no_identity"),
        ("ALTER TABLE t SET UNLOGGED", "cdc_table_unfit"),
        ("ALTER TABLE t RENAME TO other", "table_missing"),
    ],
)
def test_a_table_that_cannot_be_followed_is_refused(one: Synced, statement: str, code: str) -> None:
    one.source.query("CREATE TABLE u (id int PRIMARY KEY)")
    one.tables = (changes("t"), changes("u"))
    one.source.query(statement)
    out = one.sync()
    assert out.code == code
    # The others are.
    assert out.nodes["u"].state == "succeeded"
    assert one.rows("count(*)", table="u") == [(0,)]


def test_a_slot_that_is_lost_is_told_and_a_full_refresh_makes_it_again(one: Synced) -> None:
    one.synced()
    [(name, _)] = one.slots
    one.source.query("SELECT pg_drop_replication_slot(%s)", (name,))
    one.source.query("INSERT INTO t VALUES (2)")
    out = one.sync()
    assert out.code == "cdc_slot_lost"
    assert "full refresh" in hint(out)
    assert one.rows("id") == [(1,)]
    one.synced(full_refresh=True)
    assert one.rows("id") == [(1,), (2,)]
    # So is one that somebody else has read.
    one.source.query("SET synchronous_commit = local; INSERT INTO t VALUES (3)")
    one.source.query("SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())", (name,))
    assert one.sync().code == "cdc_slot_lost"
    one.synced(full_refresh=True)
    one.source.query(f'DROP PUBLICATION "{name}"')
    assert one.sync().code == "cdc_slot_lost"
    one.synced(full_refresh=True)
    assert one.rows("id") == [(1,), (2,), (3,)]


def test_a_slot_of_another_database_is_left_alone(
    one: Synced, warehouses: tuple[Warehouse, Warehouse], postgres_server: PostgresServer
) -> None:
    one.synced()
    other = warehouses[1]
    with databases.cursor(postgres_server.admin_url) as cur:
        cur.execute(f'ALTER ROLE "{other.user}" REPLICATION')
    other.query("CREATE TABLE t (id int PRIMARY KEY)")
    one.source = other
    assert one.sync().code == "cdc_slot_taken"


def test_marked_rows_are_not_forgotten_without_a_word(one: Synced) -> None:
    one.tables = (changes("t", deletes="soft"),)
    one.source.query("ALTER TABLE t ADD v int")
    one.synced()
    one.source.query("DELETE FROM t")
    one.synced()
    one.source.query("ALTER TABLE t RENAME v TO w")
    assert one.sync().code == "cdc_resync_needed"
    assert one.rows("id") == [(1,)]
    one.synced(full_refresh=True)
    assert one.rows("id") == []
    one.source.query("ALTER TABLE t ADD _deleted_at timestamptz")
    assert one.sync().code == "column_reserved"


def test_a_server_without_a_logical_log_is_told_apart(
    one: Synced, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its setting needs a restart, so another one is asked for here."""
    from datanika.engines.dlt_engine.direct.session import Session

    ask = Session.run

    def run(self: Session, sql: str, parameters: object = None) -> list[tuple[object, ...]]:
        rows = ask(self, sql, parameters)  # type: ignore[arg-type]
        return [("replica", *rows[0][1:])] if "'wal_level'" in sql else rows

    monkeypatch.setattr(Session, "run", run)
    out = one.sync()
    assert out.code == "cdc_not_enabled"
    assert "ALTER SYSTEM SET wal_level = 'logical'" in hint(out)


def test_a_slot_that_somebody_else_reads_is_tried_again_later(
    one: Synced, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slot, "BUSY_SECONDS", 0.5)
    one.synced()
    [(name, _)] = one.slots
    reader = psycopg2.connect(one.source.url, connection_factory=LogicalReplicationConnection)
    try:
        with reader.cursor() as cursor:
            cursor.start_replication_expert(
                f"START_REPLICATION SLOT {name} LOGICAL 0/0 "
                f"(proto_version '1', publication_names '{name}')"
            )
            out = one.sync()
    finally:
        reader.close()
    assert out.code == "cdc_slot_busy"
    assert out.finished.failure is not None and out.finished.failure.transient
    one.synced()


def test_a_server_without_a_free_slot_is_told(one: Synced) -> None:
    taken = []
    try:
        with pytest.raises(psycopg2.errors.ConfigurationLimitExceeded):
            while True:
                name = f"taken_{len(taken)}"
                one.source.query("SELECT pg_create_physical_replication_slot(%s)", (name,))
                taken.append(name)
        out = one.sync()
        assert out.code == "cdc_no_slots"
        # Of two that are needed to begin a table, there is one.
        one.source.query("SELECT pg_drop_replication_slot(%s)", (taken.pop(),))
        assert one.sync().code == "cdc_no_slots"
    finally:
        for name in taken:
            one.source.query("SELECT pg_drop_replication_slot(%s)", (name,))
    one.synced()
