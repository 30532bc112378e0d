"""TPC-H's lineitem: its files, its table, and one checksum for PostgreSQL and DuckDB."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import duckdb

from tests.support.postgres import Warehouse

ROWS_OF_SCALE_1 = 6_001_215
KEY = ("l_orderkey", "l_linenumber")
DDL = """CREATE TABLE {} (
    l_orderkey bigint NOT NULL, l_partkey bigint NOT NULL, l_suppkey bigint NOT NULL,
    l_linenumber integer NOT NULL, l_quantity numeric(15,2) NOT NULL,
    l_extendedprice numeric(15,2) NOT NULL, l_discount numeric(15,2) NOT NULL,
    l_tax numeric(15,2) NOT NULL, l_returnflag char(1) NOT NULL, l_linestatus char(1) NOT NULL,
    l_shipdate date NOT NULL, l_commitdate date NOT NULL, l_receiptdate date NOT NULL,
    l_shipinstruct char(25) NOT NULL, l_shipmode char(10) NOT NULL, l_comment varchar(44) NOT NULL
)"""
CHANGED = """SELECT l_orderkey, l_partkey, l_suppkey, l_linenumber, l_quantity + 1 AS l_quantity,
    l_extendedprice, l_discount, l_tax, l_returnflag, l_linestatus, l_shipdate, l_commitdate,
    l_receiptdate, l_shipinstruct, l_shipmode, 'changed'::varchar(44) AS l_comment
FROM lineitem WHERE l_orderkey % 10 = 3"""

_WHOLE = ("l_orderkey", "l_partkey", "l_suppkey", "l_linenumber")
_CENTS = ("l_quantity", "l_extendedprice", "l_discount", "l_tax")
_DATES = ("l_shipdate", "l_commitdate", "l_receiptdate")
_TEXTS = ("l_returnflag", "l_linestatus", "l_shipinstruct", "l_shipmode", "l_comment")
# Loaders choose other types (a longer numeric, text for char): the values must be the same.
_ROW = "concat_ws('|', {})".format(
    ", ".join(
        [
            *(f"CAST({name} AS bigint)" for name in _WHOLE),
            *(f"CAST({name} * 100 AS numeric(38,4))" for name in _CENTS),
            *(f"CAST(CAST({name} AS date) AS varchar)" for name in _DATES),
            *(f"rtrim(CAST({name} AS varchar))" for name in _TEXTS),
        ]
    )
)


def generate(tpchgen: str, folder: Path, rows: int) -> Path:
    """``lineitem.csv`` and ``lineitem.parquet`` of about ``rows`` rows."""
    folder.mkdir(parents=True, exist_ok=True)
    scale = str(rows / ROWS_OF_SCALE_1)
    for kind in ("csv", "parquet"):
        if not (folder / f"lineitem.{kind}").exists():
            subprocess.run(
                [tpchgen, kind, "-s", scale, "-T", "lineitem", "-o", str(folder)],
                check=True,
                capture_output=True,
            )
    return folder


def checksum_pg(warehouse: Warehouse, name: str) -> tuple[int, int]:
    """(rows, sum over rows of 60 bits of a hash of all values) of a table."""
    [(count, total)] = warehouse.query(
        f"SELECT count(*), sum(('x' || substr(md5({_ROW}), 1, 15))::bit(60)::bigint) FROM {name}"
    )
    return int(count), int(total or 0)


def checksum_duckdb(path: Path, name: str) -> tuple[int, int]:
    """The same of a table in a DuckDB file."""
    with duckdb.connect(str(path), read_only=True) as connection:
        found: Any = connection.execute(
            f"SELECT count(*), sum(CAST('0x' || substr(md5({_ROW}), 1, 15) AS BIGINT)) FROM {name}"
        ).fetchone()
    return int(found[0]), int(found[1] or 0)
