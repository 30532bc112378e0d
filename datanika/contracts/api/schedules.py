"""When pipelines run by themselves."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from pydantic import Field, StringConstraints

from datanika.contracts.api.base import Answer, Body
from datanika.contracts.schedule import DAY_SECONDS
from datanika.contracts.text import WHOLE, Flag, Moment, RowId

Cron = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Interval = Annotated[int, Field(ge=1, le=366 * 86_400, strict=True), WHOLE]
Zone = Annotated[str, StringConstraints(min_length=1, max_length=64)]


Count = Annotated[int, Field(ge=1, le=100)]
"""How many times are asked for."""
Catchup = Annotated[int, Field(ge=60, le=31_622_400, strict=True), WHOLE]
Jitter = Annotated[int, Field(ge=0, le=86_400, strict=True), WHOLE]
_STARTS = "The first time it may fire."
_ENDS = "The first time it may not fire any more."
_CATCHUP = "A run that could start only so many seconds after its time is skipped."
_JITTER = "Runs start up to so many seconds after their time, always as many for a pipeline."


class WhenIn(Body):
    """When a schedule fires."""

    cron: Cron | None = Field(
        default=None, description="This or an interval.", examples=["0 6 * * *"]
    )
    interval_seconds: Interval | None = None
    timezone: Zone = Field(default="UTC", examples=["Europe/Berlin"])
    starts_at: Moment | None = Field(default=None, description=_STARTS)
    ends_at: Moment | None = Field(default=None, description=_ENDS)


class SchedulePreviewIn(WhenIn):
    after: Moment | None = Field(default=None, description="Now, if it is left out.")
    count: Count = 5


class ScheduleIn(WhenIn):
    pipeline_id: RowId
    is_active: Flag = True
    catchup_seconds: Catchup = Field(default=DAY_SECONDS, description=_CATCHUP)
    jitter_seconds: Jitter = Field(default=0, description=_JITTER)


class SchedulePatch(Body):
    cron: Cron | None = Field(default=None, examples=["30 5 * * 1-5"])
    interval_seconds: Interval | None = None
    timezone: Zone | None = None
    is_active: Flag | None = None
    starts_at: Moment | None = Field(default=None, description=f"{_STARTS} Null: at once.")
    ends_at: Moment | None = Field(default=None, description=f"{_ENDS} Null: never.")
    catchup_seconds: Catchup | None = Field(default=None, description=_CATCHUP)
    jitter_seconds: Jitter | None = Field(default=None, description=_JITTER)


class ScheduleOut(Answer):
    id: int
    pipeline_id: int
    cron: str | None
    interval_seconds: int | None
    timezone: str
    is_active: bool
    starts_at: dt.datetime | None
    ends_at: dt.datetime | None
    catchup_seconds: int
    jitter_seconds: int
    next_fires: list[dt.datetime] = Field(
        description="The next five times at which it fires, with its zone's offset: none while it "
        "or its pipeline is switched off."
    )
    revision: int
    created_at: dt.datetime
    updated_at: dt.datetime


class FiresOut(Answer):
    """When a schedule fires, with its zone's offset."""

    fires: list[dt.datetime]
