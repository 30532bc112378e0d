"""What Prefect makes of a deployment's schedules, less what the control plane refuses, is what
``fires`` says, around shifts of the clocks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prefect.server.schemas.core import DeploymentSchedule

from datanika.compiler import check_schedule, fires, fires_near_shifts, is_fire
from datanika.contracts.schedule import ScheduleSpec
from datanika.orchestration.clock_shifts import TIMES_IN_A_RULE, missed_by, one_shots
from datanika.orchestration.deployments import DeploymentRequest

DAYS = dt.timedelta(days=3)
SHIFTS = [
    ("America/New_York", "2026-03-08T07:00"),
    ("America/New_York", "2026-11-01T06:00"),
    ("Europe/London", "2026-03-29T01:00"),
    ("Europe/London", "2026-10-25T01:00"),
    ("Europe/Dublin", "2026-03-29T01:00"),
    ("Europe/Dublin", "2026-10-25T01:00"),
    ("Africa/Casablanca", "2026-02-15T02:00"),
    ("Africa/Casablanca", "2026-03-22T02:00"),
    ("Australia/Lord_Howe", "2026-04-04T15:00"),
    ("Australia/Lord_Howe", "2026-10-03T15:30"),
    ("Pacific/Apia", "2011-09-24T14:00"),
    ("Pacific/Apia", "2011-12-30T10:00"),
]
CRONS = [
    "30 2 * * *", "30 1 * * *", "0 2 * * *", "0 3 * * *", "0 0 * * *", "59 23 * * *",
    "0 * * * *", "15 * * * *", "45 0-23 * * *", "*/20 * * * *", "*/25 */1 * * *", "30 * * * 0,6",
    "0 */2 * * *", "*/15 1-3 * * *", "5,35 2 * * 0", "0 2 1 * *", "0 12 * * 1-5", "45 1 25,29 * *",
    "0 0 30 12 *", "0 6 L * *", "10 2 * * 0#1",
]  # fmt: skip


def deployed(spec: ScheduleSpec, start: dt.datetime, end: dt.datetime) -> list[Any]:
    """The deployment's schedules as Prefect's server reads them."""
    request = DeploymentRequest(
        org_id=1,
        pipeline_id=2,
        name="n",
        plan_hash="h",
        schedules=(spec,),
        near_shifts=tuple(fires_near_shifts(spec, start, end)),
    )
    sent = [item.model_dump(mode="json") for item in request.as_deployment().prefect_schedules()]
    return [DeploymentSchedule(schedule=item["schedule"]).schedule for item in sent]


def dates(schedule: Any, start: dt.datetime, end: dt.datetime) -> Iterator[dt.datetime]:
    """All that the server makes of a schedule, which looks at 1,000 dates at most."""
    while start < end:
        upto = min(end, start + dt.timedelta(hours=12))
        for at in schedule._get_dates_generator(n=1000, start=start, end=upto):
            yield dt.datetime.fromtimestamp(at.timestamp(), dt.UTC)
        start = upto


@pytest.mark.parametrize("cron", CRONS)
def test_around_a_shift_prefect_starts_what_fires_says(cron: str) -> None:
    for zone, text in SHIFTS:
        shift = dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
        start, end = shift - DAYS, shift + DAYS
        spec = check_schedule(cron=cron, timezone=zone)
        schedules = deployed(spec, start, end)

        # As seen long before, and by a scheduler that is started again now and then.
        made = {at for schedule in schedules for at in dates(schedule, start, end)}
        for schedule in schedules:
            made.update(
                dt.datetime.fromtimestamp(at.timestamp(), dt.UTC)
                for at in schedule._get_dates_generator(n=1000, start=start, end=end)
            )

        started = [at for at in sorted(made) if start < at <= end and is_fire(spec, at)]
        assert started == list(fires(spec, start, until=end)), (zone, text)


def test_prefect_alone_would_miss_a_skipped_and_a_doubled_time() -> None:
    """The reason for all this; where it fails, Prefect has learnt it."""
    year = (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2027, 1, 1, tzinfo=dt.UTC))
    skipped = ScheduleSpec(cron="30 2 * * *", timezone="America/New_York")
    doubled = ScheduleSpec(cron="30 * * * 0", timezone="America/New_York")

    assert [str(one.rrule).split("\n")[1] for one in deployed(skipped, *year)[1:]] == [
        "RDATE:20260308T070000Z"
    ]
    assert [str(one.rrule).split("\n")[1] for one in deployed(doubled, *year)[1:]] == [
        "RDATE:20261101T063000Z"
    ]


@pytest.mark.parametrize("cron", ["0 6 * * *", "*/5 * * * *", "0 9 * * 1-5"])
def test_a_schedule_that_prefect_reads_as_we_do_is_deployed_alone(cron: str) -> None:
    year = (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2027, 1, 1, tzinfo=dt.UTC))
    assert len(deployed(ScheduleSpec(cron=cron, timezone="America/New_York"), *year)) == 1


def test_the_times_of_many_shifts_fit_into_prefects_rules() -> None:
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    times = [start + n * dt.timedelta(minutes=1) for n in range(2 * TIMES_IN_A_RULE + 1)]
    rules = list(one_shots(missed_by([], times)))
    assert len(rules) == 3
    assert max(len(rule.rrule) for rule in rules) < 6500


def test_of_two_schedules_one_makes_what_the_other_misses() -> None:
    shift = dt.datetime(2026, 3, 8, 7, tzinfo=dt.UTC)
    first, second = (
        ScheduleSpec(cron=cron, timezone="America/New_York") for cron in ("30 2 * * *", "0 3 * * *")
    )
    near = tuple(sorted({*fires_near_shifts(first, shift - DAYS, shift + DAYS), shift}))
    request = DeploymentRequest(
        org_id=1,
        pipeline_id=2,
        name="n",
        plan_hash="h",
        schedules=(first, second),
        near_shifts=near,
    )
    assert len(request.as_deployment().prefect_schedules()) == 2


@settings(deadline=None, max_examples=60)
@given(
    cron=st.builds(
        "{} {} {} {} {}".format,
        st.sampled_from(["0", "*/13", "5-20", "1,2", "59"]),
        st.sampled_from(["*", "*/5", "3", "22-23"]),
        st.sampled_from(["*", "1", "L", "*/3", "31"]),
        st.sampled_from(["*", "2", "feb", "1-6"]),
        st.sampled_from(["*", "1", "sun", "1-5", "7", "5#2", "L5"]),
    ),
    start=st.datetimes(dt.datetime(2026, 1, 1), dt.datetime(2030, 1, 1), timezones=st.just(dt.UTC)),
)
def test_in_utc_prefect_reads_every_expression_as_we_do(cron: str, start: dt.datetime) -> None:
    try:
        spec = check_schedule(cron=cron)
    except Exception as error:
        assert getattr(error, "code", "") in ("cron_invalid", "cron_never_fires")
        return
    start = start.replace(microsecond=0, second=30)
    [schedule] = deployed(spec, start, start)
    made = [
        dt.datetime.fromtimestamp(at.timestamp(), dt.UTC)
        for at in schedule._get_dates_generator(n=10, start=start)
    ]
    assert made == list(fires(spec, start, limit=10))
