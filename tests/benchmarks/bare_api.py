"""The limit: the list's query and its JSON from FastAPI and asyncpg alone.

No login, no permissions, no row-level security, no limits, no request id. ``BARE_DATABASE_URL``
names a login that may read everything.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from fastapi import FastAPI

QUERY = """
SELECT id, name, description, is_paused, revision, version,
       deployed_hash IS NOT NULL AS is_deployed, created_at, updated_at
FROM pipelines WHERE org_id = $1 AND deleted_at IS NULL ORDER BY id LIMIT 51
"""


def create_app() -> FastAPI:
    """One route: the first page of an organisation's pipelines."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(os.environ["BARE_DATABASE_URL"], max_size=10) as pool:
            app.state.pool = pool
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/orgs/{org_id}/pipelines")
    async def list_pipelines(org_id: int) -> dict[str, Any]:
        rows = await app.state.pool.fetch(QUERY, org_id)
        return {"items": [dict(row) for row in rows[:50]], "next_cursor": None}

    return app
