"""The queue costs what waits in it, not what has ever run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import event, select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.db import SYSTEM, get_session
from datanika.models import Run
from datanika.services.run_queue import count_active, startable_runs, take_place
from tests.support.pipelines import make_pipeline
from tests.support.postgres import PostgresServer
from tests.support.superuser import superuser
from tests.support.tenants import make_tenant

pytestmark = pytest.mark.usefixtures("database")
FINISHED, WAITING = 30_000, 20
ROWS = """
INSERT INTO runs (org_id, pipeline_id, pipeline_version_id, state, trigger, idempotency_key, plan,
                  plan_hash, finished_at, ignores_dependencies)
SELECT org_id, id, current_version_id, %(state)s, 'schedule', %(state)s || i, '{}', 'h', now(), true
FROM pipelines, generate_series(1, %(count)s) i
"""


async def _take_place(session: AsyncSession) -> object:
    query = select(Run.id).where(Run.state == "queued").order_by(Run.id.desc()).limit(1)
    return await take_place(session, (await session.scalars(query)).one())


CASES: dict[str, Callable[[AsyncSession], Awaitable[object]]] = {
    "startable_runs": lambda session: startable_runs(session, limit=200),
    "count_active": lambda session: count_active(session, 1),
    "take_place": _take_place,
}


@pytest.fixture
async def history(database: str, postgres_server: PostgresServer) -> None:
    """One pipeline that has run very often."""
    await make_pipeline((await make_tenant()).owner)
    with superuser(postgres_server.admin_url) as sql:
        sql.execute(ROWS, {"state": "succeeded", "count": FINISHED})
        sql.execute(ROWS, {"state": "queued", "count": WAITING})
        sql.execute("ANALYZE runs")


async def plans(ask: Callable[[AsyncSession], Awaitable[object]]) -> str:
    """How PostgreSQL answers every query that ``ask`` sends."""
    sent: list[tuple[str, object]] = []
    async with get_session(SYSTEM) as session:
        connection = await session.connection()
        event.listen(
            connection.sync_connection,
            "before_cursor_execute",
            lambda c, cursor, text, parameters, *more: sent.append((text, parameters)),
        )
        await ask(session)
        lines: list[str] = []
        for text, parameters in [one for one in sent if one[0].startswith("SELECT")]:
            rows = await connection.exec_driver_sql(f"EXPLAIN {text}", parameters)
            lines += [row[0] for row in rows]
    return "\n".join(lines)


@pytest.mark.parametrize("name", CASES)
async def test_finished_runs_are_not_read(history: None, name: str) -> None:
    found = await plans(CASES[name])
    assert "ix_runs_state" in found
    assert "Seq Scan on runs" not in found
