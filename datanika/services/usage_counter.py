"""What an organisation used, month by month (UTC): counted when a run ends."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.enums import RunState
from datanika.contracts.events import utcnow
from datanika.models import Run, UsageMonth


def month_of(moment: dt.datetime) -> dt.date:
    """The first day of the moment's month, UTC."""
    return moment.astimezone(dt.UTC).date().replace(day=1)


def next_month(month: dt.date) -> dt.datetime:
    """When the month is over."""
    return dt.datetime(month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=dt.UTC)


async def count_run(session: AsyncSession, run: Run) -> None:
    """Add a run that has just ended to its month. Its caller holds the run's lock and has moved
    it to its final state, which happens once."""
    assert run.finished_at is not None
    failed = run.state == RunState.FAILED.value
    if run.started_at is None and not failed:
        return
    seconds = (run.finished_at - (run.started_at or run.finished_at)).total_seconds()
    values = {
        "runs": 1,
        "failed_runs": int(failed),
        "rows": run.rows or 0,
        "run_seconds": max(0, round(seconds)),
    }
    statement = insert(UsageMonth).values(
        org_id=run.org_id, month=month_of(run.finished_at), **values
    )
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["org_id", "month"],
            set_={name: getattr(UsageMonth, name) + value for name, value in values.items()}
            | {"updated_at": func.now()},
        )
    )


async def store_storage(session: AsyncSession, org_id: int, used: int) -> None:
    """Remember what was measured, in the present month."""
    now = utcnow()
    values = {"storage_bytes": used, "storage_measured_at": now}
    statement = insert(UsageMonth).values(org_id=org_id, month=month_of(now), **values)
    await session.execute(
        statement.on_conflict_do_update(index_elements=["org_id", "month"], set_=values)
    )


async def used_in(session: AsyncSession, org_id: int, month: dt.date) -> UsageMonth:
    """The month's rows, and the storage as it was measured last, be it a month ago."""
    rows = await session.scalar(
        select(UsageMonth.rows).where(UsageMonth.org_id == org_id, UsageMonth.month == month)
    )
    measured = (
        await session.execute(
            select(UsageMonth.storage_bytes, UsageMonth.storage_measured_at)
            .where(UsageMonth.org_id == org_id, UsageMonth.storage_measured_at.is_not(None))
            .order_by(UsageMonth.month.desc())
            .limit(1)
        )
    ).one_or_none()
    return UsageMonth(
        rows=rows or 0,
        storage_bytes=measured.storage_bytes if measured else 0,
        storage_measured_at=measured.storage_measured_at if measured else None,
    )
