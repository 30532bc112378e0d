"""Local times and the instants they mean, where clocks are put forward and back.

A local time is a naive datetime, an instant one in UTC. The rules of a zone are the IANA data of
``zoneinfo``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from zoneinfo import ZoneInfo

SECOND = dt.timedelta(seconds=1)
HOUR = dt.timedelta(hours=1)
_PROBE = dt.timedelta(hours=12)
"""No zone has ever shifted its clock twice within this time."""


def wall(instant: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """What a clock in the zone shows."""
    return instant.astimezone(zone).replace(tzinfo=None)


def offset_at(instant: dt.datetime, zone: ZoneInfo) -> dt.timedelta:
    """How far the zone's clocks are ahead of UTC."""
    return instant.astimezone(zone).utcoffset() or dt.timedelta()


def instant_of(local: dt.datetime, zone: ZoneInfo) -> dt.datetime | None:
    """When a clock in the zone first shows ``local``, or would have.

    A time that is skipped means the moment of the skip, when the clock shows the next valid time;
    one of a date that is skipped as a whole means nothing.
    """
    first = local.replace(tzinfo=zone, fold=0).astimezone(dt.UTC)
    if wall(first, zone) == local:
        return first
    # Read with the offset of after the skip it is an instant before, and the other way round.
    before = local.replace(tzinfo=zone, fold=1).astimezone(dt.UTC)
    skip = _shift_between(before, first, zone)
    if wall(skip - SECOND, zone).date() < local.date() < wall(skip, zone).date():
        return None
    return skip


def shifts_between(start: dt.datetime, end: dt.datetime, zone: ZoneInfo) -> Iterator[dt.datetime]:
    """The instants after ``start``, until ``end``, from which on the zone's offset is another."""
    at = start
    while at < end:
        later = min(at + _PROBE, end)
        if offset_at(at, zone) != offset_at(later, zone):
            yield _shift_between(at, later, zone)
        at = later


def _shift_between(low: dt.datetime, high: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """The first second with the offset of ``high``; the one at ``low`` is another."""
    old = offset_at(low, zone)
    # Clocks are shifted at whole seconds.
    low, high = low.replace(microsecond=0), high.replace(microsecond=0)
    while high - low > SECOND:
        middle = low + (high - low) // SECOND // 2 * SECOND
        if offset_at(middle, zone) == old:
            low = middle
        else:
            high = middle
    return high
