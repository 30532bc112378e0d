"""Idempotency keys: claimed in the transaction of the work, free again when it is undone."""

from __future__ import annotations

import pytest

from datanika.db import SYSTEM, get_session
from datanika.errors import InvalidInput
from datanika.services.idempotency_service import IdempotencyService, KeptAnswer
from tests.support.tenants import Tenant, make_tenant

ANSWER = KeptAnswer(201, {"etag": '"1"'}, b'{"id": 1}')


@pytest.fixture
async def tenant(database: str) -> Tenant:
    return await make_tenant()


async def once(tenant: Tenant, body: bytes = b"a", owner: str = "user:1") -> KeptAnswer | None:
    async with get_session(tenant.owner.scope) as session:
        keys = IdempotencyService(session, owner, tenant.org_id)
        kept = await keys.claim("POST /things", "key", body)
        if kept is None:
            await keys.keep(ANSWER)
        return kept


async def test_the_same_request_gets_the_answer_it_got(tenant: Tenant) -> None:
    assert await once(tenant) is None
    assert await once(tenant) == ANSWER
    assert await once(tenant, owner="user:2") is None
    with pytest.raises(InvalidInput) as refused:
        await once(tenant, body=b"b")
    assert refused.value.code == "idempotency_key_reused"


async def test_work_that_is_rolled_back_leaves_the_key_free(tenant: Tenant) -> None:
    with pytest.raises(ZeroDivisionError):
        async with get_session(tenant.owner.scope) as session:
            keys = IdempotencyService(session, "user:1", tenant.org_id)
            await keys.claim("POST /things", "key", b"a")
            await keys.keep(ANSWER)
            raise ZeroDivisionError
    assert await once(tenant) is None


async def test_work_that_is_undone_later_frees_its_key(tenant: Tenant) -> None:
    async with get_session(tenant.owner.scope) as session:
        keys = IdempotencyService(session, "user:1", tenant.org_id)
        await keys.claim("POST /things", "key", b"a")
        await keys.keep(ANSWER)
    async with get_session(SYSTEM) as session:
        await keys.release(session)
    assert await once(tenant, body=b"b") is None
