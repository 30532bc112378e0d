"""When pipelines run by themselves."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from pydantic import Field, StringConstraints

from datanika.contracts.api.base import Answer, Body
from datanika.contracts.text import Flag, RowId

Cron = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Interval = Annotated[int, Field(ge=1, le=366 * 86_400, strict=True)]
Zone = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class ScheduleIn(Body):
    pipeline_id: RowId
    cron: Cron | None = Field(
        default=None, description="This or an interval.", examples=["0 6 * * *"]
    )
    interval_seconds: Interval | None = None
    timezone: Zone = Field(default="UTC", examples=["Europe/Berlin"])
    is_active: Flag = True


class SchedulePatch(Body):
    cron: Cron | None = Field(default=None, examples=["30 5 * * 1-5"])
    interval_seconds: Interval | None = None
    timezone: Zone | None = None
    is_active: Flag | None = None


class ScheduleOut(Answer):
    id: int
    pipeline_id: int
    cron: str | None
    interval_seconds: int | None
    timezone: str
    is_active: bool
    revision: int
    created_at: dt.datetime
    updated_at: dt.datetime
