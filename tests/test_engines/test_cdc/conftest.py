"""A source whose role may read its log, and a table there that is followed."""

from __future__ import annotations

import pytest

from datanika.runtime import databases
from tests.support.postgres import PostgresServer, Warehouse


@pytest.fixture
def source(postgres_server: PostgresServer, warehouses: tuple[Warehouse, Warehouse]) -> Warehouse:
    one = warehouses[0]
    with databases.cursor(postgres_server.admin_url) as cur:
        cur.execute(f'ALTER ROLE "{one.user}" REPLICATION')
    return one
