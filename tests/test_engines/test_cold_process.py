"""A first load in a process that has imported nothing: dlt is imported while rows travel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from datanika.contracts.steps import ResolvedConnection
from tests.support.postgres import Warehouse
from tests.test_engines import steps
from tests.test_engines.steps import load, table

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "postgres"])
@pytest.mark.parametrize("into", ["postgres", "duckdb"])
def test_a_cold_process_makes_a_new_table(
    warehouses: tuple[Warehouse, Warehouse], tmp_path: Path, kind: str, into: str
) -> None:
    source: ResolvedConnection
    if kind == "postgres":
        warehouses[0].query("CREATE TABLE t AS SELECT 1 AS id")
        source, name = steps.postgres(warehouses[0].config, 1), "t"
    else:
        source, name = steps.files(tmp_path, kind), f"t.{kind}"
        content = "id,name\n1,x\n" if kind == "csv" else '{"id": 1}\n'
        (tmp_path / "files" / name).write_text(content)
    target = steps.duckdb(tmp_path) if into == "duckdb" else steps.postgres(warehouses[1].config)
    step = load(source, target, table(name, "t"))
    path = tmp_path / "step.json"
    path.write_text(step.model_dump_json())
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.load_run", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "'verdict': 'exact'" in done.stdout
