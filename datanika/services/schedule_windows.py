"""What of a pipeline's schedules Prefect is given now, and when it has to be given again.

A schedule is on in Prefect from a little before it starts until a little after it ends; what
Prefect makes outside is refused at the claim. The times around shifts of the clocks are given for
years to come, and again before they are used up.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, exists, func, literal, or_, select

from datanika.compiler import fires_near_shifts
from datanika.contracts.schedule import ScheduleSpec
from datanika.models import Pipeline, Schedule

MARGIN = dt.timedelta(minutes=5)
"""The reconciler comes once a minute, and so does Prefect's scheduler."""
SHIFTS_FOR = dt.timedelta(days=3 * 366)
AGAIN_AFTER = dt.timedelta(days=180)
_NEVER = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def deployed_spec(spec: ScheduleSpec, now: dt.datetime) -> ScheduleSpec:
    """The schedule as Prefect should have it at ``now``: without what Prefect is not asked for."""
    opens, closes = spec.starts_at, spec.ends_at
    is_open = (opens is None or opens <= now + MARGIN) and (closes is None or now - MARGIN < closes)
    return ScheduleSpec(
        cron=spec.cron,
        interval_seconds=spec.interval_seconds,
        timezone=spec.timezone,
        active=spec.active and is_open,
    )


def near_shifts(specs: Sequence[ScheduleSpec], now: dt.datetime) -> tuple[dt.datetime, ...]:
    """The fires around shifts of the clocks, of the years that begin with the present one."""
    start = dt.datetime(now.year, 1, 1, tzinfo=dt.UTC)
    return tuple(
        sorted({at for spec in specs for at in fires_near_shifts(spec, start, start + SHIFTS_FOR)})
    )


def is_outdated(now: dt.datetime) -> ColumnElement[bool]:
    """Whether what Prefect was given of a pipeline is of another time."""
    deployed_at = func.coalesce(Pipeline.deployed_at, literal(_NEVER))
    opens, closes = Schedule.starts_at, Schedule.ends_at
    return exists(
        select(Schedule.id).where(
            Schedule.pipeline_id == Pipeline.id,
            Schedule.deleted_at.is_(None),
            Schedule.is_active,
            or_(
                deployed_at < now - AGAIN_AFTER,
                and_(deployed_at + MARGIN < opens, opens <= now + MARGIN),
                and_(deployed_at - MARGIN < closes, closes <= now - MARGIN),
            ),
        )
    )
