"""The cases of ``tests.benchmarks.load``."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from datanika.contracts.steps import ResolvedConnection
from tests.benchmarks.load_data import CHANGED, DDL, KEY, checksum_duckdb, checksum_pg, generate
from tests.benchmarks.load_peers import Peers
from tests.benchmarks.load_process import Took, measure
from tests.benchmarks.report import print_case
from tests.support.postgres import PostgresServer, Warehouse
from tests.test_engines import steps
from tests.test_engines.steps import MERGE, REPLACE, load, table

ROOT = Path(__file__).parents[2]
DLT_SHARE = 10
"""dlt's default is measured with this part of the rows: its rate does not depend on them."""
SMALL_ROWS = 10


class Bench:
    """Databases, files and ways of one measurement."""

    def __init__(
        self,
        server: PostgresServer,
        peers: Peers,
        folder: Path,
        rows: int,
        big_rows: int,
        repeat: int,
    ) -> None:
        self.peers, self.folder, self.rows, self.big_rows = peers, folder, rows, big_rows
        self.repeat = repeat
        self.server = server
        self.source, self.target = (self._database(server, name) for name in ("src", "dst"))
        self.data = generate(peers.tpchgen, folder / "data", rows)
        self._loaded_rows = 0
        self.python = sys.executable
        self.environment = {
            **{k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
            "PYTHONPATH": str(ROOT),
            "RUNTIME__DLTHUB_TELEMETRY": "false",
        }

    def _database(self, server: PostgresServer, name: str) -> Warehouse:
        server.create_database(name, name, "bench")
        return Warehouse(server.host, server.port, name, name, "bench")

    def fill_source(self, rows: int) -> None:
        """``lineitem`` with ``rows`` rows, and a part of it for dlt's default."""
        if self._loaded_rows == rows:
            return
        files = (
            self.data
            if rows == self.rows
            else generate(self.peers.tpchgen, self.folder / "big", rows)
        )
        self.source.query("DROP TABLE IF EXISTS lineitem, dlt_part, changes, seed CASCADE")
        self.source.query(DDL.format("lineitem"))
        copy = f"\\copy lineitem from '{files / 'lineitem.csv'}' (format csv, header)"
        subprocess.run([self.peers.psql, self.source.url, "-qc", copy], check=True)
        part = rows // DLT_SHARE
        self.source.query(f"CREATE TABLE dlt_part AS SELECT * FROM lineitem LIMIT {part}")
        connection = self.source.connect()
        connection.autocommit = True
        connection.cursor().execute("VACUUM ANALYZE")
        connection.close()
        self._loaded_rows = rows

    def ours(
        self,
        source: ResolvedConnection,
        destination: ResolvedConnection,
        spec: Any,
        name: str,
        source_schema: str | None = None,
    ) -> list[str]:
        """The command of one load of ours."""
        step = load(source, destination, spec, schema="ours", source_schema=source_schema)
        path = self.folder / f"{name}.json"
        path.write_text(step.model_dump_json())
        return [self.python, "-m", "tests.benchmarks.load_run", str(path)]

    def other(self, way: str, *arguments: str) -> list[str]:
        return [self.python, "-m", "tests.benchmarks.load_others", way, *arguments]

    def rounds(
        self,
        ways: dict[str, list[str] | str],
        check: dict[str, Callable[[], Any]],
        expected: Any,
        before: Callable[[], None] = lambda: None,
        repeat: int | None = None,
    ) -> dict[str, Took]:
        """Medians of each way; they take turns, and each is checked after every round."""
        took: dict[str, list[Took]] = {name: [] for name in ways}
        for _ in range(repeat or self.repeat):
            for name, command in ways.items():
                before()
                subprocess.run(["sync"], check=False)
                environment = self.environment
                if name in ("sling", "ingestr"):
                    environment = self.peers.environment()
                one = measure(command, environment, str(ROOT))
                print(f"{name}: {one.seconds:.2f} s, {one.peak_mb:.0f} MB", file=sys.stderr)
                took[name].append(one)
                found = check[name]()
                if found != expected:
                    raise SystemExit(f"{name}: the target's checksum {found} is not {expected}")
        return {
            name: Took(
                statistics.median(one.seconds for one in all_),
                max(one.peak_mb for one in all_),
            )
            for name, all_ in took.items()
        }

    def sum_of(self, warehouse: Warehouse, name: str) -> Any:
        return checksum_pg(warehouse, name)


def pg_to_pg(bench: Bench, rows: int = 0, case: str = "pg_to_pg", peers: bool = True) -> None:
    """Replace a table with the rows of another server's."""
    bench.fill_source(rows or bench.rows)
    target, source = bench.target, bench.source
    expected = bench.sum_of(source, "lineitem")
    spec = table("lineitem", "lineitem", REPLACE)
    ways: dict[str, list[str] | str] = {
        "copy": f"{bench.peers.psql} {source.url} -qc 'COPY lineitem TO STDOUT (FORMAT binary)' | "
        f"{bench.peers.psql} {target.url} -qc 'COPY copied.lineitem FROM STDIN (FORMAT binary)'",
        "ours": bench.ours(
            steps.postgres(source.config, 1), steps.postgres(target.config), spec, case, "public"
        ),
    }
    if peers:
        ways |= {
            "ingestr": [
                bench.peers.ingestr, "ingest", "--yes", "--progress", "log",
                "--source-uri", source.url + "?sslmode=disable",
                "--dest-uri", target.url + "?sslmode=disable",
                "--source-table", "public.lineitem", "--dest-table", "ingestr.lineitem",
            ],
            "sling": [
                bench.peers.sling, "run", "--src-conn", source.url + "?sslmode=disable",
                "--src-stream", "public.lineitem", "--tgt-conn", target.url + "?sslmode=disable",
                "--tgt-object", "sling.lineitem", "--mode", "full-refresh",
            ],
        }  # fmt: skip
    schemas = {"copy": "copied", "ours": "ours", "ingestr": "ingestr", "sling": "sling"}
    checks = {name: _checker(bench, f"{schemas[name]}.lineitem") for name in ways}

    def before() -> None:
        target.query("DROP SCHEMA IF EXISTS copied CASCADE")
        target.query("CREATE SCHEMA copied")
        target.query(DDL.format("copied.lineitem"))

    took = bench.rounds(ways, checks, expected, before)
    count = expected[0]
    figures: dict[str, Any] = {
        "rows": count,
        "krows_s": count / took["ours"].seconds / 1000,
        "ratio_copy": took["copy"].seconds / took["ours"].seconds,
    }
    if peers:
        figures["ratio_ingestr"] = took["ingestr"].seconds / took["ours"].seconds
        figures["ratio_sling"] = took["sling"].seconds / took["ours"].seconds
        figures["ratio_dlt_default"] = _dlt_default(bench) * count / took["ours"].seconds
    figures["peak_mb"] = took["ours"].peak_mb
    print_case(case, figures)


def _dlt_default(bench: Bench) -> float:
    """Seconds a row of dlt's default."""
    rows = bench.source.query("SELECT count(*) FROM dlt_part")[0][0]
    expected = bench.sum_of(bench.source, "dlt_part")
    command = [
        bench.python, "-c",
        "from tests.benchmarks.load_others import dlt_default as d; "
        f"d({bench.source.url!r}, {bench.target.url!r}, 'dlt_part')",
    ]  # fmt: skip
    check = _checker(bench, "dlt_default.lineitem")
    took = bench.rounds({"dlt default": command}, {"dlt default": check}, expected, repeat=1)
    bench.target.query("DROP SCHEMA dlt_default CASCADE")
    return float(took["dlt default"].seconds / rows)


def pg_to_pg_10m(bench: Bench) -> None:
    pg_to_pg(bench, bench.big_rows, "pg_to_pg_10m", peers=False)


def _checker(bench: Bench, name: str) -> Callable[[], Any]:
    return lambda: bench.sum_of(bench.target, name)


def _file_case(
    bench: Bench, case: str, kind: str, ways: dict[str, list[str] | str], ddl: str = DDL
) -> None:
    bench.fill_source(bench.rows)
    expected = bench.sum_of(bench.source, "lineitem")
    root = bench.folder / kind
    (root / "files").mkdir(parents=True, exist_ok=True)
    file = root / "files" / f"lineitem.{kind}"
    if not file.exists():
        os.link(bench.data / f"lineitem.{kind}", file)
    ours = bench.ours(
        steps.files(root, kind), steps.postgres(bench.target.config),
        table(f"lineitem.{kind}", f"from_{kind}", REPLACE), case,
    )  # fmt: skip
    checks = {name: _checker(bench, "duck.lineitem") for name in ways}
    checks["ours"] = _checker(bench, f"ours.from_{kind}")

    def before() -> None:
        bench.target.query("DROP SCHEMA IF EXISTS duck CASCADE")
        bench.target.query("CREATE SCHEMA duck")
        bench.target.query(ddl.format("duck.lineitem"))

    took = bench.rounds({**ways, "ours": ours}, checks, expected, before)
    figures: dict[str, Any] = {
        "rows": expected[0], "krows_s": expected[0] / took["ours"].seconds / 1000,
    }  # fmt: skip
    if ways:
        fastest = min(ways, key=lambda name: took[name].seconds)
        figures["ratio_limit"] = took[fastest].seconds / took["ours"].seconds
        figures["limit"] = fastest
    print_case(case, {**figures, "peak_mb": took["ours"].peak_mb})


def csv_to_pg(bench: Bench) -> None:
    r"""A CSV file, types found by us, against \copy into a table that is there."""
    file = bench.data / "lineitem.csv"
    copy = f"\\copy duck.lineitem from '{file}' (format csv, header)"
    _file_case(
        bench, "csv_to_pg", "csv",
        {"\\copy": [bench.peers.psql, bench.target.url, "-qc", copy]},
    )  # fmt: skip


def parquet_to_pg(bench: Bench) -> None:
    """A Parquet file, against DuckDB's extension and DuckDB's CSV into psql."""
    file = bench.data / "lineitem.parquet"
    url = bench.target.url
    to_csv = " ".join(bench.other("parquet_csv", str(file), "-"))
    _file_case(
        bench, "parquet_to_pg", "parquet",
        {
            "duckdb": bench.other("parquet_insert", str(file), url),
            "duckdb to psql": f"{to_csv} | {bench.peers.psql} {url} "
            "-qc 'COPY duck.lineitem FROM STDIN (FORMAT csv)'",
        },
    )  # fmt: skip


def jsonl_to_pg(bench: Bench) -> None:
    """JSON lines; nothing to compare with."""
    file = bench.data / "lineitem.jsonl"
    if not file.exists():
        parquet = bench.data / "lineitem.parquet"
        duckdb.sql(f"COPY (FROM read_parquet('{parquet}')) TO '{file}' (FORMAT json)")
    _file_case(bench, "jsonl_to_pg", "jsonl", {})


def pg_to_duckdb(bench: Bench) -> None:
    """Into a DuckDB file, against DuckDB's own scan."""
    bench.fill_source(bench.rows)
    root = bench.folder / "ducks"
    root.mkdir(exist_ok=True)
    own = bench.folder / "scan.duckdb"
    ours = steps.duckdb(root)
    spec = table("lineitem", "lineitem", REPLACE)
    ways: dict[str, list[str] | str] = {
        "scan": bench.other("pg_scan", bench.source.url, str(own)),
        "ours": bench.ours(
            steps.postgres(bench.source.config, 1), ours, spec, "pg_to_duckdb", "public"
        ),
    }
    checks = {
        "scan": lambda: checksum_duckdb(own, "lineitem"),
        "ours": lambda: checksum_duckdb(root / "warehouse" / "warehouse.duckdb", "ours.lineitem"),
    }
    expected = bench.sum_of(bench.source, "lineitem")
    took = bench.rounds(ways, checks, expected)
    print_case(
        "pg_to_duckdb",
        {
            "rows": expected[0],
            "krows_s": expected[0] / took["ours"].seconds / 1000,
            "ratio_limit": took["scan"].seconds / took["ours"].seconds,
            "peak_mb": took["ours"].peak_mb,
        },
    )


def merge10(bench: Bench) -> None:
    """A tenth of the rows, changed, by key into a table that has them all."""
    bench.fill_source(bench.rows)
    source, target = bench.source, bench.target
    source.query("DROP TABLE IF EXISTS changes, seed")
    source.query(f"CREATE TABLE changes AS {CHANGED}")
    source.query("CREATE TABLE seed AS SELECT * FROM lineitem LIMIT 100")
    on = " AND ".join(f"c.{key} = l.{key}" for key in KEY)
    source.query(
        "CREATE OR REPLACE VIEW merged AS SELECT * FROM changes UNION ALL SELECT * FROM lineitem l "
        f"WHERE NOT EXISTS (SELECT FROM changes c WHERE {on})"
    )
    expected = bench.sum_of(source, "merged")
    connections = steps.postgres(source.config, 1), steps.postgres(target.config)
    first = table("lineitem", "merged", MERGE, KEY)
    again = table("changes", "merged", MERGE, KEY)
    measure(bench.ours(*connections, first, "base", "public"), bench.environment, str(ROOT))
    target.query("DROP SCHEMA IF EXISTS dlt_default CASCADE")
    measure(bench.other("dlt_seed", source.url, target.url), bench.environment, str(ROOT))
    _seed_dlt(bench)
    took = bench.rounds(
        {
            "dlt default": bench.other("dlt_merge", source.url, target.url),
            "ours": bench.ours(*connections, again, "merge10", "public"),
        },
        {
            "dlt default": _checker(bench, "dlt_default.lineitem"),
            "ours": _checker(bench, "ours.merged"),
        },
        expected,
    )
    source.query("DROP VIEW merged")
    changed = source.query("SELECT count(*) FROM changes")[0][0]
    print_case(
        "merge10",
        {
            "rows": changed,
            "seconds": took["ours"].seconds,
            "ratio_dlt_default": took["dlt default"].seconds / took["ours"].seconds,
            "peak_mb": took["ours"].peak_mb,
        },
    )


def _seed_dlt(bench: Bench) -> None:
    """The rest of the rows into dlt's table, past dlt, which would take minutes."""
    names = ", ".join(
        row[0]
        for row in bench.source.query(
            "SELECT attname::text FROM pg_attribute WHERE attrelid = 'lineitem'::regclass "
            "AND attnum > 0 ORDER BY attnum"
        )
    )
    target = bench.target
    target.query("TRUNCATE dlt_default.lineitem")
    target.query("ALTER TABLE dlt_default.lineitem ALTER _dlt_load_id SET DEFAULT 'seed'")
    target.query(
        "ALTER TABLE dlt_default.lineitem ALTER _dlt_id SET DEFAULT gen_random_uuid()::text"
    )
    out = f"{bench.peers.psql} {bench.source.url} -qc 'COPY lineitem TO STDOUT'"
    into = f"{bench.peers.psql} {target.url} -qc 'COPY dlt_default.lineitem ({names}) FROM STDIN'"
    measure(f"{out} | {into}", bench.environment, str(ROOT))


def small_warm(bench: Bench) -> None:
    """Ten rows, in children of a warm engine host; the median of many."""
    source, target = bench.source, bench.target
    source.query("DROP TABLE IF EXISTS ten")
    source.query(
        "CREATE TABLE ten AS SELECT i AS id, 'row ' || i AS text, now() AS at "
        f"FROM generate_series(1, {SMALL_ROWS}) i"
    )
    spec = table("ten", "ten", REPLACE)
    command = bench.ours(
        steps.postgres(source.config, 1), steps.postgres(target.config), spec, "ten", "public"
    )
    done = subprocess.run(
        [bench.python, "-m", "tests.benchmarks.load_warm", command[-1], str(bench.repeat * 3 + 1)],
        env=bench.environment,
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    seconds = json.loads(done.stdout.strip().splitlines()[-1])
    rows = "SELECT id, text, at FROM {} ORDER BY id"
    if target.query(rows.format("ours.ten")) != source.query(rows.format("ten")):
        raise SystemExit("small_warm: the target differs from the source")
    print_case(
        "small_warm",
        {
            "rows": SMALL_ROWS,
            "value": statistics.median(seconds),
            "first_s": seconds[0],
            "max_s": max(seconds),
        },
    )


CASES: dict[str, Callable[[Bench], None]] = {
    "pg_to_pg": pg_to_pg,
    "csv_to_pg": csv_to_pg,
    "parquet_to_pg": parquet_to_pg,
    "jsonl_to_pg": jsonl_to_pg,
    "pg_to_duckdb": pg_to_duckdb,
    "merge10": merge10,
    "small_warm": small_warm,
    "pg_to_pg_10m": pg_to_pg_10m,
}
