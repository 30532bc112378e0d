"""Invitations: seven days, once, by somebody who may still offer that role."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import func, select

from datanika.contracts.enums import Role
from datanika.db import SYSTEM, get_session
from datanika.errors import Conflict, DatanikaError, InvalidInput, NotFound, PermissionDenied
from datanika.models import AuditLog, Invitation, Membership, User
from datanika.security import check_password
from datanika.services.actor import Actor, prove_membership, prove_person
from datanika.services.audit_service import verify
from datanika.services.invitation_service import (
    InvitationService,
    Sent,
    read_offer,
    register_invited,
)
from datanika.services.member_service import MemberService
from datanika.services.organization_service import OrganizationService
from tests.support.tenants import Tenant, add_member, make_tenant

pytestmark = pytest.mark.usefixtures("database")
PASSWORD = "correct horse battery staple"


async def act(actor: Actor, method: str, *arguments: Any) -> Any:
    async with get_session(actor.scope) as session:
        return await getattr(InvitationService(session, actor), method)(*arguments)


def token(link: str) -> str:
    return parse_qs(urlsplit(link).query)["token"][0]


async def invite(actor: Actor, email: str, role: Role = Role.EDITOR) -> Sent:
    sent: Sent = await act(actor, "create", email, role)
    return sent


async def register(link: str, name: str = "Grace") -> Membership:
    async with get_session(SYSTEM) as session:
        return await register_invited(session, token(link), name, PASSWORD)


async def role_of(user_id: int, tenant: Tenant) -> Role | None:
    async with get_session(SYSTEM) as session:
        found = await session.scalar(
            select(Membership.role).where(
                Membership.user_id == user_id,
                Membership.org_id == tenant.org_id,
                Membership.deleted_at.is_(None),
            )
        )
        return Role(found) if found else None


@pytest.fixture
async def tenant(database: str) -> Tenant:
    return await make_tenant("Acme")


@pytest.fixture
async def guest(database: str) -> Actor:
    """Somebody with an account and an organisation of their own."""
    return (await make_tenant("Guest's own")).owner


async def test_the_invited_person_joins_once_with_the_offered_role(
    tenant: Tenant, guest: Actor
) -> None:
    sent = await invite(tenant.owner, f" {guest.email.upper()}", Role.ADMIN)
    joined = await act(guest, "accept", token(sent.link))
    assert (joined.org_id, joined.role) == (tenant.org_id, Role.ADMIN)
    assert await role_of(guest.user_id, tenant) is Role.ADMIN
    for link in (sent.link, sent.mailed_link):
        with pytest.raises(InvalidInput) as refused:
            await act(guest, "accept", token(link))
        assert refused.value.code == "invitation_invalid"
    async with get_session(SYSTEM) as session:
        assert await verify(session, tenant.org_id) is None


async def test_of_many_who_accept_at_once_one_does(tenant: Tenant, guest: Actor) -> None:
    sent = await invite(tenant.owner, guest.email)
    outcomes = await asyncio.gather(
        *(act(guest, "accept", token(sent.link)) for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(one, Membership) for one in outcomes) == 1
    assert all(isinstance(one, Membership | InvalidInput) for one in outcomes)


async def test_somebody_else_cannot_accept(tenant: Tenant, guest: Actor) -> None:
    sent = await invite(tenant.owner, "grace@example.com")
    for link in (sent.link, sent.mailed_link):
        with pytest.raises(PermissionDenied) as refused:
            await act(guest, "accept", token(link))
        assert refused.value.code == "invitation_of_another"
    assert await role_of(guest.user_id, tenant) is None


@pytest.mark.parametrize(
    ("by", "role"), [(by, role) for by in Role for role in Role if role.covers(by)], ids=str
)
async def test_nobody_offers_a_role_at_or_above_their_own(
    tenant: Tenant, by: Role, role: Role
) -> None:
    actor = tenant.owner if by is Role.OWNER else await add_member(tenant.org_id, by)
    with pytest.raises(PermissionDenied):
        await invite(actor, "grace@example.com", role)


async def test_an_invitation_ends_with_its_makers_right_to_it(tenant: Tenant, guest: Actor) -> None:
    admin = await add_member(tenant.org_id, Role.ADMIN)
    sent = await invite(admin, guest.email, Role.EDITOR)
    async with get_session(tenant.owner.scope) as session:
        await MemberService(session, tenant.owner).set_role(admin.user_id, Role.EDITOR)
    with pytest.raises(InvalidInput) as refused:
        await act(guest, "accept", token(sent.link))
    assert refused.value.code == "invitation_invalid"
    async with get_session(tenant.owner.scope) as session:
        await MemberService(session, tenant.owner).set_role(admin.user_id, Role.ADMIN)
        await MemberService(session, tenant.owner).remove(admin.user_id)
    with pytest.raises(InvalidInput):
        await act(guest, "accept", token(sent.link))
    # Somebody who may offers it again.
    again = await act(tenant.owner, "resend", sent.invitation.id)
    assert (await act(guest, "accept", token(again.link))).role == Role.EDITOR


@pytest.mark.parametrize("end", ["withdrawn", "expired", "resent", "organisation deleted"])
async def test_a_dead_link_says_only_that_it_is_dead(
    tenant: Tenant, guest: Actor, end: str
) -> None:
    sent = await invite(tenant.owner, guest.email)
    if end == "withdrawn":
        await act(tenant.owner, "withdraw", sent.invitation.id)
    elif end == "resent":
        await act(tenant.owner, "resend", sent.invitation.id)
    elif end == "expired":
        async with get_session(SYSTEM) as session:
            row = await session.get_one(Invitation, sent.invitation.id)
            row.expires_at = dt.datetime.now(dt.UTC)
    else:
        async with get_session(tenant.owner.scope) as session:
            await OrganizationService(session, tenant.owner).delete()
    answers = set()
    for text in (token(sent.link), token(sent.mailed_link), "x" * 43):
        with pytest.raises(DatanikaError) as refused:
            await act(guest, "accept", text)
        answers.add((refused.value.code, refused.value.message))
    assert len(answers) == 1


async def test_inviting_does_not_tell_who_has_an_account(tenant: Tenant, guest: Actor) -> None:
    known, unknown = [
        await invite(tenant.owner, email) for email in (guest.email, "nobody@example.com")
    ]
    for sent in (known, unknown):
        # The link that the inviter sees does not register: it would say "taken" or not.
        with pytest.raises(InvalidInput) as refused:
            await register(sent.link)
        assert refused.value.code == "invitation_not_mailed"


async def test_the_mailed_link_registers_its_reader(tenant: Tenant) -> None:
    sent = await invite(tenant.owner, "grace@example.com", Role.VIEWER)
    joined = await register(sent.mailed_link)
    async with get_session(SYSTEM) as session:
        row = (
            await session.execute(
                select(User.email, User.email_verified_at, User.password_hash).where(
                    User.id == joined.user_id
                )
            )
        ).one()
        assert (await prove_membership(session, joined.user_id, tenant.org_id)).role is Role.VIEWER
    assert row.email == "grace@example.com"
    assert row.email_verified_at is not None
    assert check_password(PASSWORD, row.password_hash)


async def test_the_mailed_link_does_not_open_another_account(tenant: Tenant, guest: Actor) -> None:
    sent = await invite(tenant.owner, guest.email)
    with pytest.raises(Conflict) as refused:
        await register(sent.mailed_link)
    assert refused.value.code == "email_taken"
    assert await role_of(guest.user_id, tenant) is None


async def test_who_lost_their_last_organisation_accepts_another_ones_invitation(
    tenant: Tenant, guest: Actor
) -> None:
    async with get_session(guest.scope) as session:
        await OrganizationService(session, guest).delete()
    sent = await invite(tenant.owner, guest.email, Role.VIEWER)
    with pytest.raises(Conflict):
        await register(sent.mailed_link)
    async with get_session(SYSTEM) as session:
        nowhere = await prove_person(session, guest.user_id, guest.session_id)
    await act(nowhere, "accept", token(sent.link))
    assert await role_of(guest.user_id, tenant) is Role.VIEWER


async def test_who_is_invited_may_decline_and_nobody_else(tenant: Tenant, guest: Actor) -> None:
    sent = await invite(tenant.owner, guest.email)
    with pytest.raises(PermissionDenied) as refused:
        await act(await add_member(tenant.org_id, Role.VIEWER), "decline", token(sent.link))
    assert refused.value.code == "invitation_of_another"
    await act(guest, "decline", token(sent.link))
    for method in ("accept", "decline"):
        with pytest.raises(InvalidInput) as gone:
            await act(guest, method, token(sent.link))
        assert gone.value.code == "invitation_invalid"
    assert await role_of(guest.user_id, tenant) is None
    async with get_session(SYSTEM) as session:
        entry = await session.scalar(select(AuditLog).where(AuditLog.action.like("%declined")))
        assert entry is not None and (entry.org_id, entry.actor) == (tenant.org_id, guest.email)
        assert await verify(session, tenant.org_id) is None


async def test_only_the_mailed_link_tells_whether_the_address_has_an_account(
    tenant: Tenant, guest: Actor
) -> None:
    known = await invite(tenant.owner, guest.email)
    unknown = await invite(tenant.owner, "grace@example.com")
    async with get_session(SYSTEM) as session:
        told = [
            (await read_offer(session, token(link))).may_register
            for sent in (known, unknown)
            for link in (sent.link, sent.mailed_link)
        ]
        assert told == [False, False, False, True]
        offer = await read_offer(session, token(unknown.link))
        assert (offer.organization, offer.inviter) == ("Acme", tenant.owner.email)
        with pytest.raises(InvalidInput):
            await read_offer(session, token(unknown.link)[:-1])


async def test_an_address_has_one_open_invitation_and_members_none(
    tenant: Tenant, guest: Actor
) -> None:
    sent = await invite(tenant.owner, guest.email)
    with pytest.raises(Conflict) as twice:
        await invite(tenant.owner, guest.email)
    assert twice.value.code == "already_invited"
    await act(guest, "accept", token(sent.link))
    with pytest.raises(Conflict) as member:
        await invite(tenant.owner, guest.email)
    assert member.value.code == "already_a_member"


async def test_an_expired_invitation_makes_room_for_a_new_one(tenant: Tenant, guest: Actor) -> None:
    first = await invite(tenant.owner, guest.email)
    async with get_session(SYSTEM) as session:
        row = await session.get_one(Invitation, first.invitation.id)
        row.expires_at = dt.datetime.now(dt.UTC)
    await invite(tenant.owner, guest.email)
    async with get_session(SYSTEM) as session:
        assert await session.scalar(select(func.count()).select_from(Invitation)) == 2


async def test_who_was_removed_can_come_back_with_the_role_offered_then(
    tenant: Tenant, guest: Actor
) -> None:
    await act(guest, "accept", token((await invite(tenant.owner, guest.email, Role.ADMIN)).link))
    async with get_session(tenant.owner.scope) as session:
        await MemberService(session, tenant.owner).remove(guest.user_id)
    await act(guest, "accept", token((await invite(tenant.owner, guest.email, Role.VIEWER)).link))
    assert await role_of(guest.user_id, tenant) is Role.VIEWER


async def test_other_organisations_invitations_are_out_of_reach(
    tenant: Tenant, guest: Actor
) -> None:
    sent = await invite(tenant.owner, "grace@example.com")
    assert (await act(guest, "list")).rows == []
    for method in ("resend", "withdraw"):
        with pytest.raises(NotFound):
            await act(guest, method, sent.invitation.id)
    assert len((await act(tenant.owner, "list")).rows) == 1
