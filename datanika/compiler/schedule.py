"""What a tenant wrote about time, checked: cron or interval, and a time zone that exists."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo, available_timezones

from croniter import CroniterBadCronError, CroniterBadDateError, croniter

from datanika.contracts.schedule import DAY_SECONDS, ScheduleSpec
from datanika.errors import SpecError

MIN_INTERVAL_SECONDS = 1
MAX_INTERVAL_SECONDS = 366 * 86_400
_CRON_FIELDS = 5


def check_schedule(
    *,
    cron: str | None = None,
    interval_seconds: int | None = None,
    timezone: str = "UTC",
    active: bool = True,
    starts_at: dt.datetime | None = None,
    ends_at: dt.datetime | None = None,
    catchup_seconds: int = DAY_SECONDS,
    jitter_seconds: int = 0,
) -> ScheduleSpec:
    """The schedule; raises :class:`SpecError` with ``field`` = the field that is wrong."""
    if cron is not None and interval_seconds is not None:
        raise SpecError(
            "A schedule has a cron expression or an interval, not both.",
            code="schedule_ambiguous",
            field="interval_seconds",
        )
    if cron is None and interval_seconds is None:
        raise SpecError(
            "A schedule needs a cron expression or an interval.",
            code="schedule_empty",
            field="cron",
            hint='For example cron "0 6 * * *": every day at six.',
        )
    zone = _check_timezone(timezone)
    if cron is not None:
        cron = _check_cron(cron, zone)
    elif interval_seconds is not None:
        _check_interval(interval_seconds)
    if starts_at is not None and ends_at is not None and ends_at <= starts_at:
        raise SpecError(
            "A schedule ends after it starts.", code="schedule_window_empty", field="ends_at"
        )
    return ScheduleSpec(
        cron=cron,
        interval_seconds=interval_seconds,
        timezone=timezone,
        active=active,
        starts_at=starts_at,
        ends_at=ends_at,
        catchup_seconds=catchup_seconds,
        jitter_seconds=jitter_seconds,
    )


def _check_timezone(name: str) -> ZoneInfo:
    if name not in available_timezones():
        raise SpecError(
            f"There is no time zone {name!r}.",
            code="unknown_timezone",
            field="timezone",
            hint="Use an IANA name such as Europe/Athens, America/New_York or UTC.",
        )
    return ZoneInfo(name)


def _check_cron(cron: str, zone: ZoneInfo) -> str:
    """The expression with single spaces."""
    fields = cron.split()
    text = " ".join(fields)
    if len(fields) != _CRON_FIELDS:
        raise SpecError(
            f"A cron expression has five fields, {cron!r} has {len(fields)}.",
            code="cron_invalid",
            field="cron",
            hint="minute hour day-of-month month day-of-week, for example 30 6 * * 1-5.",
        )
    if any(field.lower().startswith(("h", "r")) for field in fields):
        raise SpecError(
            "Random and hashed cron fields (R, H) are not supported.",
            code="cron_invalid",
            field="cron",
        )
    try:
        # Day of month or weekday: Prefect finds none where the day of the month never comes.
        for expression in (text, " ".join([*fields[:4], "*"])):
            croniter(expression, dt.datetime(2026, 1, 1, tzinfo=zone)).get_next(dt.datetime)
    except CroniterBadDateError:
        raise SpecError(f"{text!r} never fires.", code="cron_never_fires", field="cron") from None
    except (CroniterBadCronError, ValueError) as error:
        raise SpecError(
            f"{text!r} is not a cron expression: {error}", code="cron_invalid", field="cron"
        ) from None
    return text


def _check_interval(seconds: int) -> None:
    if not MIN_INTERVAL_SECONDS <= seconds <= MAX_INTERVAL_SECONDS:
        raise SpecError(
            f"An interval is between {MIN_INTERVAL_SECONDS} and {MAX_INTERVAL_SECONDS} seconds.",
            code="interval_out_of_range",
            field="interval_seconds",
        )
