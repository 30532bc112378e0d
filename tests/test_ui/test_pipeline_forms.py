"""What the forms of pipelines say, read back as what the services take."""

from __future__ import annotations

import datetime as dt

import pytest

from datanika.compiler import check_schedule
from datanika.compiler.spec_text import read_yaml
from datanika.contracts.schedule import ScheduleSpec
from datanika.errors import DatanikaError
from datanika.ui.state.pipeline_builder_state import _drawable
from datanika.ui.state.schedule_state import NEW, _fields, _spec, moment_of, seconds_of
from datanika.ui.views.pipelines import span, split_span

START = dt.datetime(2026, 7, 1, 4, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "spec",
    [
        check_schedule(cron="0 6 * * 1-5", timezone="Europe/Athens", starts_at=START),
        check_schedule(interval_seconds=5400, jitter_seconds=90, catchup_seconds=7200),
        check_schedule(cron="5 5 * * *", active=False, ends_at=START, timezone="America/New_York"),
    ],
)
def test_a_schedule_in_the_editor_is_saved_as_it_was(spec: ScheduleSpec) -> None:
    assert _spec(_fields(spec)) == spec


def test_the_window_of_a_schedule_is_in_its_own_zone() -> None:
    fields = _fields(check_schedule(cron="0 6 * * *", timezone="Europe/Athens", starts_at=START))
    assert fields["starts_at"] == "2026-07-01T07:00"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"cron": "61 * * * *"}, "cron"),
        ({"mode": "interval", "every": "0"}, "every"),
        ({"mode": "interval", "every": "1.5"}, "every"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"starts_at": "yesterday"}, "starts_at"),
        ({"starts_at": "9999-12-31T23:59", "timezone": "America/New_York"}, "starts_at"),
        ({"starts_at": "2026-02-01T00:00", "ends_at": "2026-01-01T00:00"}, "ends_at"),
        ({"catchup": "5", "catchup_unit": "seconds"}, "catchup_seconds"),
        ({"jitter": "2", "jitter_unit": "days"}, "jitter_seconds"),
        ({"jitter_unit": "fortnights"}, "jitter"),
    ],
)
def test_what_is_wrong_in_the_editor_is_named(change: dict[str, str], field: str) -> None:
    with pytest.raises(DatanikaError) as caught:
        _spec({**NEW, **change})
    assert caught.value.field == field


def test_spans_are_shown_in_their_largest_whole_unit() -> None:
    for seconds, expected in ((90, "90 s"), (5400, "90 min"), (7200, "2 h"), (172_800, "2 d")):
        number, unit = split_span(seconds)
        assert span(seconds) == expected
        assert seconds_of({"a": str(number), "a_unit": unit}, "a") == seconds
    assert split_span(0) == (0, "seconds")
    assert moment_of("", "UTC", "start") is None


@pytest.mark.parametrize(
    "text",
    [
        "steps: 5",
        "steps:\n  - kind: load",
        "steps:\n  - key: a\n  - key: a",
        "steps:\n  - a",
        "steps: [",
    ],
)
def test_a_graph_is_not_drawn_of_a_text_that_it_would_lose_something_of(text: str) -> None:
    assert _drawable(read_yaml(text)) is None


def test_a_graph_is_drawn_of_steps_that_are_not_complete() -> None:
    assert _drawable(read_yaml("steps:\n  - key: a\n    tables: 5")) == {
        "steps": [{"key": "a", "tables": 5}]
    }
    assert _drawable(read_yaml("timeout_seconds: 5")) == {"timeout_seconds": 5, "steps": []}
