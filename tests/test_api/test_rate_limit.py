"""So many requests a minute, and no more; everybody has a bucket of their own."""

from __future__ import annotations

import httpx
import pytest

from datanika.api import rate_limit, transaction
from datanika.api.rate_limit import RateLimiter
from datanika.contracts.enums import Role
from datanika.errors import TooManyRequests
from tests.support.tenants import Tenant, add_member
from tests.test_api.conftest import Connect


def taken(limiter: RateLimiter, caller: str, now: float) -> int:
    """How many requests ``caller`` gets through at the moment ``now``."""
    for number in range(10_000):
        try:
            limiter.take(caller, now)
        except TooManyRequests:
            return number
    raise AssertionError("there is no limit")


def test_a_bucket_empties_and_fills_again_by_and_by() -> None:
    limiter = RateLimiter(60)
    assert taken(limiter, "a", 0.0) == 60
    assert taken(limiter, "a", 10.0) == 10
    assert taken(limiter, "b", 10.0) == 60
    assert taken(limiter, "a", 1000.0) == 60


def test_the_headers_say_what_is_left_and_when_it_is_whole_again() -> None:
    limiter = RateLimiter(60)
    first = limiter.take("a", 0.0)
    assert first == {"RateLimit-Limit": "60", "RateLimit-Remaining": "59", "RateLimit-Reset": "1"}
    taken(limiter, "a", 0.0)
    with pytest.raises(TooManyRequests) as refused:
        limiter.take("a", 0.2)
    assert refused.value.context["retry_after"] == 1
    assert refused.value.context["headers"]["RateLimit-Remaining"] == "0"


def test_only_the_callers_seen_last_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "CALLERS", 2)
    limiter = RateLimiter(1)
    for caller in ("a", "b", "a", "c"):
        taken(limiter, caller, 0.0)
    assert taken(limiter, "a", 0.0) == 0
    assert taken(limiter, "b", 0.0) == 1


async def test_too_many_requests_are_told_when_to_come_back(
    connect: Connect, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction.tenants, "per_minute", 2)
    owner = connect(tenant.owner)
    answers = [await owner.get("/api/v1/auth/me") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["ratelimit-remaining"] for answer in answers[:2]] == ["1", "0"]
    assert answers[2].json()["code"] == "too_many_requests"
    assert int(answers[2].headers["retry-after"]) > 0
    colleague = connect(await add_member(tenant.org_id, Role.VIEWER))
    assert (await colleague.get("/api/v1/auth/me")).status_code == 200


async def test_strangers_are_limited_by_their_address(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction.strangers, "per_minute", 1)

    async def log_in(client: httpx.AsyncClient) -> int:
        body = {"email": "nobody@example.com", "password": "wrong password"}
        return (await client.post("/api/v1/auth/login", json=body)).status_code

    assert [await log_in(connect()), await log_in(connect())] == [401, 429]
