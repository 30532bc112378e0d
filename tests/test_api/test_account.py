"""A person's own account over HTTP."""

from __future__ import annotations

import httpx
import pyotp
import pytest
from sqlalchemy import func, select, text, update

from datanika.contracts.enums import Role
from datanika.db import SYSTEM, get_session
from datanika.models import (
    AuditLog,
    LoginSession,
    Membership,
    Organization,
    User,
    UserIdentity,
    UserToken,
)
from datanika.services.audit_service import verify
from datanika.services.failed_logins import record_failures
from tests.support.accounts import PASSWORD, change, mails, make_person, token_of
from tests.support.tenants import Tenant, add_member, make_tenant
from tests.test_api.conftest import Connect

NEW = "another horse battery"
CONFIRM = "/api/v1/auth/email-confirmation/confirm"


@pytest.fixture
async def person(database: str) -> Tenant:
    return await make_person()


@pytest.fixture
def me(connect: Connect, person: Tenant) -> httpx.AsyncClient:
    return connect(person.owner)


async def log_in(client: httpx.AsyncClient, email: str, **more: str) -> httpx.Response:
    body = {"email": email, "password": PASSWORD, **more}
    return await client.post("/api/v1/auth/login", json=body)


async def actions() -> list[str]:
    async with get_session(SYSTEM) as session:
        return [*await session.scalars(select(AuditLog.action).order_by(AuditLog.id))]


async def test_an_api_key_is_no_person(me: httpx.AsyncClient, connect: Connect) -> None:
    made = await me.post("/api/v1/api-keys", json={"name": "k", "scopes": ["run:read"]})
    key = connect(bearer=made.json()["key"])
    for method, path in (("GET", ""), ("PATCH", ""), ("POST", "/erase"), ("GET", "/sessions")):
        answer = await key.request(method, f"/api/v1/account{path}", json={})
        assert (answer.status_code, answer.json()["code"]) == (403, "person_required")


async def test_what_happens_to_an_account_is_in_the_audit_logs_of_all_its_organisations(
    me: httpx.AsyncClient, person: Tenant, connect: Connect
) -> None:
    second = await make_tenant("Second")
    user_id, email = person.owner.user_id, person.owner.email
    async with get_session(SYSTEM) as session:
        session.add(Membership(org_id=second.org_id, user_id=user_id, role=Role.VIEWER))
    tokens = [(await log_in(connect(), email)).json()["refresh_token"] for _ in range(3)]
    cookie = connect()
    await cookie.post("/api/v1/auth/session", json={"email": email, "password": PASSWORD})
    await connect().post("/api/v1/auth/logout", json={"refresh_token": tokens[0]})
    await connect().post("/api/v1/auth/logout", json={"refresh_token": tokens[0]})
    for _ in range(3):  # the second one is a reuse, the third one tells nothing new
        await connect().post("/api/v1/auth/refresh", json={"refresh_token": tokens[1]})
    listed = (await me.get("/api/v1/account/sessions")).json()["items"]
    await me.delete(f"/api/v1/account/sessions/{listed[0]['id']}")
    await me.delete("/api/v1/account/sessions")
    await me.delete("/api/v1/account/sessions")
    _, codes = await enable_totp(me)
    await me.post("/api/v1/account/totp/disable", json={"password": PASSWORD, "code": codes[0]})
    body = {"current_password": PASSWORD, "new_password": NEW}
    await me.post("/api/v1/account/password", json=body)
    happened = [
        *["user.logged_in"] * 4,
        "user.logged_out",
        *["user.session_revoked"] * 3,
        "user.totp_enabled",
        "user.totp_disabled",
        "user.password_changed",
    ]
    async with get_session(SYSTEM) as session:
        for org_id in (person.org_id, second.org_id):
            query = select(AuditLog.action).where(
                AuditLog.org_id == org_id, AuditLog.resource_id == user_id
            )
            assert [*await session.scalars(query.order_by(AuditLog.seq))] == happened
            assert await verify(session, org_id) is None
    found = await connect(second.owner).get("/api/v1/audit?action=user.logged_in")
    assert [one["new"] for one in found.json()["items"]] == [
        {"email": email, "method": "password", "address": "127.0.0.1"}
    ] * 4


async def test_a_wrong_code_is_a_failed_login(
    me: httpx.AsyncClient, person: Tenant, connect: Connect
) -> None:
    await enable_totp(me)
    await log_in(connect(), person.owner.email)
    await record_failures()
    assert "user.login_failed" not in await actions()
    await log_in(connect(), person.owner.email, totp_code="000000")
    await record_failures()
    assert (await actions())[-1] == "user.login_failed"


async def test_name_and_language_can_be_changed(me: httpx.AsyncClient) -> None:
    answer = await me.patch("/api/v1/account", json={"name": " Ada ", "locale": "sr"})
    assert (answer.json()["name"], answer.json()["locale"]) == ("Ada", "sr")
    assert (await me.get("/api/v1/auth/me")).json()["locale"] == "sr"
    for body in ({"locale": "tlh"}, {"name": "a\0b"}, {"email": "x@example.com"}):
        assert (await me.patch("/api/v1/account", json=body)).status_code == 422


async def test_another_password_needs_the_present_one_and_ends_the_other_logins(
    me: httpx.AsyncClient, person: Tenant, connect: Connect
) -> None:
    other = (await log_in(connect(), person.owner.email)).json()
    wrong = {"current_password": "wrong password", "new_password": NEW}
    refused = await me.post("/api/v1/account/password", json=wrong)
    assert (refused.status_code, refused.json()["field"]) == (422, "current_password")
    body = {"current_password": PASSWORD, "new_password": NEW}
    assert (await me.post("/api/v1/account/password", json=body)).status_code == 204
    assert (await me.get("/api/v1/auth/me")).status_code == 200
    ended = await connect(bearer=other["access_token"]).get("/api/v1/auth/me")
    assert ended.json()["code"] == "session_revoked"
    assert (await log_in(connect(), person.owner.email)).status_code == 401
    assert (await log_in(connect(), person.owner.email, password=NEW)).status_code == 200
    assert [mail["Subject"] for mail in mails()] == ["Your password was changed"]
    assert "user.password_changed" in await actions()


async def api_key(me: httpx.AsyncClient, connect: Connect) -> httpx.AsyncClient:
    made = await me.post("/api/v1/api-keys", json={"name": "k", "scopes": ["run:read"]})
    return connect(bearer=made.json()["key"])


@pytest.mark.parametrize("way", ["changed", "reset"])
async def test_a_new_password_leaves_keys_and_linked_logins_unless_it_is_asked_to_end_them(
    me: httpx.AsyncClient, person: Tenant, connect: Connect, way: str
) -> None:
    key = await api_key(me, connect)
    async with get_session(SYSTEM) as session:
        mine = {"user_id": person.owner.user_id, "email": person.owner.email}
        session.add(UserIdentity(provider="google", subject="thief", **mine))
    old = PASSWORD
    for new, wanted in ((NEW, False), ("a third horse battery", True)):
        if way == "changed":
            body = {"current_password": old, "new_password": new, "revoke_keys": wanted}
            done = await me.post("/api/v1/account/password", json=body)
        else:
            reset = "/api/v1/auth/password-reset"
            await connect().post(reset, json={"email": person.owner.email})
            sent = [mail for mail in mails() if mail["Subject"] == "Choose a new password"]
            body = {"token": token_of(sent[-1]), "password": new, "revoke_keys": wanted}
            done = await connect().post(f"{reset}/confirm", json=body)
        assert done.status_code == 204, done.text
        assert (await key.get("/api/v1/runs")).status_code == (401 if wanted else 200)
        async with get_session(SYSTEM) as session:
            linked = await session.scalar(select(func.count(UserIdentity.id)))
        assert linked == (0 if wanted else 1)
        old = new


@pytest.mark.parametrize("way", ["changed", "reset"])
async def test_a_thiefs_link_to_move_the_account_dies_with_the_old_password(
    me: httpx.AsyncClient, person: Tenant, connect: Connect, way: str
) -> None:
    thief = {"email": "thief@example.com", "password": PASSWORD}
    await me.post("/api/v1/account/email", json=thief)
    link = {"token": token_of(mails()[-1])}
    if way == "changed":
        body = {"current_password": PASSWORD, "new_password": NEW}
        await me.post("/api/v1/account/password", json=body)
    else:
        reset = "/api/v1/auth/password-reset"
        await connect().post(reset, json={"email": person.owner.email})
        body = {"token": token_of(mails()[-1]), "password": NEW}
        assert (await connect().post(f"{reset}/confirm", json=body)).status_code == 204
    assert (await connect().post(CONFIRM, json=link)).json()["code"] == "token_invalid"
    assert (await log_in(connect(), person.owner.email, password=NEW)).status_code == 200


async def test_guessing_the_present_password_is_slowed(me: httpx.AsyncClient) -> None:
    body = {"current_password": "wrong password", "new_password": NEW}
    codes = [(await me.post("/api/v1/account/password", json=body)).status_code for _ in range(6)]
    assert codes == [422] * 5 + [429]


async def test_without_a_password_a_young_login_stands_for_it(
    me: httpx.AsyncClient, person: Tenant
) -> None:
    await change(person.owner.user_id, password_hash=None)
    async with get_session(SYSTEM) as session:
        await session.execute(
            update(LoginSession).values(created_at=func.now() - text("interval '11 minutes'"))
        )
    refused = await me.post("/api/v1/account/password", json={"new_password": NEW})
    assert (refused.status_code, refused.json()["code"]) == (403, "fresh_login_needed")
    async with get_session(SYSTEM) as session:
        await session.execute(update(LoginSession).values(created_at=func.now()))
    first = await me.post("/api/v1/account/password", json={"new_password": NEW})
    assert first.status_code == 204


async def test_another_address_counts_once_it_is_confirmed_and_the_old_one_is_told(
    me: httpx.AsyncClient, person: Tenant, connect: Connect
) -> None:
    old, body = person.owner.email, {"email": "New@example.com", "password": PASSWORD}
    assert (await me.post("/api/v1/account/email", json=body)).status_code == 202
    assert (await me.get("/api/v1/account")).json()["email"] == old
    [asked] = mails()
    assert asked["To"] == "new@example.com"
    token = {"token": token_of(asked)}
    assert (await connect().post(CONFIRM, json=token)).status_code == 204
    account = (await me.get("/api/v1/account")).json()
    assert (account["email"], account["email_verified"]) == ("new@example.com", True)
    assert [mail["To"] for mail in mails()] == ["new@example.com", old]
    assert (await connect().post(CONFIRM, json=token)).status_code == 422
    assert "user.email_changed" in await actions()


async def test_an_address_that_has_an_account_is_not_told_to_the_one_who_asks(
    me: httpx.AsyncClient, connect: Connect
) -> None:
    other = (await make_person("Other")).owner.email
    answers = [
        await me.post("/api/v1/account/email", json={"email": one, "password": PASSWORD})
        for one in (other, "free@example.com")
    ]
    assert answers[0].text == answers[1].text
    assert [mail["Subject"] for mail in mails()] == [
        "You already have an account", "Confirm your new email address",
    ]  # fmt: skip
    # Taken between the question and the link.
    async with get_session(SYSTEM) as session:
        session.add(User(email="free@example.com", name="x"))
    taken = await connect().post(CONFIRM, json={"token": token_of(mails()[1])})
    assert (taken.status_code, taken.json()["code"]) == (409, "email_taken")


async def test_logins_are_listed_and_ended_and_nobody_elses(
    me: httpx.AsyncClient, person: Tenant, connect: Connect
) -> None:
    tokens = [
        (await log_in(connect(), person.owner.email)).json()["access_token"] for _ in range(3)
    ]
    listed = (await me.get("/api/v1/account/sessions")).json()["items"]
    assert [one["is_current"] for one in listed] == [False, False, False, True]
    assert listed[0]["address"] == "127.0.0.1" and listed[0]["method"] == "password"
    path = f"/api/v1/account/sessions/{listed[0]['id']}"
    stranger = connect((await make_tenant("Other")).owner)
    assert (await stranger.delete(path)).status_code == 404
    assert (await me.delete(path)).status_code == 204
    assert (await me.delete(path)).status_code == 404
    assert (await connect(bearer=tokens[2]).get("/api/v1/auth/me")).status_code == 401
    assert (await me.delete("/api/v1/account/sessions")).json() == {"ended": 2}
    assert (await connect(bearer=tokens[0]).get("/api/v1/auth/me")).status_code == 401
    assert (await me.get("/api/v1/auth/me")).status_code == 200


async def enable_totp(me: httpx.AsyncClient) -> tuple[pyotp.TOTP, list[str]]:
    made = (await me.post("/api/v1/account/totp", json={"password": PASSWORD})).json()
    totp = pyotp.TOTP(made["secret"])
    assert pyotp.parse_uri(made["otpauth_url"]).secret == made["secret"]
    answer = await me.post("/api/v1/account/totp/enable", json={"code": totp.now()})
    return totp, answer.json()["recovery_codes"]


async def forget_used_codes() -> None:
    async with get_session(SYSTEM) as session:
        await session.execute(text("DELETE FROM user_tokens WHERE purpose = 'totp_step'"))


async def test_a_second_factor_is_asked_for_and_each_code_opens_once(
    me: httpx.AsyncClient, person: Tenant, connect: Connect
) -> None:
    totp, codes = await enable_totp(me)
    assert len(set(codes)) == 10
    email, client = person.owner.email, connect()
    used = await log_in(client, email, totp_code=totp.now())
    assert used.json()["code"] == "totp_wrong"  # it switched the factor on
    await forget_used_codes()
    assert (await log_in(client, email)).json()["code"] == "totp_required"
    code = totp.now()
    assert (await log_in(client, email, totp_code=code)).status_code == 200
    assert (await log_in(client, email, totp_code=code)).json()["code"] == "totp_wrong"
    assert (await log_in(client, email, totp_code=codes[0].lower())).status_code == 200
    assert (await log_in(client, email, totp_code=codes[0])).json()["code"] == "totp_wrong"
    wrong = await log_in(client, email, password="wrong password", totp_code=codes[1])
    assert wrong.json()["code"] == "bad_credentials"
    async with get_session(SYSTEM) as session:
        secret = await session.scalar(text("SELECT totp_secret FROM users WHERE id = 1"))
        tokens = [*await session.scalars(select(UserToken.token_hash))]
    assert totp.secret not in secret and not set(codes) & set(tokens)


async def test_a_recovery_code_opens_its_owners_account_only(
    me: httpx.AsyncClient, connect: Connect
) -> None:
    _, codes = await enable_totp(me)
    other = await make_person("Other")
    await enable_totp(connect(other.owner))
    answer = await log_in(connect(), other.owner.email, totp_code=codes[0])
    assert answer.json()["code"] == "totp_wrong"


async def test_guessing_codes_is_slowed(
    me: httpx.AsyncClient, person: Tenant, connect: Connect
) -> None:
    await enable_totp(me)
    client, told = connect(), []
    for number in range(6):
        answer = await log_in(client, person.owner.email, totp_code=f"00000{number}")
        told.append(answer.json()["code"])
    assert told == ["totp_wrong"] * 5 + ["too_many_requests"]


async def test_switching_the_second_factor_off_needs_password_and_code(
    me: httpx.AsyncClient, person: Tenant, connect: Connect
) -> None:
    _, codes = await enable_totp(me)
    again = await me.post("/api/v1/account/totp", json={"password": PASSWORD})
    assert (again.status_code, again.json()["code"]) == (409, "totp_enabled")
    path = "/api/v1/account/totp/disable"
    for body in ({"code": codes[0]}, {"code": codes[0], "password": "wrong password"}):
        assert (await me.post(path, json=body)).json()["code"] == "password_wrong"
    wrong = await me.post(path, json={"password": PASSWORD, "code": "000000"})
    assert wrong.json()["code"] == "totp_wrong"
    right = await me.post(path, json={"password": PASSWORD, "code": codes[0]})
    assert right.status_code == 204
    assert (await log_in(connect(), person.owner.email)).status_code == 200
    assert {"user.totp_enabled", "user.totp_disabled"} <= set(await actions())


async def test_a_wrong_code_does_not_switch_it_on(me: httpx.AsyncClient) -> None:
    early = await me.post("/api/v1/account/totp/enable", json={"code": "123456"})
    assert early.json()["code"] == "totp_not_set_up"
    await me.post("/api/v1/account/totp", json={"password": PASSWORD})
    wrong = await me.post("/api/v1/account/totp/enable", json={"code": "not it"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "totp_wrong")
    assert not (await me.get("/api/v1/account")).json()["totp_enabled"]


async def test_erasing_leaves_nothing_that_names_or_lets_in(
    me: httpx.AsyncClient, person: Tenant, connect: Connect
) -> None:
    await enable_totp(me)
    made = await me.post("/api/v1/api-keys", json={"name": "k", "scopes": ["run:read"]})
    email, org_id = person.owner.email, person.org_id
    second = await make_tenant("Second")
    async with get_session(SYSTEM) as session:
        session.add(
            Membership(org_id=second.org_id, user_id=person.owner.user_id, role=Role.EDITOR)
        )
    wrong = await me.post("/api/v1/account/erase", json={"password": "wrong password"})
    assert wrong.json()["code"] == "password_wrong"
    done = await me.post("/api/v1/account/erase", json={"password": PASSWORD})
    assert done.status_code == 204, done.text
    assert (await me.get("/api/v1/auth/me")).status_code == 401
    key = connect(bearer=made.json()["key"])
    assert (await key.get("/api/v1/runs")).status_code == 401
    assert (await log_in(connect(), email)).json()["code"] == "bad_credentials"
    async with get_session(SYSTEM) as session:
        row = (await session.execute(text("SELECT users::text FROM users WHERE id = 1"))).scalar()
        assert email not in str(row) and "k1:" not in str(row) and "$2b$" not in str(row)
        for table in ("login_sessions", "user_tokens", "user_identities", "refresh_tokens"):
            count = text(f"SELECT count(*) FROM {table} WHERE user_id = 1")
            assert await session.scalar(count) == 0, table
        alone = await session.get_one(Organization, org_id)
        other = await session.get_one(Organization, second.org_id)
        assert alone.deleted_at is not None and other.deleted_at is None
        for organization in (org_id, second.org_id):
            assert await verify(session, organization) is None
    # The address is free again.
    again = {"email": email, "password": PASSWORD, "name": "A", "organization_name": "B"}
    await connect().post("/api/v1/auth/register", json=again)
    assert (await log_in(connect(), email)).status_code == 200


async def test_an_owner_of_others_cannot_go(
    me: httpx.AsyncClient, person: Tenant, connect: Connect
) -> None:
    member = await add_member(person.org_id, Role.ADMIN)
    refused = await me.post("/api/v1/account/erase", json={"password": PASSWORD})
    assert (refused.status_code, refused.json()["code"]) == (409, "owner_of_organizations")
    assert "Acme" in refused.json()["detail"]
    gone = await connect(member).post("/api/v1/account/erase", json={})
    assert gone.status_code == 204
    left = await me.post("/api/v1/account/erase", json={"password": PASSWORD})
    assert left.status_code == 204
