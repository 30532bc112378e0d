"""The month of a schedule shows the very fires that start runs."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from datanika.compiler import check_schedule, fires
from datanika.ui.calendar import MOST, month_days, next_month

NOW = dt.datetime(2026, 3, 10, 12, tzinfo=dt.UTC)
MARCH = dt.date(2026, 3, 1)


@pytest.mark.parametrize("cron", ["0 6 * * 1-5", "0 0 * * *", "30 2 * * 0", "0 */7 * * *"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Athens", "America/New_York"])
def test_each_day_counts_its_own_fires_across_a_shift_of_the_clocks(cron: str, zone: str) -> None:
    spec = check_schedule(cron=cron, timezone=zone)
    shown = month_days(spec, MARCH, NOW)
    assert len(shown) == 42
    first = dt.date(2026, 2, 23)
    expected: dict[dt.date, int] = {}
    for fire in fires(spec, NOW, until=NOW + dt.timedelta(days=60)):
        day = fire.astimezone(ZoneInfo(zone)).date()
        expected[day] = expected.get(day, 0) + 1
    for offset, day in enumerate(shown):
        date = first + dt.timedelta(days=offset)
        assert (day.day, day.is_other) == (date.day, date.month != 3)
        assert day.count == expected.get(date, 0), date
    assert [day.day for day in shown if day.is_today] == [10]


def test_a_schedule_of_every_second_is_counted_up_to_a_bound() -> None:
    spec = check_schedule(interval_seconds=1)
    days = month_days(spec, MARCH, NOW)
    assert {day.text for day in days if day.count} == {f"{MOST}+"}
    assert {day.count for day in days} == {0, MOST + 1}


def test_a_window_ends_the_calendar() -> None:
    spec = check_schedule(
        cron="0 6 * * *",
        starts_at=dt.datetime(2026, 3, 12, tzinfo=dt.UTC),
        ends_at=dt.datetime(2026, 3, 14, tzinfo=dt.UTC),
    )
    assert [day.day for day in month_days(spec, MARCH, NOW) if day.count] == [12, 13]


def test_months_follow_each_other_across_years() -> None:
    assert next_month(dt.date(2026, 12, 1), 1) == dt.date(2027, 1, 1)
    assert next_month(dt.date(2026, 1, 1), -1) == dt.date(2025, 12, 1)
    assert next_month(dt.date(2026, 3, 1), 0) == dt.date(2026, 3, 1)
