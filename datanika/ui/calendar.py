"""A month of a schedule: which days it fires on, and how often. Pure.

A day's fires are counted up to a bound: a schedule of every second would have 86,400.
"""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

from datanika.compiler import fires
from datanika.contracts.schedule import ScheduleSpec
from datanika.ui.views.pipelines import DayView

MOST = 24
"""More fires of a day are not counted."""
WEEKS = 6
_INSTANT = dt.timedelta(microseconds=1)


def month_days(spec: ScheduleSpec, month: dt.date, now: dt.datetime) -> list[DayView]:
    """Six weeks from the Monday before ``month``, which is the first of its month, in the zone of
    the schedule. Fires that are past are not shown."""
    zone = ZoneInfo(spec.timezone)
    today = now.astimezone(zone).date()
    first = month - dt.timedelta(days=month.weekday())
    days = []
    for offset in range(WEEKS * 7):
        day = first + dt.timedelta(days=offset)
        count = _count(spec, day, zone, now) if day >= today else 0
        text = f"{MOST}+" if count > MOST else str(count) if count else ""
        days.append(DayView(day.day, count, text, day.month != month.month, day == today))
    return days


def _count(spec: ScheduleSpec, day: dt.date, zone: ZoneInfo, now: dt.datetime) -> int:
    begin = dt.datetime.combine(day, dt.time(), zone).astimezone(dt.UTC)
    end = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), zone).astimezone(dt.UTC)
    # fires() begins after the moment it is given and ends with it: midnight belongs to one day.
    after, until = max(begin - _INSTANT, now), end - _INSTANT
    return sum(1 for _ in fires(spec, after, until=until, limit=MOST + 1)) if after < until else 0


def next_month(month: dt.date, by: int) -> dt.date:
    """The first of the month that is ``by`` months later."""
    number = month.year * 12 + month.month - 1 + by
    return dt.date(number // 12, number % 12 + 1, 1)
