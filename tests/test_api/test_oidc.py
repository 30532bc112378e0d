"""Login through another provider, and what an attacker makes of it."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from jose import jwt
from pydantic import SecretStr
from sqlalchemy import func, select

from datanika.api.deps import SESSION_COOKIE
from datanika.config import settings
from datanika.db import SYSTEM, get_session
from datanika.models import User, UserIdentity
from tests.support.accounts import PASSWORD, change, make_person
from tests.support.openid_provider import CLIENT_ID, CLIENT_SECRET, OpenIDServer, openid_server
from tests.test_api.conftest import Connect

START = "/api/v1/auth/oidc/{}/start"


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[OpenIDServer]:
    async with openid_server() as running:
        yield running


@pytest.fixture
def provider(server: OpenIDServer, monkeypatch: pytest.MonkeyPatch) -> OpenIDServer:
    """The provider, telling the truth, and configured."""
    fresh = OpenIDServer(keys=server.keys)
    for name in ("person", "lie", "sign", "algorithm", "email_in_userinfo_only"):
        setattr(server, name, getattr(fresh, name))
    for name, value in {
        "oidc_issuer": server.url, "oidc_client_id": CLIENT_ID,
        "oidc_client_secret": SecretStr(CLIENT_SECRET), "github_url": server.url,
        "github_client_id": CLIENT_ID, "github_client_secret": SecretStr(CLIENT_SECRET),
        "google_client_id": None, "trusted_login_providers": "",
        "public_url": "http://datanika.test",
    }.items():  # fmt: skip
        monkeypatch.setattr(settings, name, value)
    return server


async def to_callback(browser: httpx.AsyncClient, name: str = "oidc", **query: str) -> str:
    """Begin a login and log in at the provider; where it sends the browser back to."""
    begun = await browser.get(START.format(name), params=query)
    assert begun.status_code == 303, begun.text
    async with httpx.AsyncClient() as outside:
        answer = await outside.get(begun.headers["location"])
    return str(answer.headers["location"])


async def log_in(browser: httpx.AsyncClient, name: str = "oidc", **query: str) -> str:
    """The whole login; the page it ends on."""
    answer = await browser.get(await to_callback(browser, name, **query))
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


async def refused(browser: httpx.AsyncClient, code: str, name: str = "oidc") -> None:
    assert await log_in(browser, name) == f"/login?error={code}"
    assert SESSION_COOKIE not in browser.cookies


async def count_users() -> int:
    async with get_session(SYSTEM) as session:
        return await session.scalar(select(func.count(User.id))) or 0


@pytest.mark.parametrize("name", ["oidc", "github"])
async def test_a_first_login_makes_an_account_and_the_second_opens_it(
    connect: Connect, provider: OpenIDServer, name: str
) -> None:
    browser = connect()
    assert await log_in(browser, name, next="/runs/7") == "/runs/7"
    me = (await browser.get("/api/v1/auth/me")).json()
    assert (me["email"], me["role"]) == ("ada@example.com", "owner")
    account = (await browser.get("/api/v1/account")).json()
    assert account["email_verified"] and not account["has_password"]
    # The provider's subject counts, not the address.
    provider.person |= {"email": "new@example.com"}
    again = connect()
    await log_in(again, name)
    assert (await again.get("/api/v1/auth/me")).json()["user_id"] == me["user_id"]
    assert await count_users() == 1


async def test_rs256_and_an_address_from_userinfo_work_too(
    connect: Connect, provider: OpenIDServer
) -> None:
    provider.algorithm, provider.email_in_userinfo_only = "RS256", True
    browser = connect()
    assert await log_in(browser) == "/"
    assert (await browser.get("/api/v1/auth/me")).json()["email"] == "ada@example.com"


async def test_the_login_page_is_told_who_is_configured(
    connect: Connect, provider: OpenIDServer
) -> None:
    listed = (await connect().get("/api/v1/auth/providers")).json()["items"]
    assert [(one["name"], one["label"]) for one in listed] == [
        ("github", "GitHub"), ("oidc", "OpenID"),
    ]  # fmt: skip
    assert CLIENT_SECRET not in json.dumps(listed)
    assert (await connect().get(START.format("google"))).status_code == 404


def unsigned(claims: dict[str, Any]) -> str:
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    encoded = (base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in parts)
    return b".".join(encoded).decode() + "."


@pytest.mark.parametrize(
    "lie",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another-client"},
        {"aud": [CLIENT_ID, "another-client"], "azp": "another-client"},
        {"iss": "https://evil.example"},
        {"exp": 1},
        {"sub": None},
    ],
    ids=str,
)
async def test_an_id_token_for_something_else_is_refused(
    connect: Connect, provider: OpenIDServer, lie: dict[str, Any]
) -> None:
    provider.lie = lie
    await refused(connect(), "id_token_invalid")
    assert await count_users() == 0


async def test_only_the_providers_own_signature_counts(
    connect: Connect, provider: OpenIDServer
) -> None:
    public = provider.public_key("RS256")
    other = OpenIDServer()
    forgeries = (
        unsigned,
        # The public key as an HMAC secret.
        lambda claims: jwt.encode(
            claims, public["n"], algorithm="HS256", headers={"kid": "RS256"}
        ),
        lambda claims: jwt.encode(
            claims, CLIENT_SECRET, algorithm="HS256", headers={"kid": "ES256"}
        ),
        # Somebody else's key under the name of the provider's.
        lambda claims: jwt.encode(
            claims, other.keys["ES256"], algorithm="ES256", headers={"kid": "ES256"}
        ),
        lambda claims: jwt.encode(
            claims, other.keys["ES256"], algorithm="ES256",
            headers={"kid": "x", "jwk": other.public_key("ES256")},
        ),
        lambda claims: "nonsense",
    )  # fmt: skip
    for sign in forgeries:
        provider.sign = sign
        await refused(connect(), "id_token_invalid")
    assert await count_users() == 0


async def test_a_callback_belongs_to_the_browser_that_began(
    connect: Connect, provider: OpenIDServer
) -> None:
    attacker, victim = connect(), connect()
    callback = await to_callback(attacker)
    # Login CSRF: the attacker's callback in the victim's browser, with and without its own login.
    for _ in range(2):
        answer = await victim.get(callback)
        assert answer.headers["location"] == "/login?error=state_invalid"
        assert SESSION_COOKIE not in victim.cookies
        await to_callback(victim)
    begun = await to_callback(attacker)
    wrong = begun.replace("state=", "state=x")
    assert (await attacker.get(wrong)).headers["location"] == "/login?error=state_invalid"


async def test_a_callback_works_once(connect: Connect, provider: OpenIDServer) -> None:
    browser = connect()
    callback = await to_callback(browser)
    cookies = dict(browser.cookies)
    assert (await browser.get(callback)).headers["location"] == "/"
    thief = connect()
    thief.cookies.update(cookies)
    assert (await thief.get(callback)).headers["location"] == "/login?error=state_invalid"
    # And a code works once at the provider.
    other = connect()
    fresh = parse_qs(urlsplit(await to_callback(other)).query)
    used = parse_qs(urlsplit(callback).query)["code"][0]
    answer = await other.get(
        "/api/v1/auth/oidc/oidc/callback", params={"state": fresh["state"][0], "code": used}
    )
    assert answer.headers["location"] == "/login?error=provider_failed"


@pytest.mark.parametrize("name", ["oidc", "github"])
async def test_an_unverified_address_opens_and_makes_nothing(
    connect: Connect, provider: OpenIDServer, name: str
) -> None:
    provider.person |= {"email_verified": False}
    await refused(connect(), "provider_email_not_verified", name)
    assert await count_users() == 0


@pytest.mark.parametrize(
    ("trusted", "verified", "opens"),
    [("", True, False), ("google, oidc", True, True), ("oidc", False, False)],
)
async def test_an_account_with_a_password_is_opened_by_a_trusted_provider_only(
    connect: Connect,
    provider: OpenIDServer,
    monkeypatch: pytest.MonkeyPatch,
    trusted: str,
    verified: bool,
    opens: bool,
) -> None:
    """And never one whose address was not confirmed: its password may be somebody else's."""
    person = await make_person(verified=verified)
    provider.person |= {"email": person.owner.email}
    monkeypatch.setattr(settings, "trusted_login_providers", trusted)
    browser = connect()
    if not opens:
        await refused(browser, "account_exists")
        return
    await log_in(browser)
    assert (await browser.get("/api/v1/auth/me")).json()["user_id"] == person.owner.user_id


async def test_a_second_provider_does_not_open_an_account_without_a_password_either(
    connect: Connect, provider: OpenIDServer
) -> None:
    await log_in(connect(), "github")
    await refused(connect(), "account_exists", "oidc")


async def test_somebody_logged_in_links_and_unlinks_a_login(
    connect: Connect, provider: OpenIDServer
) -> None:
    person = await make_person()
    browser, here = connect(), {"Origin": "http://datanika.test"}
    login = {"email": person.owner.email, "password": PASSWORD}
    await browser.post("/api/v1/auth/session", json=login)
    begun = await browser.post("/api/v1/account/providers/oidc/link?next=/me", headers=here)
    async with httpx.AsyncClient() as outside:
        back = await outside.get(begun.json()["authorization_url"])
    answer = await browser.get(back.headers["location"])
    assert answer.headers["location"] == "/me"
    [linked] = (await browser.get("/api/v1/account/identities")).json()["items"]
    assert (linked["provider"], linked["email"]) == ("oidc", "ada@example.com")
    other = connect()
    await log_in(other)
    assert (await other.get("/api/v1/auth/me")).json()["email"] == person.owner.email
    path = f"/api/v1/account/identities/{linked['id']}"
    stranger = connect((await make_person("Other")).owner)
    assert (await stranger.delete(path)).status_code == 404
    await change(person.owner.user_id, password_hash=None)
    assert (await browser.delete(path, headers=here)).json()["code"] == "last_login_method"
    await change(person.owner.user_id, password_hash="x")
    assert (await browser.delete(path, headers=here)).status_code == 204
    async with get_session(SYSTEM) as session:
        assert await session.scalar(select(func.count(UserIdentity.id))) == 0


async def test_a_provider_that_is_gone_or_says_nonsense_is_an_error_page(
    connect: Connect, provider: OpenIDServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = connect()
    callback = await to_callback(browser)
    monkeypatch.setattr(settings, "oidc_issuer", f"{provider.url}/elsewhere")
    assert (await browser.get(callback)).headers["location"] == "/login?error=provider_failed"
    assert (await browser.get(START.format("oidc"))).json()["code"] == "provider_failed"


async def test_a_login_never_leads_away(connect: Connect, provider: OpenIDServer) -> None:
    for target in ("//evil.example", "https://evil.example", "/\\evil"):
        assert await log_in(connect(), next=target) == "/"


async def test_guessing_states_is_slowed(connect: Connect, provider: OpenIDServer) -> None:
    browser = connect()
    codes = []
    for _ in range(32):
        answer = await browser.get("/api/v1/auth/oidc/oidc/callback?state=x&code=y")
        codes.append(answer.headers["location"].rpartition("=")[2])
    assert codes[0] == "state_invalid" and codes[-1] == "too_many_requests"
