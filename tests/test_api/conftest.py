"""The application in this process, and people to call it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from datanika.api.app import create_app
from datanika.security import create_access_token
from datanika.services.actor import Actor
from tests.support.tenants import Tenant, make_tenant

Connect = Callable[..., httpx.AsyncClient]


@pytest.fixture
async def tenant(database: str) -> Tenant:
    return await make_tenant()


@pytest.fixture
async def connect(database: str) -> AsyncIterator[Connect]:
    """``connect(actor)``, ``connect(bearer="…")`` or ``connect()`` for nobody: a client."""
    transport = httpx.ASGITransport(create_app())
    opened: list[httpx.AsyncClient] = []

    def make(actor: Actor | None = None, bearer: str | None = None) -> httpx.AsyncClient:
        token = create_access_token(actor.user_id, actor.org_id) if actor else bearer
        client = httpx.AsyncClient(
            transport=transport,
            base_url="http://datanika.test",
            headers={"Authorization": f"Bearer {token}"} if token else {},
        )
        opened.append(client)
        return client

    yield make
    for client in opened:
        await client.aclose()


@pytest.fixture
def api(connect: Connect, tenant: Tenant) -> httpx.AsyncClient:
    """The tenant's owner."""
    return connect(tenant.owner)
