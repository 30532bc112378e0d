"""Two destinations for every promise about loading: PostgreSQL and DuckDB."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.postgres import Warehouse
from tests.test_engines import steps
from tests.test_engines.targets import Target, ask_duckdb


@pytest.fixture(params=["postgres", "duckdb"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    if request.param == "postgres":
        warehouse: Warehouse = request.getfixturevalue("warehouse")
        return Target(steps.postgres(warehouse.config), warehouse.query)
    return Target(steps.duckdb(tmp_path), ask_duckdb(tmp_path))
