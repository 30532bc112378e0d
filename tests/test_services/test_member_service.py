"""Members and roles: nobody rises above themselves, and there is always one owner."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from sqlalchemy import select

from datanika.contracts.enums import Role
from datanika.db import SYSTEM, get_session
from datanika.errors import NotFound, PermissionDenied
from datanika.models import Membership
from datanika.services.actor import Actor, prove_membership
from datanika.services.audit_service import AuditService, verify
from datanika.services.member_service import Member, MemberService
from tests.support.tenants import Tenant, add_member, make_tenant

pytestmark = pytest.mark.usefixtures("database")


async def act(actor: Actor, method: str, *arguments: Any) -> Any:
    async with get_session(actor.scope) as session:
        return await getattr(MemberService(session, actor), method)(*arguments)


async def people(tenant: Tenant) -> dict[Role, Actor]:
    """The owner and somebody of every other role."""
    others = (Role.ADMIN, Role.EDITOR, Role.VIEWER)
    return {Role.OWNER: tenant.owner} | {
        role: await add_member(tenant.org_id, role) for role in others
    }


async def roles(tenant: Tenant) -> dict[int, str]:
    async with get_session(SYSTEM) as session:
        rows = await session.execute(
            select(Membership.user_id, Membership.role).where(
                Membership.org_id == tenant.org_id, Membership.deleted_at.is_(None)
            )
        )
        return {row.user_id: row.role for row in rows}


async def test_members_are_listed_in_the_order_of_joining() -> None:
    tenant, neighbour = await make_tenant(), await make_tenant()
    everybody = await people(tenant)
    members: list[Member] = list((await act(everybody[Role.VIEWER], "list")).rows)
    assert [(member.user_id, member.role) for member in members] == [
        (actor.user_id, role) for role, actor in everybody.items()
    ]
    assert neighbour.owner.email not in {member.email for member in members}


async def test_only_members_have_a_name_for_members() -> None:
    tenant, neighbour = await make_tenant(), await make_tenant()
    ids = {tenant.owner.user_id, neighbour.owner.user_id, None}
    assert await act(tenant.owner, "names", ids) == {tenant.owner.user_id: "owner"}


async def test_a_removed_member_is_out_at_once() -> None:
    tenant = await make_tenant()
    admin = await add_member(tenant.org_id, Role.ADMIN)
    await act(tenant.owner, "remove", admin.user_id)
    async with get_session(SYSTEM) as session:
        with pytest.raises(Exception, match="not a member"):
            await prove_membership(session, admin.user_id, tenant.org_id)
    with pytest.raises(NotFound):
        await act(tenant.owner, "remove", admin.user_id)


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
        await act(everybody[by], "remove", victim.user_id)
        assert victim.user_id not in await roles(tenant)
    else:
        with pytest.raises(PermissionDenied):
            await act(everybody[by], "remove", victim.user_id)
        assert victim.user_id in await roles(tenant)


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
        ("remove", (victim.user_id,)),
        ("transfer_ownership", (victim.user_id,)),
    ):
        with pytest.raises(NotFound):
            await act(ours.owner, method, *arguments)


async def owners(tenant: Tenant) -> int:
    return [*(await roles(tenant)).values()].count(Role.OWNER)


async def test_everybody_leaves_but_the_owner() -> None:
    tenant = await make_tenant()
    editor = await add_member(tenant.org_id, Role.EDITOR)
    await act(editor, "leave")
    assert editor.user_id not in await roles(tenant)
    with pytest.raises(PermissionDenied) as refused:
        await act(tenant.owner, "leave")
    assert refused.value.code == "owner_stays"


async def test_what_counts_is_the_role_of_the_moment_not_of_the_requests_begin() -> None:
    tenant = await make_tenant()
    everybody = await people(tenant)
    await act(tenant.owner, "transfer_ownership", everybody[Role.ADMIN].user_id)
    # The old owner's other request, which began before.
    for method, *arguments in (
        ("set_role", everybody[Role.ADMIN].user_id, Role.VIEWER),
        ("remove", everybody[Role.ADMIN].user_id),
        ("transfer_ownership", everybody[Role.EDITOR].user_id),
        ("set_role", everybody[Role.EDITOR].user_id, Role.ADMIN),
    ):
        with pytest.raises(PermissionDenied):
            await act(tenant.owner, method, *arguments)
    assert await owners(tenant) == 1


async def test_who_was_demoted_or_removed_meanwhile_acts_on_nobody_any_more() -> None:
    tenant = await make_tenant()
    everybody = await people(tenant)
    admin, editor = everybody[Role.ADMIN], everybody[Role.EDITOR]
    before = await roles(tenant)
    # ``admin`` was proven as one: the request began before it was demoted.
    await act(tenant.owner, "set_role", admin.user_id, Role.VIEWER)
    for method, *arguments in (
        ("remove", editor.user_id),
        ("set_role", editor.user_id, Role.VIEWER),
    ):
        with pytest.raises(PermissionDenied) as refused:
            await act(admin, method, *arguments)
        assert refused.value.code == "member_not_below"
    await act(tenant.owner, "remove", admin.user_id)
    with pytest.raises(NotFound):
        await act(admin, "remove", editor.user_id)
    assert (await roles(tenant))[editor.user_id] == before[editor.user_id]


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_at_once_there_is_one_owner(seed: int) -> None:
    tenant = await make_tenant()
    everybody = await people(tenant)
    admin, editor = everybody[Role.ADMIN], everybody[Role.EDITOR]
    calls = [
        (tenant.owner, "transfer_ownership", admin.user_id),
        (tenant.owner, "transfer_ownership", editor.user_id),
        (tenant.owner, "set_role", admin.user_id, Role.VIEWER),
        (tenant.owner, "remove", admin.user_id),
        (admin, "remove", editor.user_id),
        (admin, "leave"),
        (tenant.owner, "leave"),
        (editor, "leave"),
        (admin, "remove", tenant.owner.user_id),
    ]
    random.Random(seed).shuffle(calls)
    outcomes = await asyncio.gather(*(act(*call) for call in calls), return_exceptions=True)
    # A deadlock would be an error of another kind.
    unexpected = [
        outcome
        for outcome in outcomes
        if isinstance(outcome, BaseException)
        and not isinstance(outcome, PermissionDenied | NotFound)
    ]
    assert unexpected == []
    assert await owners(tenant) == 1


async def test_two_members_who_act_on_each_other_do_not_wait_for_ever() -> None:
    tenant = await make_tenant()
    admins = [await add_member(tenant.org_id, Role.ADMIN) for _ in range(2)]
    outcomes = await asyncio.gather(
        *(act(admins[i], "remove", admins[1 - i].user_id) for i in (0, 1, 0, 1)),
        return_exceptions=True,
    )
    assert {type(outcome) for outcome in outcomes} == {PermissionDenied}


async def test_changes_of_membership_are_in_the_audit_log() -> None:
    tenant = await make_tenant()
    viewer = await add_member(tenant.org_id, Role.VIEWER)
    await act(tenant.owner, "set_role", viewer.user_id, Role.EDITOR)
    await act(tenant.owner, "remove", viewer.user_id)
    async with get_session(tenant.owner.scope) as session:
        entries = await AuditService(session, tenant.owner).list()
        actions = [entry.action for entry in entries.rows]
        assert await verify(session, tenant.org_id) is None
    assert actions == ["member.removed", "member.role_changed"]
