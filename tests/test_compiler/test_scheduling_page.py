"""The table of docs/explanation/scheduling.md says what the code does."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from zoneinfo import ZoneInfo

from datanika.compiler import fires
from datanika.contracts.schedule import ScheduleSpec

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "scheduling.md"


def test_the_table_of_the_page_on_scheduling_is_what_fires_says() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in PAGE.read_text().splitlines()
        if line.startswith("| ") and "/" in line.split(" | ")[0]
    ]
    assert len(rows) > 8
    for zone, cron, after, expected in rows:
        spec = ScheduleSpec(cron=cron.strip("`"), timezone=zone)
        start = dt.datetime.fromisoformat(after).replace(tzinfo=ZoneInfo(zone))
        times = expected.split(", ")
        found = [at.astimezone(ZoneInfo(zone)) for at in fires(spec, start, limit=len(times))]
        shown = [f"{at:%Y-%m-%d %H:%M} {at.isoformat()[-6:]}" for at in found]
        assert shown == times, (zone, cron)
