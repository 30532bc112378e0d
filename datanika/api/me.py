"""Who is asking, and what they may do here."""

from __future__ import annotations

from fastapi import APIRouter

from datanika.api.deps import PROBLEMS
from datanika.api.transaction import MEMBER, TenantRoute, Tx, needs
from datanika.contracts.api import MeOut
from datanika.contracts.enums import Locale
from datanika.models import Organization, User
from datanika.services.permissions import PERMISSIONS

router = APIRouter(prefix="/auth", tags=["auth"], responses=PROBLEMS, route_class=TenantRoute)


@router.get("/me", **needs(MEMBER))
async def me(tx: Tx) -> MeOut:
    """Who you are here, and what you may do."""
    organization = await tx.session.get_one(Organization, tx.actor.org_id)
    user = await tx.session.get_one(User, tx.actor.user_id)
    return MeOut(
        user_id=tx.actor.user_id,
        email=user.email,
        name=user.name,
        locale=Locale(user.locale),
        org_id=tx.actor.org_id,
        organization=organization.name,
        role=tx.actor.role,
        permissions=[name for name in PERMISSIONS if tx.actor.may(name)],
    )
