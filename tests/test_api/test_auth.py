"""Tokens for programs, and the session cookie of a browser with its same-origin rule."""

from __future__ import annotations

import asyncio
import time
from statistics import median
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, event, func, select

from datanika.api.deps import SESSION_COOKIE
from datanika.config import settings
from datanika.contracts.enums import Role
from datanika.db import SYSTEM, get_session
from datanika.models import Throttle
from datanika.services.throttle import LIMITS, Limit, Limits
from tests.support.accounts import change, make_person
from tests.support.tenants import Tenant, add_member
from tests.test_api.conftest import Connect

PASSWORD = "correct horse battery staple"
LOGIN = {"email": "ada@example.com", "password": PASSWORD}
HERE = {"Origin": "http://datanika.test"}


@pytest.fixture
async def registered(connect: Connect) -> httpx.AsyncClient:
    client = connect()
    body = {**LOGIN, "name": "Ada", "organization_name": "Engines"}
    answer = await client.post("/api/v1/auth/register", json=body)
    assert answer.status_code == 202, answer.text
    return client


async def test_login_gives_tokens_and_refresh_uses_one_up(
    registered: httpx.AsyncClient, connect: Connect
) -> None:
    tokens = (await registered.post("/api/v1/auth/login", json=LOGIN)).json()
    me = (await connect(bearer=tokens["access_token"]).get("/api/v1/auth/me")).json()
    assert (me["email"], me["organization"], me["role"]) == ("ada@example.com", "Engines", "owner")
    assert "run:trigger" in me["permissions"]
    again = {"refresh_token": tokens["refresh_token"]}
    assert (await registered.post("/api/v1/auth/refresh", json=again)).status_code == 200
    assert (await registered.post("/api/v1/auth/refresh", json=again)).status_code == 401


async def test_of_fifty_parallel_refreshes_one_wins_and_the_login_is_over(
    connect: Connect,
) -> None:
    person = await make_person()
    client = connect()
    login = {"email": person.owner.email, "password": PASSWORD}
    first = (await client.post("/api/v1/auth/login", json=login)).json()
    body = {"refresh_token": first["refresh_token"]}
    answers = await asyncio.gather(
        *(client.post("/api/v1/auth/refresh", json=body) for _ in range(50))
    )
    won = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(won) == 1
    assert {one.json()["code"] for one in answers if one.status_code != 200} == {
        "refresh_token_invalid"
    }
    # A token in two hands: also what the winner got opens nothing, nor do the access tokens.
    last = {"refresh_token": won[0]["refresh_token"]}
    assert (await client.post("/api/v1/auth/refresh", json=last)).status_code == 401
    for token in (first["access_token"], won[0]["access_token"]):
        refused = await connect(bearer=token).get("/api/v1/auth/me")
        assert (refused.status_code, refused.json()["code"]) == (401, "session_revoked")


async def test_unknown_refresh_tokens_are_counted_and_known_ones_are_not_in_the_way(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LIMITS, "refresh", Limits(Limit(2, 60)))
    person, client = await make_person(), connect()
    login = {"email": person.owner.email, "password": PASSWORD}
    known = (await client.post("/api/v1/auth/login", json=login)).json()
    codes = []
    for _ in range(3):
        answer = await client.post("/api/v1/auth/refresh", json={"refresh_token": "guess"})
        codes.append(answer.status_code)
    assert codes == [401, 401, 429]
    body = {"refresh_token": known["refresh_token"]}
    assert (await client.post("/api/v1/auth/refresh", json=body)).status_code == 200


async def test_wrong_passwords_are_slowed_for_known_and_unknown_alike(
    connect: Connect,
) -> None:
    person, client = await make_person(), connect()
    told = []
    for email in (person.owner.email, "nobody@example.com"):
        body = {"email": email, "password": "wrong password"}
        answers = [await client.post("/api/v1/auth/login", json=body) for _ in range(6)]
        told.append([(one.status_code, one.json()["code"]) for one in answers])
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 5
        if email == person.owner.email:
            right = {"email": email, "password": PASSWORD}
            assert (await client.post("/api/v1/auth/login", json=right)).status_code == 429
    assert told[0] == told[1]
    assert told[0] == [(401, "bad_credentials")] * 5 + [(429, "too_many_requests")]


async def test_a_login_costs_as_much_for_an_unknown_address_as_for_a_known_one(
    registered: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LIMITS, "login", Limits(Limit(1000, 60), Limit(1000, 60)))
    sent: list[str] = []
    listener = lambda *event: sent.append(event[2])  # noqa: E731
    spent: dict[str, list[float]] = {}
    statements: dict[str, list[str]] = {}
    addresses = ["ada@example.com", "nobody@example.com"]
    event.listen(Engine, "before_cursor_execute", listener)
    try:
        for number in range(14):
            email = addresses[number % 2]
            sent.clear()
            start = time.process_time()
            body = {"email": email, "password": "wrong password"}
            answer = await registered.post("/api/v1/auth/login", json=body)
            spent.setdefault(email, []).append(time.process_time() - start)
            assert answer.json()["code"] == "bad_credentials"
            statements[email] = [*sent]
    finally:
        event.remove(Engine, "before_cursor_execute", listener)
    known, unknown = (statements[email] for email in addresses)
    assert known == unknown and len(known) > 3
    # Of this process alone, so that the machine's other work does not count: bcrypt, mostly.
    known_seconds, unknown_seconds = (median(spent[email]) for email in addresses)
    assert known_seconds > 0.05
    assert known_seconds == pytest.approx(unknown_seconds, rel=0.3)


async def test_a_failed_login_counts_although_its_request_is_rolled_back_and_redis_is_gone(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "redis_url", None)
    body = {"email": "nobody@example.com", "password": "wrong password"}
    assert (await connect().post("/api/v1/auth/login", json=body)).status_code == 401
    async with get_session(SYSTEM) as session:
        assert [*await session.scalars(select(Throttle.failures))] == [1, 1, 1]


async def test_an_address_must_be_confirmed_first_where_that_is_required(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "require_verified_email", True)
    person, client = await make_person(verified=False), connect()
    login = {"email": person.owner.email, "password": PASSWORD}
    refused = await client.post("/api/v1/auth/login", json=login)
    assert (refused.status_code, refused.json()["code"]) == (401, "email_not_verified")
    wrong = await client.post("/api/v1/auth/login", json={**login, "password": "wrong password"})
    assert wrong.json()["code"] == "bad_credentials"
    await change(person.owner.user_id, email_verified_at=func.now())
    assert (await client.post("/api/v1/auth/login", json=login)).status_code == 200


async def test_logout_ends_the_refresh_token(registered: httpx.AsyncClient) -> None:
    tokens = (await registered.post("/api/v1/auth/login", json=LOGIN)).json()
    body = {"refresh_token": tokens["refresh_token"]}
    assert (await registered.post("/api/v1/auth/logout", json=body)).status_code == 204
    assert (await registered.post("/api/v1/auth/refresh", json=body)).status_code == 401


async def test_a_wrong_password_says_neither_what_was_wrong_nor_the_password(
    registered: httpx.AsyncClient,
) -> None:
    wrong = await registered.post("/api/v1/auth/login", json={**LOGIN, "password": "canary-77"})
    unknown = await registered.post("/api/v1/auth/login", json={**LOGIN, "email": "x@example.com"})
    assert (wrong.status_code, unknown.status_code) == (401, 401)
    assert wrong.json()["detail"] == unknown.json()["detail"]
    assert "canary-77" not in wrong.text


async def test_a_browser_form_gets_a_cookie_that_scripts_cannot_read(
    registered: httpx.AsyncClient,
) -> None:
    answer = await registered.post(
        "/api/v1/auth/session", data={**LOGIN, "next": "/runs/7"}, headers=HERE
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs/7")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert (await registered.get("/api/v1/auth/me")).json()["organization"] == "Engines"


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil", "x"])
async def test_a_login_never_leads_away(registered: httpx.AsyncClient, target: str) -> None:
    answer = await registered.post("/api/v1/auth/session", data={**LOGIN, "next": target})
    assert answer.headers["location"] == "/"


async def test_a_failed_form_goes_back_to_the_login_page_with_a_code(
    registered: httpx.AsyncClient,
) -> None:
    for fields in ({**LOGIN, "password": "wrong password"}, {"email": "x"}, {}):
        answer = await registered.post("/api/v1/auth/session", data={"next": "/", **fields})
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login?error=bad_credentials")
        assert "set-cookie" not in answer.headers


async def test_the_cookie_is_for_https_only_where_the_site_is(
    registered: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "public_url", "https://datanika.test")
    answer = await registered.post("/api/v1/auth/session", json=LOGIN)
    assert "secure" in answer.headers["set-cookie"].lower()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 201),
        (HERE, 201),
        ({}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site", **HERE}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
async def test_a_session_changes_things_from_our_own_pages_only(
    registered: httpx.AsyncClient, headers: dict[str, str], status: int
) -> None:
    opened = await registered.post("/api/v1/auth/session", json=LOGIN)
    assert opened.status_code == 200
    body: dict[str, Any] = {"name": "f", "kind": "files", "config": {"format": "csv"}}
    answer = await registered.post("/api/v1/connections", json=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert (await registered.get("/api/v1/connections")).status_code == 200


async def test_another_site_cannot_log_a_browser_in_or_out(
    registered: httpx.AsyncClient,
) -> None:
    evil = {"Origin": "http://evil.example"}
    refused = await registered.post("/api/v1/auth/session", json=LOGIN, headers=evil)
    assert refused.status_code == 403
    await registered.post("/api/v1/auth/session", json=LOGIN)
    assert (await registered.delete("/api/v1/auth/session", headers=evil)).status_code == 403
    assert (await registered.get("/api/v1/auth/me")).status_code == 200


async def test_logging_out_ends_the_session_on_the_server(
    registered: httpx.AsyncClient, connect: Connect
) -> None:
    await registered.post("/api/v1/auth/session", json=LOGIN)
    stolen = registered.cookies[SESSION_COOKIE]
    assert (await registered.delete("/api/v1/auth/session", headers=HERE)).status_code == 204
    thief = connect()
    thief.cookies.set(SESSION_COOKIE, stolen)
    assert (await thief.get("/api/v1/auth/me")).status_code == 401


async def test_an_api_key_does_what_its_scopes_say_until_it_is_revoked(
    api: httpx.AsyncClient, connect: Connect
) -> None:
    body = {"name": "reader", "scopes": ["connection:read"]}
    made = (await api.post("/api/v1/api-keys", json=body)).json()
    key = connect(bearer=made["key"])
    assert (await key.get("/api/v1/connections")).status_code == 200
    assert (await key.get("/api/v1/pipelines")).status_code == 403
    listed = await api.get("/api/v1/api-keys")
    assert made["key"] not in listed.text
    assert (await api.delete(f"/api/v1/api-keys/{made['id']}")).status_code == 204
    assert (await key.get("/api/v1/connections")).status_code == 401


async def test_an_editor_makes_no_api_keys(connect: Connect, tenant: Tenant) -> None:
    editor = connect(await add_member(tenant.org_id, Role.EDITOR))
    answer = await editor.post("/api/v1/api-keys", json={"name": "x", "scopes": ["run:read"]})
    assert answer.status_code == 403
