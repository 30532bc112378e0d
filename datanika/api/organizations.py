"""Your organisations, and the one that you are in."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Query, status

from datanika.api.deps import PROBLEMS, Id, IfMatch, page_of
from datanika.api.paging import paging
from datanika.api.transaction import MEMBER, TenantRoute, Tx, needs
from datanika.contracts.api import (
    LimitsOut,
    MemberOut,
    MemberPatch,
    OrganizationIn,
    OrganizationItem,
    OrganizationOut,
    OrganizationPatch,
    Page,
    TransferIn,
    UsageOut,
)
from datanika.contracts.enums import Role
from datanika.models import Organization
from datanika.services.deployer import cancel_flow_run
from datanika.services.limits import LIMITS, limits_of
from datanika.services.member_service import SORTS, MemberService
from datanika.services.organization_service import OrganizationService
from datanika.services.paging import PageRequest
from datanika.services.usage_service import UsageService

router = APIRouter(tags=["organization"], responses=PROBLEMS, route_class=TenantRoute)
Paging = Annotated[PageRequest, paging(SORTS)]


@router.get("/organizations", **needs(MEMBER))
async def list_organizations(tx: Tx) -> Page[OrganizationItem]:
    """Those that you are a member of, in the order of joining. A key sees its own."""
    rows = await OrganizationService(tx.session, tx.actor).mine()
    return Page(
        items=[
            OrganizationItem(is_current=row.id == tx.actor.org_id, **row.model_dump())
            for row in rows
        ]
    )


@router.post("/organizations", status_code=status.HTTP_201_CREATED, **needs(MEMBER))
async def create_organization(body: OrganizationIn, tx: Tx) -> OrganizationOut:
    """Another organisation, which you own. Switch to it to work in it."""
    row = await OrganizationService(tx.session, tx.actor).create(body.name)
    return tx.tagged(organization_out(row))


@router.get("/organization", **needs("organization:read"))
async def read_organization(tx: Tx) -> OrganizationOut:
    """The organisation of this credential, and its limits."""
    return tx.tagged(organization_out(await OrganizationService(tx.session, tx.actor).get()))


@router.patch("/organization", **needs("organization:update"))
async def update_organization(
    body: OrganizationPatch, tx: Tx, revision: IfMatch
) -> OrganizationOut:
    """Rename it, set its limits: up to the platform's own, or any if you operate the platform."""
    row = await OrganizationService(tx.session, tx.actor).update(
        name=body.name,
        limits={name: getattr(body, name) for name in LIMITS if name in body.model_fields_set},
        revision=revision,
    )
    return tx.tagged(organization_out(row))


@router.delete(
    "/organization", status_code=status.HTTP_204_NO_CONTENT, **needs("organization:delete")
)
async def delete_organization(tx: Tx, revision: IfMatch, later: BackgroundTasks) -> None:
    """Everybody is out at once and nothing runs any more. After some days it is gone for good;
    until then the operator can restore it."""
    for flow_run_id in await OrganizationService(tx.session, tx.actor).delete(revision):
        later.add_task(cancel_flow_run, flow_run_id)


@router.get("/usage", **needs("usage:read"))
async def read_usage(tx: Tx) -> UsageOut:
    """What the organisation uses, each figure with its limit."""
    return UsageOut.model_validate(await UsageService(tx.session, tx.actor).read())


@router.get("/members", **needs("member:read"))
async def list_members(
    tx: Tx,
    page: Paging,
    role: Role | None = None,
    search: Annotated[
        str | None, Query(max_length=320, description="A part of the e-mail address.")
    ] = None,
) -> Page[MemberOut]:
    """Who is in the organisation, in the order of joining."""
    rows = await MemberService(tx.session, tx.actor).list(page, role=role, search=search)
    return page_of(rows, MemberOut)


@router.get("/members/{user_id}", **needs("member:read"))
async def read_member(user_id: Id, tx: Tx) -> MemberOut:
    """One member."""
    member = await MemberService(tx.session, tx.actor).get(user_id)
    return tx.tagged(MemberOut.model_validate(member))


@router.patch("/members/{user_id}", **needs("member:update"))
async def update_member(user_id: Id, body: MemberPatch, tx: Tx, revision: IfMatch) -> MemberOut:
    """Give a member below you another role below your own."""
    service = MemberService(tx.session, tx.actor)
    return tx.tagged(MemberOut.model_validate(await service.set_role(user_id, body.role, revision)))


@router.delete(
    "/members/{user_id}", status_code=status.HTTP_204_NO_CONTENT, **needs("member:remove")
)
async def remove_member(user_id: Id, tx: Tx) -> None:
    """Remove a member below you. They are out from their next request on."""
    await MemberService(tx.session, tx.actor).remove(user_id)


@router.post("/organization/leave", status_code=status.HTTP_204_NO_CONTENT, **needs(MEMBER))
async def leave_organization(tx: Tx) -> None:
    """Leave it. The owner transfers or deletes it instead."""
    await MemberService(tx.session, tx.actor).leave()


@router.post("/organization/transfer", **needs("organization:transfer"))
async def transfer_organization(body: TransferIn, tx: Tx) -> MemberOut:
    """Make a member the owner; you become an admin. Only the owner, logged in, can."""
    service = MemberService(tx.session, tx.actor)
    return MemberOut.model_validate(await service.transfer_ownership(body.user_id))


def organization_out(row: Organization) -> OrganizationOut:
    """The row with the limits that hold."""
    names = OrganizationOut.model_fields.keys() - {"limits"}
    columns = {name: getattr(row, name) for name in names}
    return OrganizationOut(limits=LimitsOut.model_validate(limits_of(row)), **columns)
