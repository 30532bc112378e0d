"""What ends with time: a deleted organisation is gone for good, and nothing else is."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pytest
from sqlalchemy import func, select

from datanika.config import settings
from datanika.contracts.enums import Role
from datanika.contracts.events import utcnow
from datanika.db import SYSTEM, get_session
from datanika.errors import NotFound
from datanika.models import AuditLog, Base, Organization, Pipeline, User
from datanika.models.base import TenantMixin
from datanika.services.actor import prove_membership
from datanika.services.audit_service import verify
from datanika.services.organization_service import OrganizationService
from datanika.services.retention import (
    delete_old,
    folder_bytes,
    measure_storage,
    restore_organization,
)
from datanika.services.run_service import RunService
from datanika.services.usage_service import UsageService
from tests.isolation.test_row_level_security import fill
from tests.support.pipelines import make_pipeline
from tests.support.tenants import Tenant, add_member, make_tenant

pytestmark = pytest.mark.usefixtures("database")

TENANT_MODELS = [m.class_ for m in Base.registry.mappers if issubclass(m.class_, TenantMixin)]
MONTH = dt.timedelta(days=31)


async def delete(tenant: Tenant) -> None:
    async with get_session(tenant.owner.scope) as session:
        await OrganizationService(session, tenant.owner).delete()


async def rows(tenant: Tenant) -> dict[str, int]:
    """How many rows of each table are the tenant's."""
    async with get_session(SYSTEM) as session:
        return {
            model.__tablename__: await session.scalar(
                select(func.count()).select_from(model).where(model.org_id == tenant.org_id)
            )
            or 0
            for model in TENANT_MODELS
        }


def folder(tenant: Tenant) -> Path:
    root = settings.org_root(tenant.org_id)
    (root / "deep").mkdir(parents=True)
    (root / "deep" / "file").write_bytes(b"x" * 100_000)
    return root


async def test_a_purge_takes_every_row_and_the_folder_and_nothing_of_anybody_else() -> None:
    ours, theirs = await make_tenant(), await make_tenant()
    await fill(ours)
    await fill(theirs)
    roots = [folder(tenant) for tenant in (ours, theirs)]
    await delete(ours)
    before = await rows(theirs)
    assert (await delete_old())["organizations"] == 0
    assert roots[0].exists()
    assert (await delete_old(utcnow() + MONTH))["organizations"] == 1
    assert set((await rows(ours)).values()) == {0}
    assert [root.exists() for root in roots] == [False, True]
    after = await rows(theirs)
    assert {name for name in before if after[name] != before[name]} <= {"idempotency_keys", "jobs"}
    async with get_session(SYSTEM) as session:
        assert await session.get(Organization, ours.org_id) is None
        # The person stays: they may be in other organisations.
        assert await session.get(User, ours.owner.user_id) is not None
        assert await verify(session, theirs.org_id) is None
    assert (await delete_old(utcnow() + MONTH))["organizations"] == 0


async def test_a_purge_waits_until_prefect_has_nothing_of_it() -> None:
    tenant = await make_tenant()
    made = await make_pipeline(tenant.owner)
    async with get_session(SYSTEM) as session:
        (await session.get_one(Pipeline, made.id)).deployment_id = "still-there"
    await delete(tenant)
    assert (await delete_old(utcnow() + MONTH))["organizations"] == 0
    async with get_session(SYSTEM) as session:
        (await session.get_one(Pipeline, made.id)).deployment_id = None
    assert (await delete_old(utcnow() + MONTH))["organizations"] == 1


async def test_until_the_purge_an_operator_brings_it_back() -> None:
    tenant = await make_tenant()
    editor = await add_member(tenant.org_id, Role.EDITOR)
    made = await make_pipeline(tenant.owner)
    await delete(tenant)
    async with get_session(SYSTEM) as session:
        await restore_organization(session, str(tenant.org_id))
        assert (await prove_membership(session, editor.user_id, tenant.org_id)).role is Role.EDITOR
        assert await verify(session, tenant.org_id) is None
        last = await session.scalar(select(AuditLog.action).order_by(AuditLog.id.desc()).limit(1))
        with pytest.raises(NotFound):
            await restore_organization(session, str(tenant.org_id))
    assert last == "organization.restored"
    async with get_session(tenant.owner.scope) as session:
        await RunService(session, tenant.owner).trigger(made.id, "k")


async def test_storage_is_measured_and_shown() -> None:
    tenant = await make_tenant()
    root = folder(tenant)
    os.symlink("/usr", root / "elsewhere")
    assert 100_000 <= folder_bytes(root) < 200_000
    assert await measure_storage() == 1
    assert await measure_storage() == 0
    async with get_session(tenant.owner.scope) as session:
        shown = await UsageService(session, tenant.owner).read()
    assert shown.storage_bytes.used == folder_bytes(root)
    assert shown.storage_measured_at is not None
