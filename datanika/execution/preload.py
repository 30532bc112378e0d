"""Imports and exercises both engines once, so that a forked child starts warm.

Importing is not enough: the first load and the first build of a process resolve lazy imports,
compile templates and fill caches, which costs each child one to two seconds. What this leaves
behind must be safe to fork: one thread, no open connection, no file.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import shutil
import tempfile
from pathlib import Path

from datanika.contracts.spec import LoadStep, TableSpec, TransformStep
from datanika.contracts.steps import ResolvedConnection, ResolvedLoad, ResolvedTransform
from datanika.execution.parse_cache import engine_version
from datanika.execution.sandbox import work_root

SINGLE_THREADED = {
    # Read when these libraries are loaded: Arrow's allocator, numpy's OpenBLAS and dlt's telemetry
    # would each start a thread.
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "OPENBLAS_NUM_THREADS": "1",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
}

_warm = False

_PROJECT = {
    "dbt_project.yml": (
        "name: warm\nversion: 1.0.0\nprofile: warm\n"
        "flags: {send_anonymous_usage_stats: false, use_colors: false}\n"
    ),
    "models/warm.sql": "{{ config(materialized='table') }}\nselect 1 as id",
    "models/schema.yml": (
        "version: 2\nmodels:\n- name: warm\n  columns:\n  - name: id\n"
        "    data_tests: [not_null, unique]\n"
    ),
}


def is_warm() -> bool:
    """Whether this process was warmed up with a clean environment: then it may fork hosts."""
    return _warm


def warm_up() -> None:
    """Warm this process. Its environment must be clean: children inherit what it knows."""
    global _warm
    logging.getLogger("dlt").setLevel(logging.CRITICAL)
    _import_drivers()
    # Forks ask for it with each dbt step: it reads the metadata of everything that is installed.
    engine_version()
    folder = Path(tempfile.mkdtemp(prefix="warm-", dir=work_root()))
    before = Path.cwd()
    try:
        _exercise(folder)
    finally:
        os.chdir(before)
        shutil.rmtree(folder, ignore_errors=True)
    _close_everything()
    gc.collect()
    _warm = True


def _import_drivers() -> None:
    """What the exercise below does not reach."""
    from datanika.engines.dbt_engine.invocation import prepare_dbt

    os.environ.update(SINGLE_THREADED)
    prepare_dbt()
    import adbc_driver_postgresql.dbapi  # noqa: F401
    import dbt.adapters.postgres  # noqa: F401
    import dlt.destinations.impl.postgres.postgres
    import dlt.sources.rest_api  # noqa: F401
    import pyarrow.compute
    import pyarrow.csv
    import pyarrow.parquet  # noqa: F401

    import datanika.engines.dlt_engine.cdc.duckdb_load
    import datanika.engines.dlt_engine.cdc.postgres_load
    import datanika.engines.dlt_engine.direct.duckdb_load
    import datanika.engines.dlt_engine.direct.history
    import datanika.engines.dlt_engine.direct.postgres_load  # noqa: F401
    from datanika.engines.connectors.registry import CONNECTORS
    from datanika.engines.dlt_engine.staged import postgres_client

    list(CONNECTORS.values())
    postgres_client()


def _exercise(folder: Path) -> None:
    from datanika.engines.dbt_engine.build import run_transform
    from datanika.engines.dbt_engine.parsed import KnownParse, read_entry
    from datanika.engines.dlt_engine.load import run_load

    (folder / "files").mkdir()
    (folder / "files" / "warm.csv").write_text("id,name\n1,a\n2,b\n", encoding="utf-8")
    source = ResolvedConnection(
        id=1, name="warm", kind="files", config={"format": "csv"}, root=str(folder)
    )
    destination = ResolvedConnection(id=2, name="warm", kind="duckdb", config={}, root=str(folder))
    work = folder / "work"
    work.mkdir()
    load = ResolvedLoad(
        run_id=0,
        attempt=0,
        pipeline_key="warm",
        step=LoadStep(
            key="warm",
            source_id=1,
            destination_id=2,
            target_schema="warm",
            tables=(TableSpec(name="warm.csv", target="rows"),),
        ),
        source=source,
        destination=destination,
    )
    _check(run_load(load, work, lambda event: None))
    project = folder / "project"
    project.mkdir()
    transform = ResolvedTransform(
        run_id=0,
        attempt=0,
        step=TransformStep(key="warm", destination_id=2, default_schema="warm", threads=1),
        destination=destination,
        project_name="warm",
        files=_PROJECT,
    )
    left: list[bytes] = []
    known = KnownParse(keep=left.append)
    _check(run_transform(transform, project, lambda event: None, static_parser=False, known=known))
    # What reads a kept parse is compiled when it is first used.
    for entry in left:
        read_entry(entry, transform)


def _check(finished: object) -> None:
    failure = getattr(finished, "failure", None)
    if failure is not None:
        # Not fatal: the children can still work, only slower, and say what is wrong themselves.
        logging.getLogger(__name__).warning("Warming up failed: %s", failure.message)


def _close_everything() -> None:
    """dbt keeps its adapters, and with them connections, for the life of a process."""
    import duckdb
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.adapters.factory import cleanup_connections, reset_adapters

    with contextlib.suppress(Exception):
        cleanup_connections()
    if DuckDBConnectionManager._ENV is not None:
        DuckDBConnectionManager._ENV.close()
        DuckDBConnectionManager._ENV = None
    reset_adapters()
    # Importing duckdb opens a database in memory, with a thread.
    duckdb.default_connection().close()
