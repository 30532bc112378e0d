"""Each organisation has one key for hashed columns, and it outlives the platform's own keys."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from datanika.config import settings
from datanika.db import SYSTEM, TenantScope, get_session
from datanika.models import Organization
from datanika.security import new_encryption_key
from datanika.services.encryption import rotate_keys
from datanika.services.hash_keys import hash_key
from tests.support.tenants import make_tenant

pytestmark = pytest.mark.usefixtures("database")


async def key_of(org_id: int) -> str:
    async with get_session(TenantScope(org_id)) as session:
        return await hash_key(session, org_id)


async def test_it_is_one_per_organisation_however_many_ask_at_once() -> None:
    ours, theirs = await make_tenant(), await make_tenant()
    keys = await asyncio.gather(*(key_of(ours.org_id) for _ in range(8)))
    assert len(set(keys)) == 1
    assert len(bytes.fromhex(keys[0])) == 32
    assert await key_of(theirs.org_id) != keys[0]


async def test_it_is_stored_encrypted_and_stays_when_keys_are_rotated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tenant = await make_tenant()
    key = await key_of(tenant.org_id)
    async with get_session(SYSTEM) as session:
        stored = await session.scalar(
            select(Organization.hash_key).where(Organization.id == tenant.org_id)
        )
    assert stored is not None
    assert key not in stored
    old, new = settings.require("encryption_keys"), f"k2:{new_encryption_key()}"
    monkeypatch.setattr(settings, "encryption_keys", SecretStr(f"{new},{old}"))
    assert (await rotate_keys()).failed == []
    monkeypatch.setattr(settings, "encryption_keys", SecretStr(new))
    assert await key_of(tenant.org_id) == key
