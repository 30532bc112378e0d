"""A body over the limit is refused, whether it says so or just does not end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
import pytest

from datanika.api.app import create_app
from datanika.config import settings
from tests.support.serving import serving
from tests.support.tenants import Tenant, access_token

LIMIT = 2000
JSON = {"Content-Type": "application/json"}


@pytest.fixture(autouse=True)
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "max_body_bytes", LIMIT)


def body(size: int, name: str = "x") -> bytes:
    """A valid connection of exactly ``size`` bytes."""
    empty = {"name": name, "kind": "duckdb", "config": {"path": "w.duckdb"}, "description": ""}
    padding = size - len(json.dumps(empty))
    return json.dumps(empty | {"description": "d" * padding}).encode()


async def test_a_body_that_says_it_is_too_long_is_refused(api: httpx.AsyncClient) -> None:
    answer = await api.post("/api/v1/connections", content=body(LIMIT + 1), headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == answer.json()["request_id"]
    answer = await api.post("/api/v1/connections", content=body(LIMIT), headers=JSON)
    assert answer.status_code == 201, answer.text


async def chunks(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 100):
        yield content[start : start + 100]


async def test_a_body_of_unsaid_length_is_counted(tenant: Tenant) -> None:
    headers = {"Authorization": f"Bearer {access_token(tenant.owner)}"}
    async with serving(create_app()) as url, httpx.AsyncClient(base_url=url) as client:
        for size, status in ((LIMIT, 201), (LIMIT + 1, 413), (LIMIT * 50, 413)):
            for extra in ({}, {"Idempotency-Key": f"key-{size}"}):
                answer = await client.post(
                    "/api/v1/connections",
                    content=chunks(body(size, f"{size} {len(extra)}")),
                    headers=headers | JSON | extra,
                )
                assert answer.status_code == status, answer.text
                assert answer.json().get("code") == (None if status == 201 else "body_too_large")
        kept = await client.get("/api/v1/connections", headers=headers)
    assert len(kept.json()["items"]) == 2


async def test_a_body_that_never_comes_is_refused_at_once() -> None:
    """The answer does not wait for the gigabyte that was announced."""
    async with serving(create_app()) as url:
        place = urlsplit(url)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        writer.write(
            b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n{"
        )
        async with asyncio.timeout(5):
            line = await reader.readline()
        assert b" 413 " in line
        writer.close()
