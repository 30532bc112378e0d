"""Connections: validation, secrets, who may do what, and what still needs them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import select, text

from datanika.contracts.enums import Role
from datanika.contracts.spec import ConnectionRef, TransformationSpec
from datanika.db import SYSTEM, get_session
from datanika.errors import Conflict, InvalidInput, NotFound, PermissionDenied, PreconditionFailed
from datanika.models import AuditLog, Connection, Pipeline, PipelineVersion
from datanika.services.audit_service import verify
from datanika.services.connection_service import (
    ConnectionService,
    resolve_connection,
    secret_names,
)
from datanika.services.transformation_service import TransformationService
from tests.support.paging import pages
from tests.support.tenants import Tenant, add_member, make_tenant

pytestmark = pytest.mark.usefixtures("database")
CONFIG = {"host": "db.example.com", "database": "d", "user": "u", "password": "canary-1"}


async def create(tenant: Tenant, name: str = "dwh", **changes: Any) -> Connection:
    async with get_session(tenant.owner.scope) as session:
        return await ConnectionService(session, tenant.owner).create(
            name, "postgres", CONFIG | changes
        )


async def update(tenant: Tenant, connection_id: int, **changes: Any) -> Connection:
    async with get_session(tenant.owner.scope) as session:
        return await ConnectionService(session, tenant.owner).update(connection_id, **changes)


async def delete(tenant: Tenant, connection_id: int) -> None:
    async with get_session(tenant.owner.scope) as session:
        await ConnectionService(session, tenant.owner).delete(connection_id)


async def resolved(tenant: Tenant, connection_id: int) -> dict[str, Any]:
    async with get_session(SYSTEM) as session:
        return (await resolve_connection(session, tenant.org_id, connection_id)).config


async def make_pipeline(tenant: Tenant, *specs: dict[str, Any]) -> None:
    """A pipeline whose current version is the last of ``specs``."""
    async with get_session(SYSTEM) as session:
        pipeline = Pipeline(org_id=tenant.org_id, name="nightly")
        session.add(pipeline)
        await session.flush()
        for number, spec in enumerate(specs, 1):
            version = PipelineVersion(
                org_id=tenant.org_id, pipeline_id=pipeline.id, number=number, spec=spec,
                spec_hash="0" * 64,
            )  # fmt: skip
            session.add(version)
            await session.flush()
            pipeline.current_version_id = version.id


async def test_secrets_are_encrypted_and_nowhere_else() -> None:
    tenant = await make_tenant()
    connection = await create(tenant)
    assert connection.config == {k: v for k, v in CONFIG.items() if k != "password"}
    assert secret_names(connection) == ("password",)
    await update(tenant, connection.id, config=CONFIG | {"password": "canary-2"})
    async with get_session(SYSTEM) as session:
        for table in ("connections", "audit_log"):
            rows = (await session.execute(text(f"SELECT {table}::text FROM {table}"))).all()
            assert rows and "canary" not in str(rows)


async def test_a_resolved_connection_has_everything_an_engine_needs() -> None:
    tenant = await make_tenant()
    connection = await create(tenant)
    async with get_session(SYSTEM) as session:
        result = await resolve_connection(session, tenant.org_id, connection.id)
    assert (result.kind, result.config, result.secret_fields) == ("postgres", CONFIG, ("password",))
    assert result.root is not None and result.root.endswith(f"orgs/{tenant.org_id}")
    assert result.secrets() == ("canary-1",)
    assert "canary" not in repr(result)


async def test_another_organisations_connection_does_not_exist() -> None:
    ours, theirs = await make_tenant(), await make_tenant()
    connection = await create(theirs)
    async with get_session(ours.owner.scope) as session:
        service = ConnectionService(session, ours.owner)
        for call in (
            service.get(connection.id),
            service.update(connection.id, name="mine"),
            service.copy(connection.id, "mine"),
            service.delete(connection.id),
        ):
            with pytest.raises(NotFound) as refused:
                await call
            assert refused.value.code == "connection_not_found"
        assert (await service.list()).rows == []
        assert await service.refs([connection.id]) == {}
    async with get_session(SYSTEM) as session:
        with pytest.raises(NotFound):
            await resolve_connection(session, ours.org_id, connection.id)


@pytest.mark.parametrize(
    ("kind", "config", "code", "field"),
    [
        ("teradata", {}, "unknown_connection_kind", "kind"),
        ("postgres", CONFIG | {"port": "x"}, "connection_config_invalid", "config.port"),
        ("postgres", CONFIG | {"service": "x"}, "connection_config_invalid", "config"),
        ("postgres", CONFIG | {"host": "/tmp"}, "connection_config_invalid", "config.host"),
        ("postgres", {}, "connection_config_invalid", "config"),
    ],
)
async def test_a_wrong_configuration_is_refused_with_its_field(
    kind: str, config: dict[str, Any], code: str, field: str
) -> None:
    tenant = await make_tenant()
    with pytest.raises(InvalidInput) as refused:
        async with get_session(tenant.owner.scope) as session:
            await ConnectionService(session, tenant.owner).create("x", kind, config)
    assert (refused.value.code, refused.value.field) == (code, field)


async def test_a_wrong_secret_is_refused_without_showing_it() -> None:
    tenant = await make_tenant()
    with pytest.raises(InvalidInput) as refused:
        await create(tenant, password=["canary"])
    assert "canary" not in str(refused.value)


async def test_names_are_unique_among_the_living() -> None:
    tenant, neighbour = await make_tenant(), await make_tenant()
    first = await create(tenant)
    await create(neighbour)
    with pytest.raises(Conflict) as refused:
        await create(tenant)
    assert (refused.value.code, refused.value.field) == ("name_taken", "name")
    second = await create(tenant, "second")
    with pytest.raises(Conflict):
        await update(tenant, second.id, name="dwh")
    await delete(tenant, first.id)
    await update(tenant, second.id, name="dwh")


async def test_secrets_left_out_are_kept_and_empty_ones_forgotten() -> None:
    tenant = await make_tenant()
    connection = await create(tenant)
    public = {k: v for k, v in CONFIG.items() if k != "password"}
    await update(tenant, connection.id, config=public | {"host": "other.example.com"})
    assert await resolved(tenant, connection.id) == CONFIG | {"host": "other.example.com"}
    await update(tenant, connection.id, config=CONFIG | {"password": "canary-2"})
    assert (await resolved(tenant, connection.id))["password"] == "canary-2"
    await update(tenant, connection.id, name="renamed", description="d")
    assert (await resolved(tenant, connection.id))["password"] == "canary-2"


async def test_an_empty_secret_is_no_secret() -> None:
    tenant = await make_tenant()
    async with get_session(tenant.owner.scope) as session:
        service = ConnectionService(session, tenant.owner)
        connection = await service.create(
            "api", "rest_api",
            {
                "base_url": "https://api.example.com", "auth": "bearer", "token": "canary",
                "endpoints": [{"name": "items", "path": "items"}],
            },
        )  # fmt: skip
        assert secret_names(connection) == ("token",)
        changed = await service.update(
            connection.id, config=connection.config | {"auth": "none", "token": ""}
        )
        assert (secret_names(changed), changed.secrets) == ((), None)


async def test_a_stale_revision_is_refused() -> None:
    tenant = await make_tenant()
    connection = await create(tenant)
    assert (await update(tenant, connection.id, name="b", revision=1)).revision == 2
    with pytest.raises(PreconditionFailed) as refused:
        await update(tenant, connection.id, name="c", revision=1)
    assert refused.value.code == "stale_revision"


async def test_of_two_edits_of_the_same_revision_one_wins() -> None:
    tenant = await make_tenant()
    connection = await create(tenant)
    outcomes = await asyncio.gather(
        *(update(tenant, connection.id, name=f"n{i}", revision=1) for i in range(5)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Connection) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, PreconditionFailed) for outcome in outcomes) == 4


@pytest.mark.parametrize("use", ["source_id", "destination_id"])
async def test_a_connection_in_use_by_a_pipeline_cannot_be_deleted(use: str) -> None:
    tenant = await make_tenant()
    used, free = await create(tenant), await create(tenant, "free")
    step = {"key": "load", "source_id": 0, "destination_id": 0}
    await make_pipeline(
        tenant, {"steps": [step | {use: free.id}]}, {"steps": [step, step | {use: used.id}]}
    )
    with pytest.raises(Conflict, match="pipeline nightly") as refused:
        await delete(tenant, used.id)
    assert refused.value.code == "connection_in_use"
    await delete(tenant, free.id)  # only an old version used it


async def test_a_deleted_pipeline_uses_nothing() -> None:
    tenant = await make_tenant()
    connection = await create(tenant)
    await make_pipeline(tenant, {"steps": [{"destination_id": connection.id}]})
    async with get_session(SYSTEM) as session:
        await session.execute(text("UPDATE pipelines SET deleted_at = now()"))
    await delete(tenant, connection.id)


async def test_a_connection_in_use_by_a_transformation_cannot_be_deleted() -> None:
    tenant = await make_tenant()
    connection = await create(tenant)
    async with get_session(tenant.owner.scope) as session:
        await TransformationService(session, tenant.owner).create(
            TransformationSpec(name="stg", destination_id=connection.id, sql="select 1 as a")
        )
    with pytest.raises(Conflict, match="transformation stg"):
        await delete(tenant, connection.id)


async def test_a_connection_somebody_is_about_to_use_waits_with_its_deletion() -> None:
    tenant = await make_tenant()
    connection = await create(tenant)
    async with get_session(tenant.owner.scope) as session:
        refs = await ConnectionService(session, tenant.owner).refs([connection.id], lock=True)
        assert refs == {connection.id: ConnectionRef(id=connection.id, name="dwh", kind="postgres")}
        deletion = asyncio.create_task(delete(tenant, connection.id))
        done, _ = await asyncio.wait([deletion], timeout=0.3)
        assert not done
    await deletion


async def test_a_deleted_connection_is_gone_with_its_credentials() -> None:
    tenant = await make_tenant()
    connection = await create(tenant)
    await delete(tenant, connection.id)
    with pytest.raises(NotFound):
        await resolved(tenant, connection.id)
    async with get_session(SYSTEM) as session:
        row = await session.get(Connection, connection.id)
        assert row is not None and row.secrets is None


async def test_every_change_is_in_the_audit_log() -> None:
    tenant = await make_tenant()
    connection = await create(tenant)
    await update(tenant, connection.id, description="new")
    await delete(tenant, connection.id)
    async with get_session(tenant.owner.scope) as session:
        entries = [*await session.scalars(select(AuditLog).order_by(AuditLog.seq))]
        assert await verify(session, tenant.org_id) is None
    assert [entry.action for entry in entries] == [
        "connection.created", "connection.updated", "connection.deleted",
    ]  # fmt: skip
    assert {entry.user_id for entry in entries} == {tenant.owner.user_id}
    assert (entries[1].old or {})["description"] == ""
    assert (entries[1].new or {})["description"] == "new"


async def test_a_copy_has_the_same_secrets_under_its_own_row() -> None:
    tenant = await make_tenant()
    original = await create(tenant)
    async with get_session(tenant.owner.scope) as session:
        copied = await ConnectionService(session, tenant.owner).copy(original.id, "copy")
        assert (copied.kind, copied.config) == (original.kind, original.config)
        assert copied.secrets != original.secrets
    assert await resolved(tenant, copied.id) == await resolved(tenant, original.id)
    with pytest.raises(Conflict):
        async with get_session(tenant.owner.scope) as session:
            await ConnectionService(session, tenant.owner).copy(original.id, "copy")


async def test_roles_decide() -> None:
    tenant = await make_tenant()
    connection = await create(tenant)
    viewer = await add_member(tenant.org_id, Role.VIEWER)
    editor = await add_member(tenant.org_id, Role.EDITOR)
    async with get_session(viewer.scope) as session:
        service = ConnectionService(session, viewer)
        assert (await service.get(connection.id)).name == "dwh"
        for call in (
            service.create("x", "postgres", CONFIG),
            service.update(connection.id, name="x"),
            service.copy(connection.id, "x"),
        ):
            with pytest.raises(PermissionDenied):
                await call
        with pytest.raises(PermissionDenied):
            await ConnectionService(session, editor).delete(connection.id)


async def test_pages_follow_each_other() -> None:
    tenant = await make_tenant()
    ids = [(await create(tenant, f"c{number}")).id for number in range(3)]
    async with get_session(tenant.owner.scope) as session:
        service = ConnectionService(session, tenant.owner)
        for sort in ("id", "name", "created_at"):
            found = await pages(service.list, limit=2, sort=sort)
            assert [row.id for row in found] == ids
        found = await pages(service.list, limit=1, sort="-name")
        assert [row.id for row in found] == ids[::-1]


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "a\0b", "a\nb"])
async def test_bad_names_are_refused(name: str) -> None:
    tenant = await make_tenant()
    with pytest.raises(InvalidInput) as refused:
        await create(tenant, name)
    assert refused.value.code == "name_invalid"
