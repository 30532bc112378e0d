"""When a pipeline runs by itself."""

from __future__ import annotations

import datetime as dt
from typing import Self

from pydantic import Field, model_validator

from datanika.contracts.base import Contract

ANCHOR = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
"""Intervals count from here, so that the same interval gives the same times after every change."""
DAY_SECONDS = 86_400


class ScheduleSpec(Contract):
    """A cron expression or an interval, never both, in a time zone (IANA name).

    ``datanika.compiler.check_schedule`` makes one from what a tenant wrote, with an error for
    each field; this model only keeps the shape.
    """

    cron: str | None = Field(default=None, description="Five fields: minute hour day month weekday")
    interval_seconds: int | None = Field(default=None, ge=1)
    timezone: str = "UTC"
    active: bool = True
    starts_at: dt.datetime | None = Field(default=None, description="The first time it may fire.")
    ends_at: dt.datetime | None = Field(default=None, description="The first time it may not.")
    catchup_seconds: int = Field(
        default=DAY_SECONDS, ge=60, description="A run that could start only later is skipped."
    )
    jitter_seconds: int = Field(
        default=0, ge=0, description="A run starts up to so much later, by what its pipeline is."
    )

    @model_validator(mode="after")
    def _cron_xor_interval(self) -> Self:
        if (self.cron is None) == (self.interval_seconds is None):
            raise ValueError("set exactly one of cron and interval_seconds")
        return self
