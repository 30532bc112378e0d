"""What Prefect's schedules leave out where clocks are shifted, as schedules of single times.

Prefect's server reads a cron expression as local times. One that comes twice fires the first time
only, also where it stands for every hour, and one that does not exist fires an hour early. So a
deployment has the times that are missing as RRULE schedules, and the control plane refuses at the
claim what should not fire. Asked is the very code that Prefect's scheduler runs.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from itertools import batched
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect.client.schemas.schedules import RRuleSchedule

TIMES_IN_A_RULE = 350
"""Prefect takes rules of up to 6,500 characters; a time has 17."""
_LEAD = dt.timedelta(hours=2)
_BREAK = dt.timedelta(hours=12)
_AT_ONCE = 500
"""Prefect looks at no more than 1,000 dates of a schedule at once."""


def missed_by(schedules: Sequence[Any], times: Sequence[dt.datetime]) -> list[dt.datetime]:
    """Those of ``times`` (in order) that none of Prefect's ``schedules`` makes."""
    made: set[dt.datetime] = set()
    for group in _groups(times):
        for schedule in schedules:
            made.update(_dates(schedule, group[0] - _LEAD, group[-1]))
    return [at for at in times if at not in made]


def one_shots(times: Iterable[dt.datetime]) -> Iterator[RRuleSchedule]:
    """Schedules of Prefect's that make these times and no others."""
    from prefect.client.schemas.schedules import RRuleSchedule

    for some in batched(times, TIMES_IN_A_RULE):
        dates = ",".join(f"{at.astimezone(dt.UTC):%Y%m%dT%H%M%SZ}" for at in some)
        # Prefect would begin every rule that does not say so in 2020.
        start = f"{some[0].astimezone(dt.UTC):%Y%m%dT%H%M%S}"
        yield RRuleSchedule(rrule=f"DTSTART:{start}\nRDATE:{dates}", timezone="UTC")


def _groups(times: Sequence[dt.datetime]) -> Iterator[list[dt.datetime]]:
    group: list[dt.datetime] = []
    for at in times:
        if group and at - group[-1] > _BREAK:
            yield group
            group = []
        group.append(at)
    if group:
        yield group


def _dates(schedule: Any, start: dt.datetime, end: dt.datetime) -> Iterator[dt.datetime]:
    """When Prefect's scheduler would have the schedule fire, from ``start`` to ``end``."""
    from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule

    kinds: dict[str, Any] = {"CronSchedule": CronSchedule, "IntervalSchedule": IntervalSchedule}
    server = kinds[type(schedule).__name__](**schedule.model_dump())
    while start <= end:
        found = [
            dt.datetime.fromtimestamp(at.timestamp(), dt.UTC)
            for at in server._get_dates_generator(n=_AT_ONCE, start=start, end=end)
        ]
        yield from found
        if len(found) < _AT_ONCE:
            return
        start = max(found) + dt.timedelta(seconds=1)
