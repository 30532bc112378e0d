"""When a schedule fires: a skipped time, a doubled time, every hour, intervals, windows."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from datanika.compiler.fires import fires, fires_near_shifts, is_fire, jitter_of, next_fires
from datanika.compiler.local_time import shifts_between
from datanika.contracts.schedule import ANCHOR, ScheduleSpec

DAY = dt.timedelta(days=1)

# What the clock shows when the schedule fires; "b" after a time: its second time on this date.
LORD_HOWE = "Australia/Lord_Howe"
GOLDEN = [
    # New York: 2026-03-08 02:00 -> 03:00, 2026-11-01 02:00 -> 01:00
    ("America/New_York", "30 2 * * *", "2026-03-07T12:00", ["08 03:00", "09 02:30", "10 02:30"]),
    ("America/New_York", "*/20 2 * * *", "2026-03-07T12:00", ["08 03:00", "09 02:00"]),
    ("America/New_York", "0 2,3 * * *", "2026-03-07T12:00", ["08 03:00", "09 02:00", "09 03:00"]),
    ("America/New_York", "30 1 * * *", "2026-10-31T12:00", ["01 01:30", "02 01:30"]),
    ("America/New_York", "0 */2 * * *", "2026-10-31T23:00", ["01 00:00", "01 02:00", "01 04:00"]),
    (
        "America/New_York",
        "*/30 * * * *",
        "2026-11-01T00:30",
        ["01 01:00", "01 01:30", "01 01:00b", "01 01:30b", "01 02:00"],
    ),
    ("America/New_York", "0 * * * *", "2026-03-08T00:00", ["08 01:00", "08 03:00", "08 04:00"]),
    ("America/New_York", "30 * * * 0", "2026-11-01T00:30", ["01 01:30", "01 01:30b", "01 02:30"]),
    # London: 2026-03-29 01:00 -> 02:00, 2026-10-25 02:00 -> 01:00
    ("Europe/London", "15 1 * * *", "2026-03-28T12:00", ["29 02:00", "30 01:15"]),
    ("Europe/London", "15 1 * * *", "2026-10-24T12:00", ["25 01:15", "26 01:15"]),
    ("Europe/London", "15 0-23 * * *", "2026-10-25T00:15", ["25 01:15", "25 01:15b", "25 02:15"]),
    # Dublin: the same, and its summer time is the standard one
    ("Europe/Dublin", "15 1 * * *", "2026-03-28T12:00", ["29 02:00", "30 01:15"]),
    ("Europe/Dublin", "15 1 * * *", "2026-10-24T12:00", ["25 01:15", "26 01:15"]),
    # Casablanca: back for Ramadan, 2026-02-15 03:00 -> 02:00; forward 2026-03-22 02:00 -> 03:00
    ("Africa/Casablanca", "30 2 * * *", "2026-02-14T12:00", ["15 02:30", "16 02:30"]),
    ("Africa/Casablanca", "30 2 * * *", "2026-03-21T12:00", ["22 03:00", "23 02:30"]),
    ("Africa/Casablanca", "0 */1 * * *", "2026-02-15T01:00", ["15 02:00", "15 02:00b"]),
    # Lord Howe, by half an hour: 2026-04-05 02:00 -> 01:30, 2026-10-04 02:00 -> 02:30
    (LORD_HOWE, "15 2 * * *", "2026-10-03T12:00", ["04 02:30", "05 02:15"]),
    (LORD_HOWE, "45 1 * * *", "2026-04-04T12:00", ["05 01:45", "06 01:45"]),
    (LORD_HOWE, "15 * * * *", "2026-10-04T00:15", ["04 01:15", "04 02:30", "04 03:15"]),
    (
        LORD_HOWE,
        "15 * * * *",
        "2026-04-05T00:15",
        ["05 01:15", "05 01:30b", "05 02:15"],
    ),
    (
        LORD_HOWE,
        "45 * * * *",
        "2026-04-05T00:45",
        ["05 01:45", "05 01:45b", "05 02:45"],
    ),
    (LORD_HOWE, "0 * * * *", "2026-10-04T00:00", ["04 01:00", "04 02:30", "04 03:00"]),
    # Apia went over the date line: after 2011-12-29 came 2011-12-31
    ("Pacific/Apia", "0 6 * * *", "2011-12-28T12:00", ["29 06:00", "31 06:00", "01 06:00"]),
    ("Pacific/Apia", "0 6 30 * *", "2011-12-01T12:00", ["30 06:00"]),
    ("Pacific/Apia", "0 * * * *", "2011-12-29T22:00", ["29 23:00", "31 00:00", "31 01:00"]),
    # Ittoqqortoormiit skips the last hour of a day: 2026-03-28 23:00 -> 03-29 00:00
    ("America/Scoresbysund", "30 23 * * *", "2026-03-28T12:00", ["29 00:00", "29 23:30"]),
]


def shown(at: dt.datetime, zone: str) -> str:
    local = at.astimezone(ZoneInfo(zone))
    return f"{local:%d %H:%M}{'b' if local.fold else ''}"


@pytest.mark.parametrize(("zone", "cron", "after", "expected"), GOLDEN)
def test_a_schedule_fires_at_the_times_of_the_golden_table(zone, cron, after, expected):
    spec = ScheduleSpec(cron=cron, timezone=zone)
    start = dt.datetime.fromisoformat(after).replace(tzinfo=ZoneInfo(zone))
    found = list(fires(spec, start, limit=len(expected)))
    assert [shown(at, zone) for at in found] == expected
    assert all(
        is_fire(spec, at) and not is_fire(spec, at + dt.timedelta(seconds=1)) for at in found
    )


ZONES = st.sampled_from(
    [
        "America/New_York", "Europe/London", "Europe/Dublin", "Africa/Casablanca",
        LORD_HOWE, "Pacific/Apia", "UTC", "Africa/Cairo", "Asia/Kolkata",
    ]
)  # fmt: skip
SLOW = settings(deadline=None, max_examples=30)
STARTS = st.datetimes(dt.datetime(2009, 1, 1), dt.datetime(2034, 1, 1), timezones=st.just(dt.UTC))


@st.composite
def crons(draw: st.DrawFn) -> str:
    minute = draw(st.sampled_from(["0", "15", "59", "*/20", "0,45", "*"]))
    hour = draw(st.sampled_from(["*", "0-23", "*/2", "1", "2", "1-3", "0,23"]))
    days = draw(st.sampled_from(["* * *", "* * 0", "* * 1-5", "1 * *", "* 3,10 *", "30 * *"]))
    return f"{minute} {hour} {days}"


@SLOW
@given(zone=ZONES, cron=crons(), start=STARTS)
def test_fires_come_one_after_the_other_and_wherever_one_starts_they_are_the_same(
    zone, cron, start
):
    spec = ScheduleSpec(cron=cron, timezone=zone)
    found = list(fires(spec, start, limit=60))
    assert all(one < two for one, two in pairwise([start, *found]))
    assert list(fires(spec, found[29], limit=30)) == found[30:]
    assert list(fires(spec, start, until=found[-1])) == found


@SLOW
@given(cron=crons(), start=STARTS)
def test_in_utc_they_are_what_croniter_says(cron, start):
    plain = croniter(cron, start)
    expected = [plain.get_next(dt.datetime) for _ in range(40)]
    assert list(fires(ScheduleSpec(cron=cron), start, limit=40)) == expected


@SLOW
@given(zone=ZONES, start=STARTS, hour=st.integers(0, 22), minute=st.integers(0, 59))
def test_a_daily_schedule_fires_once_on_every_date_that_exists(zone, start, hour, minute):
    spec = ScheduleSpec(cron=f"{minute} {hour} * * *", timezone=zone)
    found = list(fires(spec, start, until=start + 250 * DAY))
    dates = [at.astimezone(ZoneInfo(zone)).date() for at in found]
    missing = {dates[0] + n * DAY for n in range((dates[-1] - dates[0]).days)} - set(dates)
    assert len(set(dates)) == len(dates)
    assert missing <= ({dt.date(2011, 12, 30)} if zone == "Pacific/Apia" else set())


@SLOW
@given(
    zone=ZONES, year=st.integers(2009, 2033), month=st.integers(1, 12), minute=st.integers(0, 59)
)
def test_an_hourly_schedule_leaves_no_hour_without_its_fire(zone, year, month, minute):
    start = dt.datetime(year, month, 1, tzinfo=dt.UTC)
    shift = next(shifts_between(start, start + 365 * DAY, ZoneInfo(zone)), start)
    spec = ScheduleSpec(cron=f"{minute} * * * *", timezone=zone)
    gaps = {two - one for one, two in pairwise(fires(spec, shift - DAY, until=shift + DAY))}
    hour = dt.timedelta(hours=1)
    assert max(gaps) == hour
    assert zone == LORD_HOWE or gaps == {hour}


@SLOW
@given(seconds=st.integers(1, 40 * 86_400), start=STARTS, zone=ZONES)
def test_an_interval_is_real_time_from_its_anchor_in_every_zone(seconds, start, zone):
    found = list(fires(ScheduleSpec(interval_seconds=seconds, timezone=zone), start, limit=5))
    assert start < found[0] <= start + dt.timedelta(seconds=seconds)
    assert {two - one for one, two in pairwise(found)} == {dt.timedelta(seconds=seconds)}
    assert (found[0] - ANCHOR) % dt.timedelta(seconds=seconds) == dt.timedelta()


def test_a_window_is_from_its_start_to_before_its_end():
    opens, closes = (dt.datetime(2026, 5, day, 6, tzinfo=dt.UTC) for day in (3, 6))
    spec = ScheduleSpec(cron="0 6 * * *", starts_at=opens, ends_at=closes)
    assert [at.day for at in fires(spec, opens - 9 * DAY)] == [3, 4, 5]
    assert is_fire(spec, opens)
    assert not is_fire(spec, opens - DAY)
    assert not is_fire(spec, closes)


@pytest.mark.parametrize("cron", ["0 6 * * *", "* * * * *", "0 0 29 2 *"])
@pytest.mark.parametrize("zone", ["Pacific/Apia", "America/New_York"])
def test_the_ends_of_the_calendar_are_no_error(cron, zone):
    first, last = (edge.replace(tzinfo=dt.UTC) for edge in (dt.datetime.min, dt.datetime.max))
    spec = ScheduleSpec(cron=cron, timezone=zone)
    assert len(list(fires(spec, first, limit=3))) == 3
    assert list(fires(spec, last)) == []
    window = ScheduleSpec(cron=cron, timezone=zone, starts_at=last, ends_at=last)
    assert list(fires(window, first)) == []
    late = dt.datetime(9989, 12, 30, tzinfo=dt.UTC)
    assert len(list(fires(spec, late, limit=2))) in (0, 1, 2)


def test_jitter_is_the_same_for_a_pipeline_and_spreads_pipelines():
    offsets = [jitter_of(number, 600) for number in range(300)]
    assert offsets == [jitter_of(number, 600) for number in range(300)]
    assert all(dt.timedelta() <= one < dt.timedelta(seconds=600) for one in offsets)
    assert len(set(offsets)) > 150
    assert jitter_of(1, 0) == dt.timedelta()


def test_the_next_fires_are_shown_in_the_zone_and_not_of_a_schedule_that_is_off():
    spec = ScheduleSpec(cron="30 2 * * *", timezone="America/New_York")
    start = dt.datetime(2026, 3, 7, 12, tzinfo=dt.UTC)
    assert [at.isoformat() for at in next_fires(spec, start, 2)] == [
        "2026-03-08T03:00:00-04:00",
        "2026-03-09T02:30:00-04:00",
    ]
    assert next_fires(spec.model_copy(update={"active": False}), start) == []


def test_fires_near_shifts_are_few_and_in_order():
    spec = ScheduleSpec(cron="30 2 * * *", timezone="America/New_York")
    year = (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2027, 1, 1, tzinfo=dt.UTC))
    assert [shown(at, spec.timezone) for at in fires_near_shifts(spec, *year)] == [
        "08 03:00",
        "01 02:30",
    ]
    assert list(fires_near_shifts(ScheduleSpec(interval_seconds=60), *year)) == []
