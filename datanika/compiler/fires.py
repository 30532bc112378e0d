"""The instants at which a schedule fires. The UI shows them, and they are what really fires.

* A cron expression means local times of its zone. A time that is skipped when clocks are put
  forward fires at the next valid one, and a time that comes twice when they are put back fires
  once, the first time. What falls on a date that does not exist (Apia, 2011-12-30) does not fire.
* An expression for every hour means hours that pass: its minutes fire in both hours of a doubled
  one, and there is nothing to make up for an hour that is skipped. Where clocks shift by a part of
  an hour (Lord Howe), and its times before and after would be more than an hour apart, it fires at
  the shift as well: no hour passes without its fire.
* An interval is real time from :data:`~datanika.contracts.schedule.ANCHOR`, whatever clocks show.
* ``starts_at`` is the first instant at which a schedule may fire, ``ends_at`` the first at which
  it may not.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from croniter import CroniterBadDateError, croniter

from datanika.compiler.local_time import HOUR, SECOND, instant_of, offset_at, shifts_between, wall
from datanika.contracts.schedule import ANCHOR, ScheduleSpec

_STRETCH = dt.timedelta(days=60)
_NEAR = dt.timedelta(hours=3)
_INSTANT = dt.timedelta(microseconds=1)
_FIRST = dt.datetime(1970, 1, 2, tzinfo=dt.UTC)
_LAST = dt.datetime(9990, 1, 1, tzinfo=dt.UTC)


def fires(
    spec: ScheduleSpec,
    after: dt.datetime,
    *,
    until: dt.datetime | None = None,
    limit: int | None = None,
) -> Iterator[dt.datetime]:
    """The instants (UTC, ascending) after ``after`` at which the schedule fires, whether active or
    not: those until ``until`` (included), and no more than ``limit``; none before 1970."""
    start = max(after.astimezone(dt.UTC), _FIRST)
    if spec.starts_at is not None and spec.starts_at > start:
        start = spec.starts_at.astimezone(dt.UTC) - _INSTANT
    if start >= _LAST:
        return iter(())
    end, ends_at = until or _LAST, spec.ends_at or _LAST
    found = takewhile(lambda at: at <= end and at < ends_at, _all_fires(spec, start, end))
    return islice(found, limit)


def is_fire(spec: ScheduleSpec, instant: dt.datetime) -> bool:
    """Whether the schedule fires at this very instant."""
    return any(True for _ in fires(spec, instant - _INSTANT, until=instant))


def next_fires(spec: ScheduleSpec, after: dt.datetime, count: int = 5) -> list[dt.datetime]:
    """The next fires, with the offset of the schedule's zone; none of a switched-off schedule."""
    if not spec.active:
        return []
    zone = ZoneInfo(spec.timezone)
    return [at.astimezone(zone) for at in fires(spec, after, limit=count)]


def fires_near_shifts(
    spec: ScheduleSpec, start: dt.datetime, end: dt.datetime
) -> Iterator[dt.datetime]:
    """The fires around each shift of the zone's clocks: what other readers of a cron expression
    get wrong is among them."""
    if spec.cron is None or not spec.active:
        return
    zone, last = ZoneInfo(spec.timezone), start
    for shift in shifts_between(start, end, zone):
        size = abs(offset_at(shift, zone) - offset_at(shift - SECOND, zone))
        for at in fires(spec, max(last, shift - size - _NEAR), until=shift + size + _NEAR):
            yield at
            last = at


def _all_fires(spec: ScheduleSpec, after: dt.datetime, end: dt.datetime) -> Iterator[dt.datetime]:
    if spec.interval_seconds is not None:
        return _interval_fires(dt.timedelta(seconds=spec.interval_seconds), after)
    zone, cron = ZoneInfo(spec.timezone), spec.cron or ""
    if _is_of_every_hour(cron):
        return _hourly_fires(cron, zone, after, end)
    return _local_fires(cron, zone, after)


def _interval_fires(interval: dt.timedelta, after: dt.datetime) -> Iterator[dt.datetime]:
    at = ANCHOR + (after - ANCHOR) // interval * interval
    while True:
        try:
            at += interval
        except OverflowError:
            return
        yield at


def _is_of_every_hour(cron: str) -> bool:
    hours = croniter.expand(cron)[0][1]
    return "*" in hours or len(set(hours)) == 24


def _local_times(cron: str, after: dt.datetime) -> Iterator[dt.datetime]:
    """Local times after ``after`` that the expression means."""
    times = croniter(cron, after)
    while True:
        try:
            yield times.get_next(dt.datetime)
        except (CroniterBadDateError, OverflowError):
            return


def _local_fires(cron: str, zone: ZoneInfo, after: dt.datetime) -> Iterator[dt.datetime]:
    last = after
    for local in _local_times(cron, wall(after, zone)):
        at = instant_of(local, zone)
        if at is not None and at > last:
            last = at
            yield at


def _hourly_fires(
    cron: str, zone: ZoneInfo, after: dt.datetime, end: dt.datetime
) -> Iterator[dt.datetime]:
    """Between two shifts of the clocks local and real time run side by side."""
    start, last = after, after
    while start <= min(end, _LAST):
        stretch = start + min(_STRETCH, end - start + SECOND)
        shift = next(shifts_between(start, stretch, zone), None)
        border, offset = shift or stretch, offset_at(start, zone)
        for local in _local_times(cron, wall(start, zone) - SECOND):
            at = (local - offset).replace(tzinfo=dt.UTC)
            if at >= border:
                break
            if at > last:
                last = at
                yield at
        if shift is not None and _fires_at_shift(cron, zone, shift):
            last = shift
            yield shift
        start = border


def _fires_at_shift(cron: str, zone: ZoneInfo, shift: dt.datetime) -> bool:
    """Whether a shift by a part of an hour would leave an hour without its fire."""
    old, new = offset_at(shift - SECOND, zone), offset_at(shift, zone)
    if (new - old) % HOUR == dt.timedelta():
        return False
    local = wall(shift, zone)
    minute, _, *days = cron.split()
    if not croniter.match(f"* * {' '.join(days)}", local):
        return False
    before = croniter(cron, local - new + old).get_prev(dt.datetime) - old
    following = croniter(cron, local - SECOND).get_next(dt.datetime) - new
    return bool(following - before > HOUR)


def jitter_of(pipeline_id: int, seconds: int) -> dt.timedelta:
    """How long after its time a run of the pipeline starts: at least 0, less than ``seconds``, and
    always the same, so that what is due at once is spread."""
    if seconds <= 0:
        return dt.timedelta()
    digest = hashlib.sha256(f"jitter of pipeline {pipeline_id}".encode()).digest()
    return dt.timedelta(seconds=int.from_bytes(digest[:8]) % seconds)
