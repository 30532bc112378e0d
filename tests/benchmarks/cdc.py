"""How fast changes are followed: ``uv run python -m tests.benchmarks.cdc [rows] [destination]``.

A table of 16 columns like TPC-H's lineitem; then rows are inserted (10 %), updated (10 %) and
deleted (5 %), and one run brings the changes. In thousand changes a second of a whole run in a warm
process, with the peak memory of it. Fails if source and destination differ afterwards.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from datanika.runtime import databases
from tests.support.cdc import Synced
from tests.support.postgres import PostgresServer, Warehouse, running_server
from tests.test_engines import steps
from tests.test_engines.steps import changes
from tests.test_engines.targets import Target, ask_duckdb

_ROWS = """
SELECT i AS id, i % 200000 AS part, i % 10000 AS supplier, (i % 7)::int AS line,
    (i % 50)::numeric(15,2) AS quantity, (i * 1.37)::numeric(15,2) AS price,
    0.05::numeric(15,2) AS discount, 0.02::numeric(15,2) AS tax, 'N' AS flag, 'O' AS status,
    date '1996-03-13' + (i % 2000)::int AS shipped, date '1996-02-12' AS committed,
    date '1996-03-22' AS received, 'DELIVER IN PERSON' AS instruct, 'TRUCK' AS mode,
    'egular courts above the ' || i AS comment
FROM generate_series({}, {}) i
"""
_SUMS = "SELECT count(*), sum(id), sum(price), sum(length(comment)) FROM {}"


def measure(server: PostgresServer, rows: int, only: str = "") -> dict[str, Any]:
    """Both destinations, one after the other, from one source; ``only`` one for its memory."""
    source = _database(server, "source")
    into = _database(server, "target")
    source.query(f"CREATE TABLE t AS {_ROWS.format(1, rows)}")
    source.query("ALTER TABLE t ADD PRIMARY KEY (id)")
    figures: dict[str, Any] = {"rows": rows}
    with tempfile.TemporaryDirectory() as folder:
        targets = {
            "postgres": Target(steps.postgres(into.config), into.query),
            "duckdb": Target(steps.duckdb(Path(folder)), ask_duckdb(Path(folder))),
        }
        targets = {name: one for name, one in targets.items() if only in name}
        followers = {
            name: Synced(source, one, changes("t")) for name, one in targets.items() if only in name
        }
        for name, one in followers.items():
            # A slot of its own for each.
            began = time.monotonic()
            one.synced(pipeline_key=name)
            figures[f"{name}_snapshot_krows_s"] = _rate(rows, began)
            figures[f"peak_mb_of_{name}_snapshot"] = _peak()
            one.synced(pipeline_key=name)
        tenth = rows // 10
        source.query(f"INSERT INTO t {_ROWS.format(rows + 1, rows + tenth)}")
        source.query("UPDATE t SET price = price + 1, comment = 'x' || comment WHERE id % 10 = 3")
        source.query("DELETE FROM t WHERE id % 20 = 1")
        for name, one in followers.items():
            began = time.monotonic()
            out = one.synced(pipeline_key=name)
            count = out.nodes["t"].rows or 0
            figures["changes"] = count
            figures[f"{name}_kchanges_s"] = _rate(count, began)
            assert one.target.query(_SUMS.format("raw.t")) == source.query(_SUMS.format("t")), name
            began = time.monotonic()
            one.synced(pipeline_key=name)
            figures[f"{name}_nothing_new_s"] = round(time.monotonic() - began, 3)
            figures[f"peak_mb_of_{name}_changes"] = _peak()
    return figures


def _peak() -> int:
    """MB of this process since the last time it was asked."""
    text = Path("/proc/self/status").read_text()
    Path("/proc/self/clear_refs").write_text("5")
    return int(text.partition("VmHWM:")[2].split()[0]) // 1024


def _rate(rows: int, began: float) -> float:
    return round(rows / (time.monotonic() - began) / 1000, 1)


def _database(server: PostgresServer, name: str) -> Warehouse:
    server.create_database(name, name, "benchmark")
    with databases.cursor(server.admin_url) as cur:
        cur.execute(f'ALTER ROLE "{name}" REPLICATION')
    return Warehouse(server.host, server.port, name, name, "benchmark")


def main() -> None:
    with running_server() as server:
        rows, *only = *sys.argv[1:], *["1000000"][len(sys.argv) - 1 :]
        print(json.dumps(measure(server, int(rows), *only)))


if __name__ == "__main__":
    main()
