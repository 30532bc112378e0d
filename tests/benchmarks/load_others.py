"""What a user of dlt or DuckDB would write, each as a whole process:
``python -m tests.benchmarks.load_others WAY SOURCE TARGET``."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from pathlib import Path

TARGET = "lineitem"


def dlt_default(source: str, target: str, table: str = TARGET, how: str = "replace") -> None:
    """sql_database into PostgreSQL, nothing configured."""
    import dlt
    from dlt.sources.sql_database import sql_table

    with tempfile.TemporaryDirectory() as folder:
        resource = sql_table(credentials=source.replace("://", "+psycopg2://"), table=table)
        keys = ["l_orderkey", "l_linenumber"] if how == "merge" else []
        resource.apply_hints(table_name=TARGET, primary_key=keys, write_disposition=how)
        pipeline = dlt.pipeline(
            "bench",
            pipelines_dir=folder,
            destination=dlt.destinations.postgres(target),
            dataset_name="dlt_default",
        )
        pipeline.run(resource)


def dlt_merge(source: str, target: str) -> None:
    """A merge by key of the rows of ``changes``."""
    dlt_default(source, target, "changes", "merge")


def dlt_seed(source: str, target: str) -> None:
    """A first merge load of the few rows of ``seed``: the table that the others come into."""
    dlt_default(source, target, "seed", "merge")


def parquet_insert(source: str, target: str) -> None:
    """DuckDB's PostgreSQL extension writes a Parquet file."""
    database = _duckdb()
    database.execute(f"ATTACH '{target}' AS pg (TYPE postgres)")
    database.execute("SET pg_use_text_protocol = true")
    database.execute(f"INSERT INTO pg.duck.{TARGET} FROM read_parquet('{source}')")


def parquet_csv(source: str, target: str) -> None:
    """DuckDB turns a Parquet file into CSV on standard output, for psql."""
    database = _duckdb()
    database.execute(
        f"COPY (FROM read_parquet('{source}')) TO '/dev/stdout' (FORMAT csv, HEADER false)"
    )


def pg_scan(source: str, target: str) -> None:
    """DuckDB's own scan of a PostgreSQL table into a file of its own."""
    Path(target).unlink(missing_ok=True)
    database = _duckdb(target)
    database.execute(f"ATTACH '{source}' AS pg (TYPE postgres, READ_ONLY)")
    database.execute(f"CREATE TABLE {TARGET} AS FROM pg.public.{TARGET}")
    database.close()


def _duckdb(path: str = ":memory:"):  # type: ignore[no-untyped-def]
    import duckdb

    database = duckdb.connect(path)
    spec = importlib.util.find_spec("duckdb_extension_postgres_scanner")
    assert spec is not None and spec.origin is not None
    [extension] = Path(spec.origin).parent.rglob("*.duckdb_extension")
    database.execute(f"LOAD '{extension}'")
    return database


if __name__ == "__main__":
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    globals()[sys.argv[1]](*sys.argv[2:])
