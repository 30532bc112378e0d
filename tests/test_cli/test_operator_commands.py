"""What operators do from the command line, in the control plane's database."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from sqlalchemy import select
from typer.testing import CliRunner

from datanika.cli.main import app
from datanika.config import settings
from datanika.db import SYSTEM, get_session
from datanika.models import AuditLog, Connection, Organization, User
from datanika.runtime.secrets import keys_file, load_or_create
from datanika.services.audit_service import record, verify
from datanika.services.connection_service import ConnectionService, resolve_connection
from datanika.services.organization_service import OrganizationService
from tests.support.superuser import superuser
from tests.support.tenants import Tenant, make_tenant

pytestmark = pytest.mark.usefixtures("database")


async def datanika(*arguments: str) -> Result:
    """The command in a thread: it has an event loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, app, list(arguments))


async def write(tenant: Tenant, entries: int = 3) -> list[int]:
    ids = []
    for number in range(entries):
        async with get_session(tenant.owner.scope) as session:
            entry = await record(session, tenant.owner, "a", "b", number)
            ids.append(entry.id)
    return ids


@pytest.mark.parametrize(
    ("statement", "bad"),
    [
        ("UPDATE audit_log SET new = '{{}}' WHERE id = {0[1]}", 1),
        ("DELETE FROM audit_log WHERE id = {0[1]}", 2),
        ("DELETE FROM audit_log WHERE id = {0[2]}", 1),
    ],
    ids=["edit", "delete", "cut the tail"],
)
async def test_verify_audit_names_the_first_bad_row_of_each_organisation(
    postgres_server: Any, statement: str, bad: int
) -> None:
    ours, theirs = await make_tenant(), await make_tenant()
    ids = await write(ours)
    await write(theirs)
    assert (await datanika("verify-audit")).exit_code == 0
    with superuser(postgres_server.admin_url) as sql:
        sql.execute(statement.format(ids))
    found = await datanika("verify-audit")
    assert found.exit_code == 1
    lines = found.output.splitlines()
    assert f"organisation {ours.org_id} " in lines[0] and f"is {ids[bad]}" in lines[0]
    assert lines[1].endswith("whole")
    assert (await datanika("verify-audit", "--org", str(theirs.org_id))).exit_code == 0
    assert (await datanika("verify-audit", "--org", str(ours.org_id))).exit_code == 1
    assert (await datanika("verify-audit", "--org", "999999")).exit_code == 1


async def test_operators_are_made_and_unmade_and_it_is_on_record() -> None:
    tenant = await make_tenant()
    email = tenant.owner.email
    assert "no operator" in (await datanika("operator", email)).output
    for flag, is_one in (("--grant", True), ("--grant", True), ("--revoke", False)):
        assert (await datanika("operator", email.upper(), flag)).exit_code == 0
        async with get_session(SYSTEM) as session:
            user = await session.get_one(User, tenant.owner.user_id)
            assert user.is_instance_admin is is_one
    async with get_session(SYSTEM) as session:
        actions = (await session.scalars(select(AuditLog.action).order_by(AuditLog.id))).all()
        assert await verify(session, tenant.org_id) is None
    assert actions == ["operator.granted", "operator.revoked"]
    unknown = await datanika("operator", "nobody@example.com", "--grant")
    assert unknown.exit_code == 1 and "user_not_found" in unknown.output


async def test_limits_are_shown_and_set() -> None:
    tenant = await make_tenant()
    changed = await datanika("limits", str(tenant.org_id), "--max-connections", "100000")
    assert "max_connections: 100,000" in changed.output
    back = await datanika("limits", str(tenant.org_id), "--max-connections", "-1")
    assert "max_connections: 500" in back.output
    async with get_session(SYSTEM) as session:
        assert (await session.get_one(Organization, tenant.org_id)).max_connections is None
        assert await verify(session, tenant.org_id) is None
    assert (await datanika("limits", "nothing-like-it")).exit_code == 1


async def test_a_deleted_organisation_comes_back() -> None:
    tenant = await make_tenant("Phoenix")
    assert (await datanika("restore-organization", str(tenant.org_id))).exit_code == 1
    async with get_session(tenant.owner.scope) as session:
        await OrganizationService(session, tenant.owner).delete()
    assert "Phoenix is back" in (await datanika("restore-organization", str(tenant.org_id))).output


async def test_rotate_keys_makes_a_key_for_datanika_up_and_uses_it_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "platform"
    home.mkdir()
    load_or_create(home)
    monkeypatch.setattr(settings, "home", home)
    monkeypatch.setattr(settings, "encryption_keys_file", keys_file(home))
    tenant = await make_tenant()
    async with get_session(tenant.owner.scope) as session:
        config = {"host": "h.example.com", "database": "d", "user": "u", "password": "canary"}
        made = await ConnectionService(session, tenant.owner).create("dwh", "postgres", config)
    rotated = await datanika("rotate-keys", "--new-key")
    assert rotated.exit_code == 0, rotated.output
    assert "New key: k2" in rotated.output and "connections: 1" in rotated.output
    async with get_session(SYSTEM) as session:
        row = await session.get_one(Connection, made.id)
        assert (row.secrets or "").startswith("k2:")
        resolved = await resolve_connection(session, tenant.org_id, made.id)
        assert resolved.config["password"] == "canary"
        # What cannot be opened is named, and the exit code says so.
        row.secrets = "k2:damaged"
    (home / "encryption.keys").write_text(f"k9:{keys_file(home).read_text()[3:]}")
    damaged = await datanika("rotate-keys")
    assert damaged.exit_code == 1
    assert f"connections {made.id}: ciphertext_invalid" in damaged.output or (
        f"connections {made.id}: encryption_key_unknown" in damaged.output
    )


async def test_a_new_key_is_refused_where_the_keys_are_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(settings, "home", tmp_path)
    refused = await datanika("rotate-keys", "--new-key")
    assert refused.exit_code == 1 and "secrets_missing" in refused.output
