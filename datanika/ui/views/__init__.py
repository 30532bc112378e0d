"""What pages show, as plain data. Times are ISO 8601 with zone, durations seconds."""

from __future__ import annotations

import datetime as dt


def iso(moment: dt.datetime | None) -> str | None:
    """ISO 8601 in UTC, or None."""
    return moment.astimezone(dt.UTC).isoformat() if moment else None
