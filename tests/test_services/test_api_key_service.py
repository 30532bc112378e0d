"""API keys: shown once, never above their maker. How they log in is in test_auth.py."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import pytest
from sqlalchemy import text

from datanika.contracts.enums import Role
from datanika.db import SYSTEM, get_session
from datanika.errors import InvalidInput, NotFound, PermissionDenied
from datanika.services.api_key_service import ApiKeyService
from datanika.services.auth import actor_for_token
from tests.support.tenants import add_member, make_tenant

pytestmark = pytest.mark.usefixtures("database")


async def test_the_plaintext_is_in_the_answer_and_nowhere_else() -> None:
    tenant = await make_tenant()
    async with get_session(tenant.owner.scope) as session:
        key, plaintext = await ApiKeyService(session, tenant.owner).create("ci", ["run:read"])
    assert plaintext.startswith(key.prefix) and len(key.prefix) == 10
    async with get_session(SYSTEM) as session:
        for table in ("api_keys", "audit_log"):
            rows = (await session.execute(text(f"SELECT {table}::text FROM {table}"))).all()
            assert rows and plaintext not in str(rows)


async def test_a_revoked_key_is_gone() -> None:
    ours, theirs = await make_tenant(), await make_tenant()
    async with get_session(ours.owner.scope) as session:
        key, _ = await ApiKeyService(session, ours.owner).create("ci", ["run:read"])
    async with get_session(theirs.owner.scope) as session:
        with pytest.raises(NotFound):
            await ApiKeyService(session, theirs.owner).revoke(key.id)
        assert (await ApiKeyService(session, theirs.owner).list()).rows == []
    async with get_session(ours.owner.scope) as session:
        service = ApiKeyService(session, ours.owner)
        assert [row.name for row in (await service.list()).rows] == ["ci"]
        await service.revoke(key.id)
        assert (await service.list()).rows == []
        with pytest.raises(NotFound):
            await service.revoke(key.id)


@pytest.mark.parametrize(
    ("scopes", "expires_at", "code"),
    [
        ([], None, "scopes_empty"),
        (["run:read", "root"], None, "unknown_scope"),
        (["run:read"], dt.datetime(2020, 1, 1, tzinfo=dt.UTC), "expiry_in_the_past"),
    ],
)
async def test_keys_that_make_no_sense_are_refused(
    scopes: Sequence[str], expires_at: dt.datetime | None, code: str
) -> None:
    tenant = await make_tenant()
    async with get_session(tenant.owner.scope) as session:
        with pytest.raises(InvalidInput) as refused:
            await ApiKeyService(session, tenant.owner).create("x", scopes, expires_at)
    assert refused.value.code == code


async def test_nobody_makes_a_key_above_their_role() -> None:
    tenant = await make_tenant()
    admin, editor = [await add_member(tenant.org_id, role) for role in (Role.ADMIN, Role.EDITOR)]
    async with get_session(tenant.owner.scope) as session:
        with pytest.raises(PermissionDenied):
            await ApiKeyService(session, admin).create("x", ["organization:update"])
        with pytest.raises(PermissionDenied):
            await ApiKeyService(session, editor).create("x", ["run:read"])


async def test_a_key_makes_no_key_above_its_scopes() -> None:
    tenant = await make_tenant()
    async with get_session(tenant.owner.scope) as session:
        _, plaintext = await ApiKeyService(session, tenant.owner).create(
            "maker", ["api_key:write", "run:read"]
        )
    async with get_session(SYSTEM) as session:
        actor = await actor_for_token(session, plaintext)
    async with get_session(actor.scope) as session:
        service = ApiKeyService(session, actor)
        await service.create("child", ["run:read"])
        with pytest.raises(PermissionDenied):
            await service.create("child", ["connection:delete"])
