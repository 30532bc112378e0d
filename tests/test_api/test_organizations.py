"""Organisations, members, invitations and use over HTTP."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from sqlalchemy import func, update

from datanika.contracts.enums import Role
from datanika.db import SYSTEM, get_session
from datanika.models import LoginSession, Organization
from datanika.security import create_access_token
from datanika.services.actor import NOWHERE, Actor
from datanika.services.login_sessions import LoginSessions
from tests.support.accounts import PASSWORD, mails, make_person, token_of
from tests.support.tenants import Tenant, add_member, make_tenant
from tests.test_api.conftest import ANY, Connect

API = "/api/v1"


def token(link: str) -> str:
    return parse_qs(urlsplit(link).query)["token"][0]


async def refresh_token(actor: Actor) -> str:
    async with get_session(SYSTEM) as session:
        login = await session.get_one(LoginSession, actor.session_id)
        return (await LoginSessions(session).issue_tokens(login, actor)).refresh_token


async def test_the_organisation_is_changed_by_who_read_it_last(api: httpx.AsyncClient) -> None:
    read = await api.get(f"{API}/organization")
    tag = read.headers["etag"]
    assert read.json()["limits"]["max_concurrent_runs"] == 10
    change = {"max_concurrent_runs": 3}
    answers = await asyncio.gather(
        *(
            api.patch(f"{API}/organization", json=change, headers={"If-Match": tag})
            for _ in range(2)
        )
    )
    assert sorted(one.status_code for one in answers) == [200, 412]
    now = (await api.get(f"{API}/organization")).json()
    assert (now["max_concurrent_runs"], now["limits"]["max_concurrent_runs"]) == (3, 3)
    reset = await api.patch(
        f"{API}/organization", json={"max_concurrent_runs": None, "name": "New"}, headers=ANY
    )
    assert (reset.json()["name"], reset.json()["max_concurrent_runs"]) == ("New", None)
    above = await api.patch(f"{API}/organization", json={"max_connections": 501}, headers=ANY)
    assert (above.status_code, above.json()["code"]) == (403, "limit_above_platform")
    assert above.json()["field"] == "max_connections"


async def test_a_person_makes_another_organisation_once_and_switches_to_it(
    connect: Connect, api: httpx.AsyncClient, tenant: Tenant
) -> None:
    post = {"json": {"name": "Second"}, "headers": {"Idempotency-Key": "second"}}
    made, again = [await api.post(f"{API}/organizations", **post) for _ in range(2)]  # type: ignore[arg-type]
    assert (made.status_code, again.json()) == (201, made.json())
    listed = (await api.get(f"{API}/organizations")).json()["items"]
    assert [(one["role"], one["is_current"]) for one in listed] == [
        ("owner", True),
        ("owner", False),
    ]
    refresh = await refresh_token(tenant.owner)
    body = {"refresh_token": refresh, "org_id": made.json()["id"]}
    pair = (await connect().post(f"{API}/auth/switch", json=body)).json()
    there = connect(bearer=pair["access_token"])
    assert (await there.get(f"{API}/organization")).json()["name"] == "Second"
    # The old one is used up: who shows it again has stolen it, and the login ends.
    twice = await connect().post(f"{API}/auth/switch", json=body)
    assert (twice.status_code, twice.json()["code"]) == (401, "refresh_token_invalid")
    assert (await there.get(f"{API}/organization")).status_code == 401


async def test_a_switch_to_a_foreign_organisation_leaves_the_token_as_it_was(
    connect: Connect, tenant: Tenant
) -> None:
    foreign = await make_tenant()
    refresh = await refresh_token(tenant.owner)
    for org_id in (foreign.org_id, 10**9):
        body = {"refresh_token": refresh, "org_id": org_id}
        refused = await connect().post(f"{API}/auth/switch", json=body)
        assert (refused.status_code, refused.json()["code"]) == (404, "organization_not_found")
    kept = await connect().post(f"{API}/auth/refresh", json={"refresh_token": refresh})
    assert kept.status_code == 200


async def test_a_browser_switches_with_its_cookie_from_our_own_pages_only(
    connect: Connect, tenant: Tenant, api: httpx.AsyncClient
) -> None:
    second = (await api.post(f"{API}/organizations", json={"name": "Second"})).json()["id"]
    async with get_session(SYSTEM) as session:
        logins = LoginSessions(session)
        login = await logins.open(tenant.owner.user_id, "session", "password")
        cookie = (await logins.issue_cookie(login, tenant.owner)).token
    browser = connect()
    browser.cookies.set("datanika_session", cookie)
    body = {"org_id": second}
    foreign = {"Sec-Fetch-Site": "cross-site"}
    refused = await browser.put(f"{API}/auth/session", json=body, headers=foreign)
    assert refused.json()["code"] == "csrf_refused"
    own = {"Sec-Fetch-Site": "same-origin"}
    assert (await browser.put(f"{API}/auth/session", json=body, headers=own)).status_code == 200
    assert (await browser.get(f"{API}/organization")).json()["id"] == second
    missing = await connect().put(f"{API}/auth/session", json=body, headers=own)
    assert missing.status_code == 401


async def test_members_are_listed_changed_and_removed(
    connect: Connect, api: httpx.AsyncClient, tenant: Tenant
) -> None:
    viewer = await add_member(tenant.org_id, Role.VIEWER)
    first = (await api.get(f"{API}/members?limit=1")).json()
    rest = (await api.get(f"{API}/members?cursor={first['next_cursor']}")).json()
    assert [one["role"] for one in first["items"] + rest["items"]] == ["owner", "viewer"]
    found = (await api.get(f"{API}/members", params={"search": viewer.email[:12].upper()})).json()
    assert [one["user_id"] for one in found["items"]] == [viewer.user_id]
    path = f"{API}/members/{viewer.user_id}"
    raised = await api.patch(path, json={"role": "admin"}, headers=ANY)
    assert raised.json()["role"] == "admin"
    grown = connect(viewer)
    up = await grown.patch(path, json={"role": "owner"}, headers=ANY)
    assert (up.status_code, up.json()["code"]) == (403, "member_not_below")
    assert (await grown.delete(f"{API}/members/{tenant.owner.user_id}")).status_code == 403
    assert (await api.delete(path)).status_code == 204
    assert (await grown.get(f"{API}/members")).status_code == 401
    assert (await api.get(path)).json()["code"] == "member_not_found"


async def test_of_two_roles_for_one_state_of_a_member_exactly_one_is_given(
    api: httpx.AsyncClient, tenant: Tenant
) -> None:
    editor = await add_member(tenant.org_id, Role.EDITOR)
    path = f"{API}/members/{editor.user_id}"
    read = await api.get(path)
    tag = read.headers["etag"]
    assert tag == f'"{read.json()["revision"]}"'
    listed = (await api.get(f"{API}/members?search={editor.email}")).json()["items"]
    assert listed == [read.json()]
    answers = await asyncio.gather(
        *(
            api.patch(path, json={"role": role}, headers={"If-Match": tag})
            for role in ("admin", "viewer")
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412], answers[0].text
    [won] = [answer for answer in answers if answer.is_success]
    [lost] = [answer for answer in answers if not answer.is_success]
    assert lost.json()["code"] == "stale_revision"
    now = await api.get(path)
    assert now.json() == won.json()
    assert now.headers["etag"] == won.headers["etag"] != tag
    blind = await api.patch(path, json={"role": "viewer"})
    assert (blind.status_code, blind.json()["code"]) == (428, "precondition_required")


async def test_ownership_is_transferred_once(
    connect: Connect, api: httpx.AsyncClient, tenant: Tenant
) -> None:
    heirs = [await add_member(tenant.org_id, Role.EDITOR) for _ in range(3)]
    answers = await asyncio.gather(
        *(
            api.post(f"{API}/organization/transfer", json={"user_id": heir.user_id})
            for heir in heirs
        )
    )
    assert sorted(one.status_code for one in answers) == [200, 403, 403]
    listed = (await api.get(f"{API}/members")).json()["items"]
    assert sorted(one["role"] for one in listed) == ["admin", "editor", "editor", "owner"]
    assert (await api.post(f"{API}/organization/leave")).status_code == 204
    assert (await api.get(f"{API}/organization")).status_code == 401


async def test_an_invitation_is_made_accepted_and_over(
    connect: Connect, api: httpx.AsyncClient
) -> None:
    guest = (await make_tenant()).owner
    sent = await api.post(f"{API}/invitations", json={"email": guest.email, "role": "editor"})
    assert sent.status_code == 201, sent.text
    listed = await api.get(f"{API}/invitations")
    assert "link" not in listed.json()["items"][0]
    secret = token(sent.json()["link"])
    assert secret not in listed.text + (await api.get(f"{API}/audit?limit=500")).text
    strange = connect((await make_tenant()).owner)
    refused = await strange.post(f"{API}/invitations/accept", json={"token": secret})
    assert (refused.status_code, refused.json()["code"]) == (403, "invitation_of_another")
    joined = await connect(guest).post(f"{API}/invitations/accept", json={"token": secret})
    assert joined.json()["role"] == "editor"
    assert (await api.get(f"{API}/invitations")).json()["items"] == []
    register = {"token": secret, "name": "X", "password": "correct horse battery"}
    dead = await connect().post(f"{API}/invitations/register", json=register)
    assert (dead.status_code, dead.json()["code"]) == (422, "invitation_invalid")


@pytest.mark.parametrize("text", ["\0", "\ud800", "x" * 200, "."])
async def test_odd_tokens_are_refused_and_nothing_breaks(
    connect: Connect, api: httpx.AsyncClient, text: str
) -> None:
    import json

    content = json.dumps({"token": text, "name": "X", "password": "correct horse battery"})
    headers = {"Content-Type": "application/json"}
    answer = await connect().post(f"{API}/invitations/register", content=content, headers=headers)
    assert answer.status_code == 422, answer.text
    content = json.dumps({"token": text})
    answer = await api.post(f"{API}/invitations/accept", content=content, headers=headers)
    assert answer.status_code == 422, answer.text


async def test_use_is_shown_to_every_member(connect: Connect, tenant: Tenant) -> None:
    viewer = connect(await add_member(tenant.org_id, Role.VIEWER))
    shown = (await viewer.get(f"{API}/usage")).json()
    assert shown["connections"] == {"used": 0, "limit": 500}
    assert shown["rows"]["limit"] is None


async def test_with_the_organisation_deleted_its_tokens_and_cookies_open_nothing(
    connect: Connect, api: httpx.AsyncClient, tenant: Tenant
) -> None:
    editor = connect(await add_member(tenant.org_id, Role.EDITOR))
    assert (await editor.delete(f"{API}/organization", headers=ANY)).status_code == 403
    assert (await api.delete(f"{API}/organization")).status_code == 428
    assert (await api.delete(f"{API}/organization", headers=ANY)).status_code == 204
    for client in (api, editor):
        assert (await client.get(f"{API}/pipelines")).status_code == 401


async def test_who_is_in_no_organisation_sees_themselves_and_makes_or_joins_one(
    connect: Connect,
) -> None:
    person = await make_person()
    login = {"email": person.owner.email, "password": PASSWORD}
    async with get_session(SYSTEM) as session:
        await session.execute(update(Organization).values(deleted_at=func.now()))
    answer = (await connect().post("/api/v1/auth/login", json=login)).json()
    assert answer["org_id"] is None
    client = connect(bearer=answer["access_token"])
    me = (await client.get("/api/v1/auth/me")).json()
    assert (me["org_id"], me["organization"], me["role"], me["permissions"]) == (
        None, None, None, [],
    )  # fmt: skip
    assert (await client.get("/api/v1/account")).json()["email"] == person.owner.email
    assert (await client.get("/api/v1/organizations")).json()["items"] == []
    refused = await client.get("/api/v1/pipelines")
    assert (refused.status_code, refused.json()["code"]) == (403, "no_organization")
    # The same request twice makes one organisation here, too.
    key = {"Idempotency-Key": "once"}
    made = [
        await client.post("/api/v1/organizations", json={"name": "Mine"}, headers=key)
        for _ in range(2)
    ]
    assert [one.status_code for one in made] == [201, 201]
    assert made[0].json() == made[1].json()
    switch = {"refresh_token": answer["refresh_token"], "org_id": made[0].json()["id"]}
    switched = (await connect().post("/api/v1/auth/switch", json=switch)).json()
    mine = connect(bearer=switched["access_token"])
    assert (await mine.get("/api/v1/auth/me")).json()["role"] == "owner"
    assert [one["name"] for one in (await mine.get("/api/v1/organizations")).json()["items"]] == [
        "Mine"
    ]


async def test_a_token_of_no_organisation_ends_with_its_login(connect: Connect) -> None:
    person = await make_person()
    assert person.owner.session_id is not None
    token = create_access_token(person.owner.user_id, NOWHERE, person.owner.session_id)
    client = connect(bearer=token)
    assert (await client.get("/api/v1/account")).status_code == 200
    async with get_session(SYSTEM) as session:
        await LoginSessions(session).revoke(person.owner.user_id)
    ended = await client.get("/api/v1/account")
    assert (ended.status_code, ended.json()["code"]) == (401, "session_revoked")
    stolen = create_access_token(person.owner.user_id + 1, NOWHERE, person.owner.session_id)
    assert (await connect(bearer=stolen).get("/api/v1/account")).status_code == 401


async def test_forms_of_an_invitation_lead_on_or_back_with_the_code(
    api: httpx.AsyncClient, connect: Connect
) -> None:
    guest = await make_person("Elsewhere")
    links = []
    for email in (guest.owner.email, "grace@example.com"):
        body = {"email": email, "role": "viewer"}
        assert (await api.post(f"{API}/invitations", json=body)).status_code == 201
        links.append(token_of(mails()[-1]))
    here = {"Origin": "http://datanika.test"}
    browser = connect()
    login = {"email": guest.owner.email, "password": PASSWORD}
    await browser.post(f"{API}/auth/session", json=login)
    form = {"token": links[0]}
    evil = {"Origin": "http://evil.example"}
    refused = await browser.post(f"{API}/invitations/accept", data=form, headers=evil)
    assert refused.status_code == 403
    done = await browser.post(f"{API}/invitations/accept", data=form, headers=here)
    assert (done.status_code, done.headers["location"]) == (303, "/")
    assert (await browser.get(f"{API}/auth/me")).json()["organization"] == "Acme"
    for path in ("accept", "decline"):
        again = await browser.post(f"{API}/invitations/{path}", data=form, headers=here)
        query = parse_qs(urlsplit(again.headers["location"]).query)
        assert query == {"token": [links[0]], "error": ["invitation_invalid"]}
    stranger = connect()
    short = {"token": links[1], "name": "Grace", "password": "short"}
    back = await stranger.post(f"{API}/invitations/register", data=short)
    assert "error=password_too_short" in back.headers["location"]
    joined = await stranger.post(
        f"{API}/invitations/register", data={**short, "password": PASSWORD}
    )
    assert (joined.status_code, joined.headers["location"]) == (303, "/login?notice=joined")
    assert "set-cookie" not in joined.headers
