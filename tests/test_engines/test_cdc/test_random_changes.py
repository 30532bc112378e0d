"""Whatever happens at the source, after each run the destination equals it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from datanika.engines.dlt_engine.cdc import fold
from tests.support.cdc import Changer, Synced
from tests.support.postgres import Warehouse
from tests.test_engines import steps
from tests.test_engines.steps import changes
from tests.test_engines.targets import Target, ask_duckdb

SEEDS = int(os.environ.get("DATANIKA_FAULT_SEEDS", "3"))


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("deletes", ["hard", "soft"])
def test_into_postgres(
    source: Warehouse,
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
    deletes: str,
    seed: int,
) -> None:
    # Few at a time, so that one run has many chunks.
    monkeypatch.setattr(fold, "MAX_KEYS", (3, 10, 10_000)[seed % 3])
    changer = Changer(source, seed)
    changer.work(10)
    one = Synced(
        source,
        Target(steps.postgres(warehouse.config), warehouse.query),
        changes("t", deletes=deletes),
    )
    alive = "WHERE _deleted_at IS NULL" if deletes == "soft" else ""
    for _ in range(4):
        out = one.synced()
        assert out.nodes["t"].details["verdict"] == "exact"
        assert one.rows(Changer.COLUMNS, alive) == one.there(Changer.COLUMNS)
        changer.work(25)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_into_duckdb(
    source: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(fold, "MAX_KEYS", (3, 10, 10_000)[seed % 3])
    changer = Changer(source, f"duck {seed}")
    source.query("ALTER TABLE t ALTER n TYPE text")
    deletes = ("hard", "soft")[seed % 2]
    one = Synced(
        source,
        Target(steps.duckdb(tmp_path), ask_duckdb(tmp_path)),
        changes("t", deletes=deletes),
    )
    alive = "WHERE _deleted_at IS NULL" if deletes == "soft" else ""
    for _ in range(3):
        out = one.synced()
        assert out.nodes["t"].details["verdict"] == "exact"
        assert one.rows("id, n, s, big", alive) == one.there("id, n, s, big")
        assert one.rows("CAST(a AS varchar)", alive) == one.there(
            "replace(to_json(a)::text, ' ', '')"
        )
        changer.work(25)
