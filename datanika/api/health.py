"""Whether the process lives, and whether it can work."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter

from datanika.contracts.api import Answer, Problem
from datanika.services.readiness import check_readiness

router = APIRouter(tags=["health"])


class Health(Answer):
    status: Literal["ok"] = "ok"


class Ready(Answer):
    """``degraded``: it works, but a part that only some of it needs does not answer."""

    status: Literal["ok", "degraded"]
    database: Literal["ok"] = "ok"
    migrations: str
    prefect: str
    redis: str


@router.get("/healthz")
async def healthz() -> Health:
    """The process answers."""
    return Health()


@router.get(
    "/readyz",
    responses={503: {"model": Problem, "description": "No database, or one that is too old."}},
)
async def readyz() -> Ready:
    """The database answers and is migrated; 503 otherwise. Without Prefect runs are accepted and
    wait, without Redis only ad hoc jobs do not work: then it is degraded, but ready."""
    found = await check_readiness()
    return Ready(
        status="degraded" if found.is_degraded else "ok",
        migrations=found.migrations,
        prefect=found.prefect,
        redis=found.redis,
    )
