"""check_schedule: one error for each wrong field, and nothing wrong gets through."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from datanika.compiler import check_schedule
from datanika.contracts.schedule import ScheduleSpec
from datanika.errors import SpecError

EASTER = dt.datetime(2026, 4, 5, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({}, "schedule_empty", "cron"),
        ({"cron": "* * * * *", "interval_seconds": 60}, "schedule_ambiguous", "interval_seconds"),
        ({"cron": "* * * *"}, "cron_invalid", "cron"),
        ({"cron": "* * * * * *"}, "cron_invalid", "cron"),
        ({"cron": "@daily"}, "cron_invalid", "cron"),
        ({"cron": "61 * * * *"}, "cron_invalid", "cron"),
        ({"cron": "* * * * someday"}, "cron_invalid", "cron"),
        ({"cron": "R * * * *"}, "cron_invalid", "cron"),
        ({"cron": ""}, "cron_invalid", "cron"),
        ({"cron": "0 0 31 2 *"}, "cron_never_fires", "cron"),
        ({"cron": "0 0 31 2 1"}, "cron_never_fires", "cron"),
        (
            {"cron": "* * * * *", "starts_at": EASTER, "ends_at": EASTER},
            "schedule_window_empty",
            "ends_at",
        ),
        ({"interval_seconds": 0}, "interval_out_of_range", "interval_seconds"),
        ({"interval_seconds": 10**9}, "interval_out_of_range", "interval_seconds"),
        ({"cron": "0 6 * * *", "timezone": "Mars/Olympus"}, "unknown_timezone", "timezone"),
        ({"cron": "0 6 * * *", "timezone": "../etc/passwd"}, "unknown_timezone", "timezone"),
        ({"cron": "0 6 * * *", "timezone": ""}, "unknown_timezone", "timezone"),
    ],
)
def test_a_wrong_schedule_is_refused_with_its_field(given, code, field):
    with pytest.raises(SpecError) as caught:
        check_schedule(**given)
    assert (caught.value.code, caught.value.field) == (code, field)


def test_a_cron_schedule_keeps_its_time_zone():
    schedule = check_schedule(cron=" 0  6 * * 1-5 ", timezone="America/New_York", active=False)
    assert schedule == ScheduleSpec(cron="0 6 * * 1-5", timezone="America/New_York", active=False)


@given(seconds=st.integers(1, 86_400))
def test_an_interval_is_kept(seconds):
    assert check_schedule(interval_seconds=seconds).interval_seconds == seconds


@given(text=st.text(max_size=40))
def test_any_text_is_a_schedule_or_a_named_error(text):
    try:
        assert check_schedule(cron=text).cron
    except SpecError as error:
        assert error.field == "cron"


@pytest.mark.parametrize("shape", [{}, {"cron": "* * * * *", "interval_seconds": 5}])
def test_the_contract_itself_keeps_cron_xor_interval(shape):
    with pytest.raises(ValidationError):
        ScheduleSpec(**shape)
