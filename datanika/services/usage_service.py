"""What an organisation uses of what it may."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.base import Contract
from datanika.contracts.events import utcnow
from datanika.models import UsageMonth
from datanika.services.actor import Actor
from datanika.services.limits import count_connections, load_limits
from datanika.services.run_queue import count_active
from datanika.services.usage_counter import month_of, next_month, used_in

HISTORY_MONTHS = 24


class Figure(Contract):
    """What is used of what may be; ``limit`` None: no limit."""

    used: int
    limit: int | None


class MonthOfUse(Contract):
    month: dt.date
    runs: int
    failed_runs: int
    rows: int
    run_seconds: int
    storage_bytes: int


class Usage(Contract):
    """An organisation's use, now and in the month (UTC) that ends at ``resets_at``."""

    month: dt.date
    resets_at: dt.datetime
    concurrent_runs: Figure
    connections: Figure
    rows: Figure
    storage_bytes: Figure
    storage_measured_at: dt.datetime | None
    history: list[MonthOfUse]


class UsageService:
    """What the actor's organisation uses."""

    def __init__(self, session: AsyncSession, actor: Actor) -> None:
        self.session = session
        self.actor = actor

    async def read(self) -> Usage:
        """Each figure with its limit, and the months before, the newest first."""
        self.actor.require("usage:read")
        org_id = self.actor.org_id
        limits, month = await load_limits(self.session, org_id), month_of(utcnow())
        now = await used_in(self.session, org_id, month)
        return Usage(
            month=month,
            resets_at=next_month(month),
            concurrent_runs=Figure(
                used=await count_active(self.session, org_id), limit=limits.max_concurrent_runs
            ),
            connections=Figure(
                used=await count_connections(self.session, org_id), limit=limits.max_connections
            ),
            rows=Figure(used=now.rows, limit=limits.max_rows_per_month),
            storage_bytes=Figure(used=now.storage_bytes, limit=limits.max_storage_bytes),
            storage_measured_at=now.storage_measured_at,
            history=[
                MonthOfUse(**{name: getattr(row, name) for name in MonthOfUse.model_fields})
                for row in await self._history()
            ],
        )

    async def _history(self) -> Sequence[UsageMonth]:
        query = select(UsageMonth).where(UsageMonth.org_id == self.actor.org_id)
        rows = await self.session.scalars(
            query.order_by(UsageMonth.month.desc()).limit(HISTORY_MONTHS)
        )
        return rows.all()
