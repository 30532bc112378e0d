"""The application in this process, and people to call it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from datanika.api.rate_limit import RateLimiter
from datanika.services.actor import Actor
from tests.support.application import application
from tests.support.tenants import Tenant, access_token, make_tenant

Connect = Callable[..., httpx.AsyncClient]
ANY = {"If-Match": "*"}
"""Change it, whatever it is now."""


@pytest.fixture
async def tenant(database: str) -> Tenant:
    return await make_tenant()


@pytest.fixture
async def connect(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Connect]:
    """``connect(actor)``, ``connect(bearer="…")`` or ``connect()`` for nobody: a client."""
    # All tests of a process are one address.
    monkeypatch.setattr("datanika.api.transaction.strangers", RateLimiter(100_000))
    transport = httpx.ASGITransport(application())
    opened: list[httpx.AsyncClient] = []

    def make(actor: Actor | None = None, bearer: str | None = None) -> httpx.AsyncClient:
        token = access_token(actor) if actor else bearer
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
