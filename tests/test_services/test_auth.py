"""Registration, login, rotation of refresh tokens, browser sessions."""

from __future__ import annotations

import asyncio
import datetime as dt
import secrets
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from datanika.contracts.enums import Role
from datanika.db import SYSTEM, get_session
from datanika.errors import (
    AuthenticationError,
    Conflict,
    InvalidInput,
    NotFound,
    PermissionDenied,
)
from datanika.models import ApiKey, Membership, Organization, RefreshToken, User
from datanika.security import create_access_token, new_api_key, read_access_token
from datanika.services.api_key_service import ApiKeyService
from datanika.services.auth import AuthService, TokenPair, actor_for_token
from datanika.services.login_sessions import LoginSessions
from datanika.services.permissions import PERMISSIONS
from tests.support.tenants import add_member, make_tenant

PASSWORD = "correct horse battery"
pytestmark = pytest.mark.usefixtures("database")


async def register(email: str = "ada@example.com", organization: str = "Engines") -> int:
    """The new user's id."""
    async with get_session(SYSTEM) as session:
        user, _ = await AuthService(session).register(email, PASSWORD, "Ada", organization)
        return user.id


async def login(email: str = "ada@example.com", password: str = PASSWORD, **more: Any) -> TokenPair:
    async with get_session(SYSTEM) as session:
        return await AuthService(session).login(email, password, **more)


async def refresh(token: str) -> TokenPair:
    async with get_session(SYSTEM) as session:
        return await LoginSessions(session).refresh(token)


async def test_a_registered_user_owns_an_organisation_and_logs_in() -> None:
    user_id = await register(" Ada@Example.COM ")
    pair = await login("ADA@example.com")
    assert read_access_token(pair.access_token).user_id == user_id
    async with get_session(SYSTEM) as session:
        actor = await actor_for_token(session, pair.access_token)
    assert (actor.email, actor.role, actor.org_id) == ("ada@example.com", Role.OWNER, pair.org_id)
    assert pair.expires_in == 15 * 60


async def test_an_address_registers_once_and_nothing_is_left_of_the_second_try() -> None:
    await register()
    with pytest.raises(Conflict) as refused:
        await register("ADA@example.com", "Other")
    assert refused.value.code == "email_taken"
    async with get_session(SYSTEM) as session:
        assert await session.scalar(select(func.count(Organization.id))) == 1


async def test_organisations_of_the_same_name_can_exist() -> None:
    await register("a@example.com", "Ünïted  Engines!")
    await register("b@example.com", "Ünïted  Engines!")
    async with get_session(SYSTEM) as session:
        slugs = [*await session.scalars(select(Organization.slug))]
    assert len(set(slugs)) == 2 and all(slug.startswith("united-engines-") for slug in slugs)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"email": "ada"}, "email_invalid"),
        ({"email": "ada@example"}, "email_invalid"),
        ({"email": "a\0da@example.com"}, "email_invalid"),
        ({"password": "short"}, "password_too_short"),
        ({"password": "x" * 73}, "password_too_long"),
        ({"name": " "}, "name_invalid"),
        ({"organization_name": "a\0b"}, "name_invalid"),
    ],
)
async def test_bad_registrations_are_refused_with_the_field(
    change: dict[str, str], code: str
) -> None:
    given = {
        "email": "ada@example.com", "password": PASSWORD, "name": "Ada", "organization_name": "E",
    } | change  # fmt: skip
    with pytest.raises(InvalidInput) as refused:
        async with get_session(SYSTEM) as session:
            await AuthService(session).register(**given)
    assert (refused.value.code, refused.value.field) == (code, next(iter(change)))


async def test_unknown_user_and_wrong_password_get_the_same_answer() -> None:
    await register()
    answers = []
    for email, password in (
        ("ada@example.com", "wrong password"),
        ("ada@example.com", PASSWORD + "x" * 80),
        ("bob@example.com", PASSWORD),
        ("no address \0", PASSWORD),
        ("ada@example.com", ""),
    ):
        with pytest.raises(AuthenticationError) as refused:
            await login(email, password)
        answers.append((refused.value.code, refused.value.message))
    assert set(answers) == {("bad_credentials", "E-mail address or password is wrong.")}


async def test_an_unknown_user_is_compared_with_a_dummy_hash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[str] = []

    def checkpw(_: bytes, hashed: bytes) -> bool:
        compared.append(hashed.decode())
        return True

    monkeypatch.setattr("datanika.security.bcrypt.checkpw", checkpw)
    with pytest.raises(AuthenticationError):
        await login("nobody@example.com")
    assert [hashed[:7] for hashed in compared] == ["$2b$12$"]


async def test_deleted_users_cannot_log_in() -> None:
    user_id = await register()
    async with get_session(SYSTEM) as session:
        await session.execute(update(User).where(User.id == user_id).values(deleted_at=func.now()))
    with pytest.raises(AuthenticationError) as refused:
        await login()
    assert refused.value.code == "bad_credentials"


async def test_who_is_in_no_organisation_logs_in_to_none_and_goes_on_in_the_next_one() -> None:
    user_id = await register()
    async with get_session(SYSTEM) as session:
        await session.execute(update(Membership).values(deleted_at=func.now()))
        opened = await AuthService(session).create_session("ada@example.com", PASSWORD)
    pair = await login()
    assert (pair.org_id, opened.org_id) == (None, None)
    async with get_session(SYSTEM) as session:
        actor = await LoginSessions(session).actor_of_cookie(opened.token)
    assert (actor.user_id, actor.is_member, actor.is_operator) == (user_id, False, False)
    assert not any(actor.may(permission) for permission in PERMISSIONS)
    with pytest.raises(PermissionDenied) as denied:
        actor.require("run:read")
    assert denied.value.code == "no_organization"
    pair = await refresh(pair.refresh_token)
    assert pair.org_id is None
    joined = await make_tenant("Joined")
    async with get_session(SYSTEM) as session:
        session.add(Membership(org_id=joined.org_id, user_id=user_id, role=Role.VIEWER))
    assert (await refresh(pair.refresh_token)).org_id == joined.org_id
    async with get_session(SYSTEM) as session:
        actor = await LoginSessions(session).actor_of_cookie(opened.token)
        assert actor.org_id == joined.org_id
        await session.execute(update(User).where(User.id == user_id).values(deleted_at=func.now()))
        with pytest.raises(AuthenticationError):
            await LoginSessions(session).actor_of_cookie(opened.token)


async def test_login_chooses_an_organisation_only_where_the_user_is_a_member() -> None:
    user_id = await register()
    second, strange = await make_tenant("Second"), await make_tenant("Strange")
    async with get_session(SYSTEM) as session:
        session.add(Membership(org_id=second.org_id, user_id=user_id, role=Role.VIEWER))
    assert (await login(org_id=second.org_id)).org_id == second.org_id
    with pytest.raises(AuthenticationError) as refused:
        await login(org_id=strange.org_id)
    assert refused.value.code == "not_a_member"
    async with get_session(SYSTEM) as session:
        mine = await AuthService(session).organizations_of(user_id)
    assert [(organization.name, role) for organization, role in mine] == [
        ("Engines", Role.OWNER),
        ("Second", Role.VIEWER),
    ]


async def test_refreshing_keeps_organisation_and_rotates_the_token() -> None:
    await register()
    first = await login()
    second = await refresh(first.refresh_token)
    assert second.org_id == first.org_id
    assert second.refresh_token != first.refresh_token
    await refresh(second.refresh_token)


async def test_reuse_revokes_the_whole_family_and_no_other() -> None:
    await register()
    first, elsewhere = await login(), await login()
    second = await refresh(first.refresh_token)
    for token in (first.refresh_token, second.refresh_token):
        with pytest.raises(AuthenticationError) as refused:
            await refresh(token)
        assert refused.value.code == "refresh_token_invalid"
    await refresh(elsewhere.refresh_token)


async def test_of_fifty_parallel_refreshes_one_wins() -> None:
    await register()
    token = (await login()).refresh_token
    outcomes = await asyncio.gather(*(refresh(token) for _ in range(50)), return_exceptions=True)
    assert sum(isinstance(outcome, TokenPair) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, AuthenticationError) for outcome in outcomes) == 49
    async with get_session(SYSTEM) as session:
        alive = select(func.count(RefreshToken.id)).where(RefreshToken.revoked_at.is_(None))
        assert await session.scalar(alive) == 0


async def test_a_link_made_while_the_family_is_revoked_does_not_survive() -> None:
    await register()
    for _ in range(5):
        first = await login()
        second = await refresh(first.refresh_token)
        await asyncio.gather(
            refresh(second.refresh_token), refresh(first.refresh_token), return_exceptions=True
        )
    async with get_session(SYSTEM) as session:
        alive = select(func.count(RefreshToken.id)).where(RefreshToken.revoked_at.is_(None))
        assert await session.scalar(alive) == 0


async def test_expired_unknown_and_logged_out_tokens_are_refused() -> None:
    await register()
    expired, left = await login(), await login()
    async with get_session(SYSTEM) as session:
        await session.execute(text("UPDATE refresh_tokens SET expires_at = now() WHERE id = 1"))
        await LoginSessions(session).revoke_by_token(left.refresh_token)
        await LoginSessions(session).revoke_by_token("unknown")
    for token in (expired.refresh_token, left.refresh_token, "unknown", "", "\ud800"):
        with pytest.raises(AuthenticationError):
            await refresh(token)


async def test_leaving_the_organisation_ends_every_token() -> None:
    user_id = await register()
    pair = await login()
    async with get_session(SYSTEM) as session:
        await session.execute(
            update(Membership).where(Membership.user_id == user_id).values(deleted_at=func.now())
        )
    with pytest.raises(AuthenticationError):
        await refresh(pair.refresh_token)
    with pytest.raises(AuthenticationError):
        async with get_session(SYSTEM) as session:
            await actor_for_token(session, pair.access_token)


async def test_tokens_are_stored_as_hashes() -> None:
    await register()
    pair = await login()
    async with get_session(SYSTEM) as session:
        stored = (
            await session.execute(text("SELECT refresh_tokens::text FROM refresh_tokens"))
        ).all()
        hashed = await session.scalar(text("SELECT password_hash FROM users"))
    assert pair.refresh_token not in str(stored)
    assert hashed.startswith("$2b$12$")


async def test_a_browser_session_lives_until_it_is_closed() -> None:
    await register()
    async with get_session(SYSTEM) as session:
        opened = await AuthService(session).create_session("ada@example.com", PASSWORD)
    assert opened.expires_at > dt.datetime.now(dt.UTC) + dt.timedelta(days=29)
    for _ in range(2):
        async with get_session(SYSTEM) as session:
            actor = await LoginSessions(session).actor_of_cookie(opened.token)
        assert actor.org_id == opened.org_id
    async with get_session(SYSTEM) as session:
        await LoginSessions(session).revoke_by_token(opened.token)
    async with get_session(SYSTEM) as session:
        with pytest.raises(AuthenticationError) as refused:
            await LoginSessions(session).actor_of_cookie(opened.token)
    assert refused.value.code == "session_invalid"


async def test_refresh_tokens_and_session_tokens_are_not_exchangeable() -> None:
    await register()
    pair = await login()
    async with get_session(SYSTEM) as session:
        opened = await AuthService(session).create_session("ada@example.com", PASSWORD)
        with pytest.raises(AuthenticationError):
            await LoginSessions(session).actor_of_cookie(pair.refresh_token)
    with pytest.raises(AuthenticationError):
        await refresh(opened.token)


async def test_a_session_moves_only_to_organisations_of_its_user() -> None:
    user_id = await register()
    second, strange = await make_tenant("Second"), await make_tenant("Strange")
    async with get_session(SYSTEM) as session:
        session.add(Membership(org_id=second.org_id, user_id=user_id, role=Role.EDITOR))
        opened = await AuthService(session).create_session("ada@example.com", PASSWORD)
    async with get_session(SYSTEM) as session:
        await LoginSessions(session).switch_cookie(opened.token, second.org_id)
    async with get_session(SYSTEM) as session:
        service = AuthService(session)
        assert (await service.logins.actor_of_cookie(opened.token)).role is Role.EDITOR
        with pytest.raises(NotFound):
            await service.logins.switch_cookie(opened.token, strange.org_id)


async def test_an_api_key_acts_within_its_scopes_and_its_makers_role() -> None:
    tenant = await make_tenant()
    admin = await add_member(tenant.org_id, Role.ADMIN)
    async with get_session(admin.scope) as session:
        key, plaintext = await ApiKeyService(session, admin).create(
            "ci", ["run:trigger", "run:read"]
        )
    async with get_session(SYSTEM) as session:
        actor = await actor_for_token(session, plaintext)
        assert (actor.user_id, actor.org_id, actor.api_key_id) == (
            admin.user_id, tenant.org_id, key.id,
        )  # fmt: skip
        assert actor.may("run:trigger") and not actor.may("connection:read")
        await session.execute(
            update(Membership).where(Membership.user_id == admin.user_id).values(role=Role.VIEWER)
        )
        actor = await actor_for_token(session, plaintext)
        assert actor.may("run:read") and not actor.may("run:trigger")
        used = await session.scalar(select(ApiKey.last_used_at).where(ApiKey.id == key.id))
        assert used is not None


async def test_wrong_expired_and_revoked_api_keys_are_refused() -> None:
    tenant = await make_tenant()
    async with get_session(tenant.owner.scope) as session:
        service = ApiKeyService(session, tenant.owner)
        _, expired = await service.create(
            "old", ["run:read"], dt.datetime.now(dt.UTC) + dt.timedelta(seconds=0.2)
        )
        key, revoked = await service.create("revoked", ["run:read"])
        await service.revoke(key.id)
    await asyncio.sleep(0.3)
    for plaintext in (expired, revoked, new_api_key(), "dnk_" + "x" * 46, "dnk_\ud800"):
        async with get_session(SYSTEM) as session:
            with pytest.raises(AuthenticationError) as refused:
                await actor_for_token(session, plaintext)
        assert refused.value.code == "api_key_invalid"


async def test_an_access_token_for_an_organisation_the_user_is_not_in_is_refused() -> None:
    mine, theirs = await make_tenant(), await make_tenant()
    token = create_access_token(mine.owner.user_id, theirs.org_id, mine.owner.session_id or 0)
    async with get_session(SYSTEM) as session:
        with pytest.raises(AuthenticationError):
            await actor_for_token(session, token)
        with pytest.raises(AuthenticationError):
            await actor_for_token(session, secrets.token_urlsafe(32))
