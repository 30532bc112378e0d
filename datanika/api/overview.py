"""The organisation at a glance."""

from __future__ import annotations

from fastapi import APIRouter

from datanika.api.deps import PROBLEMS
from datanika.api.transaction import TenantRoute, Tx, needs
from datanika.contracts.api import OverviewOut
from datanika.services.overview_service import OverviewService

router = APIRouter(
    prefix="/overview", tags=["overview"], responses=PROBLEMS, route_class=TenantRoute
)


@router.get("", **needs("run:read"))
async def read_overview(tx: Tx) -> OverviewOut:
    """Health of the pipelines, the last 24 hours, what failed and why, what is late, 14 days."""
    return await OverviewService(tx.session, tx.actor).read()
