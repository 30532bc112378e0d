"""A person's organisations, and the end of one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from datanika.config import settings
from datanika.contracts.enums import Role, RunState
from datanika.db import SYSTEM, get_session
from datanika.errors import (
    AuthenticationError,
    InvalidInput,
    LimitReached,
    PermissionDenied,
    PreconditionFailed,
)
from datanika.models import Organization, Pipeline, Run, User
from datanika.services.actor import Actor, prove_membership
from datanika.services.api_key_service import ApiKeyService
from datanika.services.audit_service import verify
from datanika.services.auth import actor_for_token
from datanika.services.organization_service import OrganizationService
from datanika.services.run_service import RunService
from tests.support.pipelines import make_pipeline
from tests.support.tenants import add_member, make_tenant

pytestmark = pytest.mark.usefixtures("database")


async def act(actor: Actor, method: str, *arguments: Any, **named: Any) -> Any:
    async with get_session(actor.scope) as session:
        return await getattr(OrganizationService(session, actor), method)(*arguments, **named)


async def operator(actor: Actor) -> Actor:
    """The same person, who now runs the platform."""
    async with get_session(SYSTEM) as session:
        (await session.get_one(User, actor.user_id)).is_instance_admin = True
        await session.flush()
        return await prove_membership(session, actor.user_id, actor.org_id)


async def key_of(actor: Actor) -> Actor:
    async with get_session(actor.scope) as session:
        _, plaintext = await ApiKeyService(session, actor).create("ci", ["organization:read"])
    async with get_session(SYSTEM) as session:
        return await actor_for_token(session, plaintext)


async def test_only_the_owner_renames() -> None:
    tenant = await make_tenant("Old")
    admin, viewer = [await add_member(tenant.org_id, role) for role in (Role.ADMIN, Role.VIEWER)]
    assert (await act(tenant.owner, "update", name=" New ")).name == "New"
    assert (await act(viewer, "get")).name == "New"
    with pytest.raises(PermissionDenied):
        await act(admin, "update", name="Mine")
    with pytest.raises(InvalidInput):
        await act(tenant.owner, "update", name=" ")


async def test_two_renames_of_the_same_revision_cannot_both_win() -> None:
    tenant = await make_tenant()
    outcomes = await asyncio.gather(
        *(act(tenant.owner, "update", name=name, revision=1) for name in ("A", "B")),
        return_exceptions=True,
    )
    assert [type(one) for one in outcomes].count(PreconditionFailed) == 1


async def test_a_person_sees_and_makes_their_organisations_and_a_key_only_its_own() -> None:
    first, other = await make_tenant("First"), await make_tenant("Other")
    made = await act(first.owner, "create", "Second")
    assert [(one.name, one.role) for one in await act(first.owner, "mine")] == [
        ("First", Role.OWNER),
        ("Second", Role.OWNER),
    ]
    key = await key_of(first.owner)
    assert [one.name for one in await act(key, "mine")] == ["First"]
    with pytest.raises(PermissionDenied) as refused:
        await act(key, "create", "Third")
    assert refused.value.code == "person_required"
    assert [one.id for one in await act(other.owner, "mine")] == [other.org_id]
    async with get_session(SYSTEM) as session:
        assert await verify(session, made.id) is None


async def test_after_looking_beyond_the_tenant_the_request_is_in_it_again() -> None:
    ours, theirs = await make_tenant(), await make_tenant()
    async with get_session(ours.owner.scope) as session:
        service = OrganizationService(session, ours.owner)
        await service.mine()
        await service.create("Second")
        seen = (await session.scalars(select(Organization.id))).all()
    assert seen == [ours.org_id]
    assert theirs.org_id not in seen


async def test_nobody_owns_more_organisations_than_the_platform_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "max_organizations_per_user", 3)
    tenant = await make_tenant()
    outcomes = await asyncio.gather(
        *(act(tenant.owner, "create", f"O{number}") for number in range(6)),
        return_exceptions=True,
    )
    assert sum(isinstance(one, Organization) for one in outcomes) == 2
    assert sum(isinstance(one, LimitReached) for one in outcomes) == 4


async def test_the_owner_sets_limits_up_to_the_platforms_and_an_operator_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "default_max_connections", 10)
    tenant = await make_tenant()
    changed = await act(
        tenant.owner, "update", limits={"max_connections": 10, "max_rows_per_month": 10**12}
    )
    assert (changed.max_connections, changed.max_rows_per_month) == (10, 10**12)
    with pytest.raises(PermissionDenied) as refused:
        await act(tenant.owner, "update", limits={"max_connections": 11})
    assert (refused.value.code, refused.value.field) == ("limit_above_platform", "max_connections")
    raised = await act(await operator(tenant.owner), "update", limits={"max_connections": 11})
    assert raised.max_connections == 11
    back = await act(tenant.owner, "update", limits={"max_connections": None})
    assert back.max_connections is None


async def test_with_its_organisation_deleted_everybody_is_out_and_nothing_runs() -> None:
    tenant = await make_tenant()
    editor = await add_member(tenant.org_id, Role.EDITOR)
    made = await make_pipeline(tenant.owner)
    async with get_session(tenant.owner.scope) as session:
        run = await RunService(session, tenant.owner).trigger(made.id, "k")
    async with get_session(SYSTEM) as session:
        (await session.get_one(Pipeline, made.id)).deployed_hash = "x"
    with pytest.raises(PermissionDenied):
        await act(editor, "delete")
    await act(tenant.owner, "delete")
    async with get_session(SYSTEM) as session:
        for actor in (tenant.owner, editor):
            with pytest.raises(AuthenticationError):
                await prove_membership(session, actor.user_id, tenant.org_id)
        assert (await session.get_one(Run, run.id)).state == RunState.CANCELLED
        assert (await session.get_one(Pipeline, made.id)).deployed_hash is None
        assert await verify(session, tenant.org_id) is None


async def test_a_delete_beside_triggers_and_cancels_does_not_wait_for_ever() -> None:
    tenant = await make_tenant()
    pipelines = [await make_pipeline(tenant.owner, name) for name in ("a", "b", "c")]

    async def trigger_and_cancel(pipeline_id: int) -> None:
        async with get_session(tenant.owner.scope) as session:
            run = await RunService(session, tenant.owner).trigger(pipeline_id, "k")
        async with get_session(tenant.owner.scope) as session:
            await RunService(session, tenant.owner).cancel(run.id)

    await asyncio.gather(
        *(trigger_and_cancel(made.id) for made in pipelines), act(tenant.owner, "delete")
    )
