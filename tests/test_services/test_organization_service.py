"""Members and roles: nobody rises above themselves, and there is always one owner."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from datanika.contracts.enums import Role
from datanika.db import SYSTEM, get_session
from datanika.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from datanika.models import Membership, User
from datanika.services.actor import Actor, prove_membership
from datanika.services.audit_service import AuditService, verify
from datanika.services.organization_service import Member, OrganizationService
from tests.support.tenants import Tenant, add_member, make_tenant

pytestmark = pytest.mark.usefixtures("database")


async def act(actor: Actor, method: str, *arguments: Any) -> Any:
    async with get_session(actor.scope) as session:
        return await getattr(OrganizationService(session, actor), method)(*arguments)


async def people(tenant: Tenant) -> dict[Role, Actor]:
    """The owner and somebody of every other role."""
    others = (Role.ADMIN, Role.EDITOR, Role.VIEWER)
    return {Role.OWNER: tenant.owner} | {
        role: await add_member(tenant.org_id, role) for role in others
    }


async def stranger(email: str = "new@example.com") -> int:
    async with get_session(SYSTEM) as session:
        user = User(email=email, name="New")
        session.add(user)
        await session.flush()
        return user.id


async def roles(tenant: Tenant) -> dict[int, str]:
    async with get_session(SYSTEM) as session:
        rows = await session.execute(
            select(Membership.user_id, Membership.role).where(
                Membership.org_id == tenant.org_id, Membership.deleted_at.is_(None)
            )
        )
        return {row.user_id: row.role for row in rows}


async def test_only_the_owner_renames() -> None:
    tenant = await make_tenant("Old")
    everybody = await people(tenant)
    assert (await act(tenant.owner, "rename", " New ")).name == "New"
    assert (await act(everybody[Role.VIEWER], "get")).name == "New"
    with pytest.raises(PermissionDenied):
        await act(everybody[Role.ADMIN], "rename", "Mine")
    with pytest.raises(InvalidInput):
        await act(tenant.owner, "rename", " ")


async def test_members_are_listed_in_the_order_of_joining() -> None:
    tenant, neighbour = await make_tenant(), await make_tenant()
    everybody = await people(tenant)
    members: list[Member] = await act(everybody[Role.VIEWER], "members")
    assert [(member.user_id, member.role) for member in members] == [
        (actor.user_id, role) for role, actor in everybody.items()
    ]
    assert neighbour.owner.email not in {member.email for member in members}


async def test_a_registered_user_becomes_a_member_once() -> None:
    tenant = await make_tenant()
    user_id = await stranger()
    member: Member = await act(tenant.owner, "add_member", " NEW@example.com", Role.EDITOR)
    assert (member.user_id, member.role) == (user_id, Role.EDITOR)
    with pytest.raises(Conflict) as refused:
        await act(tenant.owner, "add_member", "new@example.com", Role.VIEWER)
    assert refused.value.code == "already_a_member"
    with pytest.raises(NotFound) as missing:
        await act(tenant.owner, "add_member", "nobody@example.com", Role.VIEWER)
    assert missing.value.code == "user_not_registered"


async def test_a_removed_member_is_out_at_once_and_can_come_back() -> None:
    tenant = await make_tenant()
    user_id = await stranger()
    await act(tenant.owner, "add_member", "new@example.com", Role.ADMIN)
    await act(tenant.owner, "remove_member", user_id)
    async with get_session(SYSTEM) as session:
        with pytest.raises(Exception, match="not a member"):
            await prove_membership(session, user_id, tenant.org_id)
    with pytest.raises(NotFound):
        await act(tenant.owner, "remove_member", user_id)
    back: Member = await act(tenant.owner, "add_member", "new@example.com", Role.VIEWER)
    assert back.role is Role.VIEWER


MAY_SET = {
    (Role.OWNER, target, role)
    for target in (Role.ADMIN, Role.EDITOR, Role.VIEWER)
    for role in (Role.ADMIN, Role.EDITOR, Role.VIEWER)
} | {
    (Role.ADMIN, target, role)
    for target in (Role.EDITOR, Role.VIEWER)
    for role in (Role.EDITOR, Role.VIEWER)
}


@pytest.mark.parametrize("by", Role)
async def test_who_may_give_whom_which_role(by: Role) -> None:
    tenant = await make_tenant()
    everybody = await people(tenant)
    for target in Role:
        victim = await add_member(tenant.org_id, target) if target != Role.OWNER else tenant.owner
        for role in Role:
            before = await roles(tenant)
            try:
                await act(everybody[by], "set_role", victim.user_id, role)
            except PermissionDenied:
                assert (by, target, role) not in MAY_SET
                assert await roles(tenant) == before
            else:
                assert (by, target, role) in MAY_SET
                async with get_session(SYSTEM) as session:
                    row = await session.scalar(
                        select(Membership).where(Membership.user_id == victim.user_id)
                    )
                    assert row is not None and row.role == role
                    row.role = target


@pytest.mark.parametrize(
    ("by", "target"), [(by, target) for by in Role for target in Role], ids=str
)
async def test_who_may_remove_whom(by: Role, target: Role) -> None:
    tenant = await make_tenant()
    everybody = await people(tenant)
    victim = await add_member(tenant.org_id, target) if target != Role.OWNER else tenant.owner
    if by.covers(Role.ADMIN) and by.rank > target.rank:
        await act(everybody[by], "remove_member", victim.user_id)
        assert victim.user_id not in await roles(tenant)
    else:
        with pytest.raises(PermissionDenied):
            await act(everybody[by], "remove_member", victim.user_id)
        assert victim.user_id in await roles(tenant)


@pytest.mark.parametrize(
    ("by", "role"), [(by, role) for by in Role for role in Role if role.covers(by)], ids=str
)
async def test_nobody_adds_a_member_at_or_above_their_own_role(by: Role, role: Role) -> None:
    tenant = await make_tenant()
    await stranger()
    with pytest.raises(PermissionDenied):
        await act((await people(tenant))[by], "add_member", "new@example.com", role)


async def test_ownership_moves_by_transfer_and_stays_one() -> None:
    tenant = await make_tenant()
    everybody = await people(tenant)
    with pytest.raises(PermissionDenied):
        await act(everybody[Role.ADMIN], "transfer_ownership", everybody[Role.VIEWER].user_id)
    with pytest.raises(PermissionDenied):
        await act(tenant.owner, "transfer_ownership", tenant.owner.user_id)
    outcomes = await asyncio.gather(
        *(
            act(tenant.owner, "transfer_ownership", everybody[role].user_id)
            for role in (Role.ADMIN, Role.EDITOR, Role.VIEWER)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Member) for outcome in outcomes) == 1
    assert [*(await roles(tenant)).values()].count(Role.OWNER) == 1
    assert (await roles(tenant))[tenant.owner.user_id] == Role.ADMIN


async def test_members_of_other_organisations_are_out_of_reach() -> None:
    ours, theirs = await make_tenant(), await make_tenant()
    victim = await add_member(theirs.org_id, Role.VIEWER)
    for method, arguments in (
        ("set_role", (victim.user_id, Role.EDITOR)),
        ("remove_member", (victim.user_id,)),
        ("transfer_ownership", (victim.user_id,)),
    ):
        with pytest.raises(NotFound):
            await act(ours.owner, method, *arguments)


async def test_changes_of_membership_are_in_the_audit_log() -> None:
    tenant = await make_tenant()
    user_id = await stranger()
    await act(tenant.owner, "add_member", "new@example.com", Role.VIEWER)
    await act(tenant.owner, "set_role", user_id, Role.EDITOR)
    await act(tenant.owner, "remove_member", user_id)
    async with get_session(tenant.owner.scope) as session:
        entries = await AuditService(session, tenant.owner).list()
        actions = [entry.action for entry in entries.rows]
        assert await verify(session, tenant.org_id) is None
    assert actions == ["member.removed", "member.role_changed", "member.added"]
