"""The job ``datanika.test_connection``: does a connection work?

The connector's check runs in a sandboxed process with an empty environment; this worker only
reads the credentials and hands them over through a pipe.
"""

from __future__ import annotations

import asyncio
from typing import Any

from datanika.contracts.jobs import TEST_CONNECTION
from datanika.db import SYSTEM, dispose_engine, get_session
from datanika.execution.sandbox import probe
from datanika.services.actor import prove_membership
from datanika.services.connection_service import ConnectionService
from datanika.tasks.app import app


@app.task(name=TEST_CONNECTION)
def test_connection(org_id: int, user_id: int, connection_id: int) -> dict[str, Any]:
    """``{"ok": true}``, or ``{"ok": false}`` with the failure's code, message and hint."""
    return asyncio.run(_test(org_id, user_id, connection_id))


async def _test(org_id: int, user_id: int, connection_id: int) -> dict[str, Any]:
    try:
        async with get_session(SYSTEM) as session:
            # Whoever asked may have lost the role since.
            actor = await prove_membership(session, user_id, org_id)
        async with get_session(actor.scope) as session:
            connection = await ConnectionService(session, actor).resolve(connection_id)
        failure = await probe(connection)
    finally:
        await dispose_engine()
    if failure is None:
        return {"ok": True}
    return {"ok": False, **failure.model_dump(mode="json")}
