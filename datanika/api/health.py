"""Whether the process lives, and whether it can work."""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy import text

from datanika.db import get_session

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz() -> dict[str, str]:
    """The database answers too; 503 otherwise. Without Prefect runs are accepted and wait."""
    async with get_session() as session:
        await session.execute(text("SELECT 1"))
    return {"status": "ok", "database": "ok"}
