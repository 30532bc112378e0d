"""References to the operator's secrets: who may set one, where they lead, who sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from datanika.config import settings
from datanika.contracts.enums import Role
from datanika.db import SYSTEM, get_session
from datanika.errors import Conflict, InvalidInput, PermissionDenied
from datanika.models import User
from datanika.services.actor import Actor, prove_membership
from datanika.services.audit_service import AuditService
from datanika.services.connection_service import (
    ConnectionService,
    referenced_names,
    resolve_connection,
    secret_names,
)
from datanika.services.secret_references import check_reference, resolve_reference
from tests.support.tenants import Tenant, add_member, make_tenant

CONFIG = {"host": "db.example.com", "database": "d", "user": "u"}
REFERENCE = {"$secret": "env:DATANIKA_SECRET_WAREHOUSE"}


@pytest.fixture
async def tenant(database: str) -> Tenant:
    return await make_tenant()


@pytest.fixture
async def operator(tenant: Tenant) -> Actor:
    async with get_session(SYSTEM) as session:
        (await session.get_one(User, tenant.owner.user_id)).is_instance_admin = True
        await session.flush()
        return await prove_membership(session, tenant.owner.user_id, tenant.org_id)


async def create(actor: Actor, password: Any = REFERENCE) -> int:
    async with get_session(actor.scope) as session:
        service = ConnectionService(session, actor)
        made = await service.create("dwh", "postgres", CONFIG | {"password": password})
        return made.id


async def update(actor: Actor, connection_id: int, **changes: Any) -> None:
    async with get_session(actor.scope) as session:
        await ConnectionService(session, actor).update(connection_id, **changes)


async def resolved(tenant: Tenant, connection_id: int) -> Any:
    async with get_session(tenant.owner.scope) as session:
        resolved = await resolve_connection(session, tenant.org_id, connection_id)
        return resolved.config["password"]


async def test_an_operators_reference_is_resolved_when_it_is_used(
    tenant: Tenant, operator: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection_id = await create(operator)
    with pytest.raises(Conflict) as missing:
        await resolved(tenant, connection_id)
    assert missing.value.code == "secret_reference_missing"
    monkeypatch.setenv("DATANIKA_SECRET_WAREHOUSE", "canary-env")
    assert await resolved(tenant, connection_id) == "canary-env"
    async with get_session(tenant.owner.scope) as session:
        row = await ConnectionService(session, tenant.owner).get(connection_id)
        entries = await AuditService(session, tenant.owner).list()
    assert (secret_names(row), referenced_names(row)) == (("password",), ("password",))
    assert row.operator_managed
    assert "canary-env" not in repr([(e.old, e.new) for e in entries.rows])


async def test_nobody_else_sets_a_reference_or_aims_a_connection_that_has_one(
    tenant: Tenant, operator: Actor
) -> None:
    editor = await add_member(tenant.org_id, Role.EDITOR)
    for actor in (editor, tenant.owner):
        with pytest.raises(PermissionDenied) as refused:
            await create(actor)
        assert (refused.value.code, refused.value.field) == ("operator_only", "config.password")
    connection_id = await create(operator)
    for config in (
        CONFIG | {"host": "evil.example.com"},
        CONFIG | {"password": "own"},
        CONFIG | {"password": REFERENCE},
    ):
        with pytest.raises(PermissionDenied):
            await update(editor, connection_id, config=config)
    await update(editor, connection_id, name="renamed", description="still fine")
    own = await create_own(editor)
    with pytest.raises(PermissionDenied):
        await update(editor, own, config=CONFIG | {"password": REFERENCE})


async def create_own(actor: Actor) -> int:
    async with get_session(actor.scope) as session:
        service = ConnectionService(session, actor)
        return (await service.create("own", "postgres", CONFIG | {"password": "x"})).id


async def test_without_its_reference_a_connection_is_everybodys_again(
    tenant: Tenant, operator: Actor
) -> None:
    connection_id = await create(operator)
    await update(operator, connection_id, config=CONFIG | {"password": "own"})
    editor = await add_member(tenant.org_id, Role.EDITOR)
    await update(editor, connection_id, config=CONFIG | {"host": "other.example.com"})
    assert await resolved(tenant, connection_id) == "own"


@pytest.mark.parametrize(
    "reference",
    [
        {"$secret": "env:DATANIKA_SECRET_KEY"},
        {"$secret": "env:DATANIKA_ENCRYPTION_KEYS"},
        {"$secret": "env:DATABASE_URL"},
        {"$secret": "env:PATH"},
        {"$secret": "env:"},
        {"$secret": "env:DATANIKA_SECRET_A\n"},
        {"$secret": "file:../secrets.json"},
        {"$secret": "file:/etc/passwd"},
        {"$secret": "file:a/b"},
        {"$secret": "file:.."},
        {"$secret": "vault:x"},
        {"$secret": 7},
        {"$secret": "file:ok", "more": 1},
        {},
    ],
    ids=str,
)
async def test_a_reference_leads_to_the_operators_secrets_only(
    operator: Actor, reference: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await create(operator, reference)
    assert refused.value.code == "secret_reference_invalid"
    assert refused.value.field == "config.password"


def test_a_file_is_read_from_the_folder_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "secrets"
    (folder / "..data").mkdir(parents=True)
    (folder / "..data" / "real").write_text("canary-file\n")
    (folder / "inside").symlink_to(folder / "..data" / "real")
    (tmp_path / "outside").write_text("not yours")
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "huge").write_text("x" * 70_000)
    (folder / "folder").mkdir()
    with pytest.raises(Conflict):
        resolve_reference({"$secret": "file:inside"})
    monkeypatch.setattr(settings, "secrets_dir", folder)
    assert resolve_reference({"$secret": "file:inside"}) == "canary-file"
    for name in ("link", "huge", "folder", "nothing"):
        with pytest.raises(Conflict) as missing:
            resolve_reference({"$secret": f"file:{name}"})
        assert missing.value.code == "secret_reference_missing"


def test_no_setting_of_the_platform_can_be_referred_to() -> None:
    for name in type(settings).model_fields:
        with pytest.raises(InvalidInput):
            check_reference({"$secret": f"env:DATANIKA_{name.upper()}"}, "x")
