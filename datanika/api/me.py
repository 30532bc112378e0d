"""Who is asking, and what they may do here."""

from __future__ import annotations

from fastapi import APIRouter

from datanika.api.deps import PROBLEMS
from datanika.api.transaction import MEMBER, TenantRoute, Tx, needs
from datanika.contracts.api import MeOut
from datanika.contracts.enums import Locale
from datanika.db import system_scope
from datanika.models import Organization, User
from datanika.services.permissions import PERMISSIONS

router = APIRouter(prefix="/auth", tags=["auth"], responses=PROBLEMS, route_class=TenantRoute)


@router.get("/me", **needs(MEMBER))
async def me(tx: Tx) -> MeOut:
    """Who you are here, and what you may do."""
    actor = tx.actor
    if actor.is_member:
        organization = await tx.session.get_one(Organization, actor.org_id)
        user = await tx.session.get_one(User, actor.user_id)
    else:
        organization = None
        # Without an organisation's scope not even one's own row is seen.
        async with system_scope(tx.session, actor.scope):
            user = await tx.session.get_one(User, actor.user_id)
    return MeOut(
        user_id=actor.user_id,
        email=user.email,
        name=user.name,
        locale=Locale(user.locale),
        org_id=organization.id if organization else None,
        organization=organization.name if organization else None,
        role=actor.role if organization else None,
        permissions=[name for name in PERMISSIONS if actor.may(name)],
    )
