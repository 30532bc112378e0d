"""The organisation's queue."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from datanika.api.deps import PROBLEMS
from datanika.api.transaction import TenantRoute, Tx, needs
from datanika.contracts.api import QueueOut
from datanika.services.queue_service import QueueService

router = APIRouter(prefix="/queue", tags=["queue"], responses=PROBLEMS, route_class=TenantRoute)


@router.get("", **needs("run:read"))
async def read_queue(tx: Tx, limit: Annotated[int, Query(ge=1, le=500)] = 100) -> QueueOut:
    """Runs that have not started, in the order in which they will, each with what it waits for."""
    return QueueOut.model_validate(await QueueService(tx.session, tx.actor).read(limit))
