"""Trying a connection: what is remembered of it, and who may try its secrets elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from datanika.config import settings
from datanika.contracts.ad_hoc import AdHocAnswer, ProbeResult
from datanika.contracts.enums import Role
from datanika.contracts.jobs import JobAction
from datanika.contracts.spec import TransformationSpec
from datanika.db import SYSTEM, get_session
from datanika.errors import DatanikaError
from datanika.models import Connection
from datanika.services.actor import Actor, prove_membership
from datanika.services.connection_service import ConnectionService
from datanika.services.connection_trial import note_test, resolve_trial
from datanika.services.connection_uses import uses_of
from datanika.services.job_service import claim_job
from datanika.services.job_start import create_job
from datanika.services.transformation_service import TransformationService
from tests.support.pipelines import make_pipeline
from tests.support.tenants import Tenant, add_member, make_tenant

CONFIG = {"host": "db.example.com", "database": "d", "user": "u", "password": "canary-1"}


@pytest.fixture
async def tenant(database: str, monkeypatch: pytest.MonkeyPatch) -> Tenant:
    monkeypatch.setattr(settings, "redis_url", SecretStr("redis://127.0.0.1:1/0"))
    return await make_tenant()


async def create(tenant: Tenant) -> int:
    async with get_session(tenant.owner.scope) as session:
        service = ConnectionService(session, tenant.owner)
        return (await service.create("dwh", "postgres", CONFIG)).id


async def read(tenant: Tenant, connection_id: int) -> Connection:
    async with get_session(tenant.owner.scope) as session:
        return await ConnectionService(session, tenant.owner).get(connection_id)


async def try_out(tenant: Tenant, connection_id: int, result: ProbeResult, **request: Any) -> None:
    """A worker takes the test and ends it with ``result``."""
    async with get_session(tenant.owner.scope) as session:
        job = await create_job(
            session, tenant.owner, JobAction.TEST_CONNECTION, connection_id, request
        )
    async with get_session(SYSTEM) as session:
        claimed = await claim_job(session, tenant.org_id, job.id)
    assert claimed is not None
    async with get_session(SYSTEM) as session:
        await note_test(session, claimed, AdHocAnswer(result=result))


async def refusal(actor: Actor, connection_id: int, config: dict[str, Any]) -> str:
    with pytest.raises(DatanikaError) as caught:
        async with get_session(actor.scope) as session:
            request = {"config": config}
            await create_job(session, actor, JobAction.TEST_CONNECTION, connection_id, request)
    return caught.value.code


async def test_the_last_test_is_of_the_configuration_that_is_saved(tenant: Tenant) -> None:
    connection_id = await create(tenant)
    before = await read(tenant, connection_id)
    assert (before.tested_at, before.test_code) == (None, None)
    await try_out(tenant, connection_id, ProbeResult(ok=False, code="host_unreachable"))
    failed = await read(tenant, connection_id)
    assert (failed.tested_at is not None, failed.test_code) == (True, "host_unreachable")
    assert (failed.revision, failed.updated_at) == (before.revision, before.updated_at)
    await try_out(tenant, connection_id, ProbeResult(ok=True))
    assert (await read(tenant, connection_id)).test_code is None
    # What is tried before it is saved says nothing of what is saved.
    other = {"host": "other.example.com", "database": "d", "user": "u"}
    await try_out(tenant, connection_id, ProbeResult(ok=False, code="tls_failed"), config=other)
    assert (await read(tenant, connection_id)).test_code is None
    async with get_session(tenant.owner.scope) as session:
        await ConnectionService(session, tenant.owner).update(connection_id, config=other)
    assert (await read(tenant, connection_id)).tested_at is None


async def test_a_change_is_tried_with_the_secrets_that_it_leaves_out(tenant: Tenant) -> None:
    connection_id = await create(tenant)
    change = {"host": "other.example.com", "database": "d", "user": "u"}
    async with get_session(SYSTEM) as session:
        tried = await resolve_trial(session, tenant.org_id, connection_id, change)
    assert tried.config == {**change, "password": "canary-1"}
    assert await refusal(tenant.owner, connection_id, {"host": "x y"}) == (
        "connection_config_invalid"
    )


async def test_who_may_not_change_a_connection_sends_its_secrets_nowhere(tenant: Tenant) -> None:
    connection_id = await create(tenant)
    change = {"host": "evil.example.com", "database": "d", "user": "u"}
    viewer = await add_member(tenant.org_id, Role.VIEWER)
    assert await refusal(viewer, connection_id, change) == "permission_denied"
    async with get_session(SYSTEM) as session:
        key = await prove_membership(
            session,
            tenant.owner.user_id,
            tenant.org_id,
            scopes=frozenset({"connection:test", "connection:read"}),
            api_key_id=1,
        )
    assert await refusal(key, connection_id, change) == "permission_denied"
    async with get_session(SYSTEM) as session:
        row = await session.get(Connection, connection_id)
        assert row is not None
        row.operator_managed = True
    assert await refusal(tenant.owner, connection_id, change) == "operator_only"
    other = (await make_tenant("Other")).owner
    assert await refusal(other, connection_id, change) == "connection_not_found"


async def test_uses_are_pipelines_and_transformations_with_their_roles(tenant: Tenant) -> None:
    made = await make_pipeline(tenant.owner, "daily")
    idle = await create(tenant)
    async with get_session(tenant.owner.scope) as session:
        model = TransformationSpec(name="a", destination_id=idle, sql="select 1 as n")
        await TransformationService(session, tenant.owner).create(model)
    asked = [made.source_id, made.destination_id, idle]
    async with get_session(tenant.owner.scope) as session:
        found = await uses_of(session, tenant.org_id, asked)
    assert [(use.kind, use.name, use.roles) for use in found[made.source_id]] == [
        ("pipeline", "daily", ("source",))
    ]
    assert [(use.kind, use.name) for use in found[made.destination_id]] == [
        ("pipeline", "daily"),
        ("transformation", "stg_daily"),
    ]
    assert [use.name for use in found[idle]] == ["a"]
