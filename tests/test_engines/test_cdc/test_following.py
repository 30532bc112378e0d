"""A table that is synced by CDC equals its source after every run."""

from __future__ import annotations

from tests.support.cdc import Synced
from tests.support.postgres import Warehouse
from tests.test_engines.steps import changes
from tests.test_engines.targets import Target

BIG = "ALTER TABLE t ALTER big SET STORAGE EXTERNAL"


def test_inserts_updates_deletes_and_new_keys_arrive(source: Warehouse, target: Target) -> None:
    source.query("CREATE TABLE t (id int PRIMARY KEY, name text, big text)")
    source.query("INSERT INTO t SELECT i, 'row ' || i, NULL FROM generate_series(1, 5) i")
    source.query(BIG)
    source.query("UPDATE t SET big = repeat('x', 9000)")
    one = Synced(source, target, changes("t"))
    first = one.synced()
    assert first.nodes["t"].details["path"].endswith("of a snapshot, then changes (CDC)")
    assert one.rows("id, name") == [(i, f"row {i}") for i in range(1, 6)]
    source.query("DELETE FROM t WHERE id = 1")
    source.query("UPDATE t SET name = 'two' WHERE id = 2")
    source.query("UPDATE t SET id = 30 WHERE id = 3")
    source.query("INSERT INTO t VALUES (6, '', NULL), (7, NULL, E'a\"\\n\\\\,')")
    source.query("DELETE FROM t WHERE id = 6")
    second = one.synced()
    assert one.rows("id, name, big") == one.there("id, name, big")
    details = second.nodes["t"].details
    assert details["changes"] == {"inserts": 2, "updates": 2, "deletes": 2, "truncates": 0}
    assert details["verdict"] == "exact"
    assert details["slot"]["status"] == "reserved"
    third = one.synced()
    assert third.nodes["t"].rows == 0
    assert one.rows("id, name, big") == one.there("id, name, big")
    source.query("TRUNCATE t")
    source.query("INSERT INTO t VALUES (1, 'again', NULL)")
    one.synced()
    assert one.rows("id, name") == [(1, "again")]


def test_softly_deleted_rows_stay_with_their_last_values(source: Warehouse, target: Target) -> None:
    source.query("CREATE TABLE t (id int PRIMARY KEY, name text, big text)")
    source.query(BIG)
    source.query("INSERT INTO t SELECT i, 'a', repeat('x', 9000) FROM generate_series(1, 4) i")
    one = Synced(source, target, changes("t", deletes="soft"))
    one.synced()
    source.query("DELETE FROM t WHERE id = 1")
    # Came and went between two runs, with what it was last.
    source.query("INSERT INTO t VALUES (5, 'first')")
    source.query("UPDATE t SET name = 'last' WHERE id = 5")
    source.query("DELETE FROM t WHERE id = 5")
    source.query("UPDATE t SET name = 'b' WHERE id = 2")
    source.query("DELETE FROM t WHERE id = 2")
    source.query("UPDATE t SET id = 30 WHERE id = 3")
    out = one.synced()
    assert out.nodes["t"].details["verdict"] == "exact"
    marked = "id, name, length(big), _deleted_at IS NOT NULL"
    assert one.rows(marked) == [
        (1, "a", 9000, True),
        (2, "b", 9000, True),
        (3, "a", 9000, True),
        (4, "a", 9000, False),
        (5, "last", None, True),
        (30, "a", 9000, False),
    ]
    source.query("INSERT INTO t VALUES (1, 'back')")
    one.synced()
    assert one.rows("name, _deleted_at", "WHERE id = 1") == [("back", None)]
    source.query("INSERT INTO t VALUES (6, 'short')")
    source.query("TRUNCATE t")
    one.synced()
    assert one.rows("count(*)", "WHERE _deleted_at IS NULL") == [(0,)]
    assert one.rows("name", "WHERE id = 6") == [("short",)]
    # Then only what is there counts.
    one.tables = (changes("t"),)
    source.query("INSERT INTO t VALUES (7, 'x')")
    one.synced()
    assert one.rows("id") == [(7,)]


def test_columns_that_come_and_go_are_followed(source: Warehouse, target: Target) -> None:
    source.query("CREATE TABLE t (id int PRIMARY KEY, a text, b int)")
    source.query("INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2)")
    one = Synced(source, target, changes("t"))
    one.synced()
    source.query("INSERT INTO t VALUES (3, 'c', 3)")
    source.query("ALTER TABLE t ADD c int DEFAULT 7, ADD d text")
    source.query("UPDATE t SET d = 'new' WHERE id = 2")
    source.query("ALTER TABLE t DROP b")
    out = one.synced()
    assert out.nodes["t"].details["path"] == "changes from the log (CDC)"
    assert one.rows("id, a, c, d") == one.there("id, a, c, d")
    # What older rows have is not in the log: the table is read again.
    for statement, reason in {
        "ALTER TABLE t RENAME c TO e": "renamed",
        "ALTER TABLE t ALTER e TYPE bigint USING e * 10": "was integer and is bigint",
        "ALTER TABLE t ADD f float8 DEFAULT random()": "default",
    }.items():
        source.query(statement)
        out = one.synced()
        assert any(reason in line for line in said(out)), statement
        names = [
            row[0]
            for row in source.query(
                "SELECT column_name FROM information_schema.columns WHERE table_name = 't'"
            )
        ]
        assert one.rows(", ".join(names)) == one.there(", ".join(names))
    source.query("DROP TABLE t")
    source.query("CREATE TABLE t (id int PRIMARY KEY, a text)")
    source.query("INSERT INTO t VALUES (9, 'other table')")
    one.synced()
    assert one.rows("id, a") == [(9, "other table")]


def said(out: object) -> list[str]:
    return [str(event.message) for event in out.events if hasattr(event, "message")]  # type: ignore[attr-defined]


def test_a_contract_decides_about_new_columns(source: Warehouse, target: Target) -> None:
    source.query("CREATE TABLE t (id int PRIMARY KEY)")
    source.query("INSERT INTO t VALUES (1)")
    one = Synced(source, target, changes("t", schema_contract={"columns": "discard_value"}))
    one.synced()
    source.query("ALTER TABLE t ADD a int DEFAULT 5")
    source.query("INSERT INTO t VALUES (2, 6)")
    one.synced()
    assert one.rows("id") == [(1,), (2,)]
    one.tables = (changes("t", schema_contract={"columns": "freeze"}),)
    assert one.sync().code == "schema_contract_violated"
    one.tables = (changes("t"),)
    one.synced()
    assert one.rows("id, a") == [(1, 5), (2, 6)]


def test_tables_are_added_and_taken_out_later(source: Warehouse, target: Target) -> None:
    source.query("CREATE TABLE t (id int PRIMARY KEY)")
    source.query("CREATE TABLE u (id int PRIMARY KEY, v int)")
    source.query("INSERT INTO t VALUES (1)")
    source.query("INSERT INTO u VALUES (1, 1)")
    one = Synced(source, target, changes("t"))
    one.synced()
    source.query("INSERT INTO t VALUES (2)")
    source.query("UPDATE u SET v = 2")
    one.tables = (changes("t"), changes("u"))
    out = one.synced()
    assert out.nodes["t"].details["path"] == "changes from the log (CDC)"
    source.query("INSERT INTO t VALUES (3)")
    source.query("UPDATE u SET v = 3")
    # A resumed run leaves out what was done: its changes are not let go.
    one.tables = (changes("t"),)
    one.synced(other_targets=("u",))
    one.tables = (changes("t"), changes("u"))
    one.synced()
    assert (one.rows("id"), one.rows("id, v", table="u")) == ([(1,), (2,), (3,)], [(1, 3)])
    one.tables = (changes("u"),)
    one.synced()
    published = source.query("SELECT tablename FROM pg_publication_tables")
    assert published == [("u",)]


def test_a_partitioned_table_is_one_table(source: Warehouse, target: Target) -> None:
    source.query("CREATE TABLE t (id int PRIMARY KEY, v int) PARTITION BY RANGE (id)")
    source.query("CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10)")
    source.query("CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (20)")
    source.query("INSERT INTO t VALUES (1, 1), (11, 1)")
    one = Synced(source, target, changes("t"))
    one.synced()
    source.query("UPDATE t SET id = id + 1, v = 2 WHERE id = 11")
    source.query("UPDATE t SET id = 15 WHERE id = 1")
    source.query("INSERT INTO t VALUES (2, 3)")
    one.synced()
    assert one.rows("id, v") == one.there("id, v")


def test_full_identity_needs_a_key_in_words(source: Warehouse, target: Target) -> None:
    source.query("CREATE TABLE t (a int NOT NULL, b text NOT NULL, big text)")
    source.query(BIG)
    source.query("ALTER TABLE t REPLICA IDENTITY FULL")
    source.query("INSERT INTO t VALUES (1, 'x', repeat('y', 9000)), (2, 'x', NULL)")
    one = Synced(source, target, changes("t"))
    assert one.sync().code == "cdc_no_identity"
    one.tables = (changes("t", key=("a", "b")),)
    one.synced()
    source.query("UPDATE t SET b = 'z' WHERE a = 1")
    source.query("DELETE FROM t WHERE a = 2")
    one.synced()
    assert one.rows("a, b, big") == one.there("a, b, big")


def test_large_values_survive_a_change_of_their_key(source: Warehouse, target: Target) -> None:
    source.query("CREATE TABLE t (id int PRIMARY KEY, n int, big text, raw bytea)")
    source.query(BIG)
    source.query("ALTER TABLE t ALTER raw SET STORAGE EXTERNAL")
    source.query(
        "INSERT INTO t SELECT i, i, repeat('x' || i, 9000), "
        "decode(repeat('00ff5c27', 2000), 'hex') FROM generate_series(1, 3) i"
    )
    one = Synced(source, target, changes("t"))
    one.synced()
    source.query("UPDATE t SET n = 10 WHERE id = 1")
    source.query("UPDATE t SET id = 4 WHERE id = 1")
    source.query("INSERT INTO t VALUES (1, 5, 'small', NULL)")
    source.query("UPDATE t SET id = 5, big = 'other' WHERE id = 2")
    source.query("UPDATE t SET id = 2 WHERE id = 5")
    one.synced()
    assert [
        (*row[:3], bytes(row[3]) if row[3] else None) for row in one.rows("id, n, big, raw")
    ] == [(*row[:3], bytes(row[3]) if row[3] else None) for row in one.there("id, n, big, raw")]


def test_a_destination_that_somebody_else_writes_is_told(source: Warehouse, target: Target) -> None:
    source.query("CREATE TABLE t (id int PRIMARY KEY)")
    source.query("INSERT INTO t VALUES (1), (2)")
    one = Synced(source, target, changes("t"))
    one.synced()
    target.query("DELETE FROM raw.t WHERE id = 1")
    assert one.synced().nodes["t"].details["verdict"] == "other rows"
    assert one.synced(full_refresh=True).nodes["t"].details["verdict"] == "exact"
    assert one.rows("id") == [(1,), (2,)]
    # A table that is gone is read as a whole.
    target.query("DROP TABLE raw.t")
    one.synced()
    assert one.rows("id") == [(1,), (2,)]
    [(_, before)] = one.slots
    source.query("INSERT INTO t VALUES (3)")
    one.synced()
    assert one.slots[0][1] != before, "what has been loaded is let go"
