"""When a pipeline runs by itself."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from datanika.contracts.base import Contract


class ScheduleSpec(Contract):
    """A cron expression or an interval, never both, in a time zone (IANA name).

    ``datanika.compiler.check_schedule`` makes one from what a tenant wrote, with an error for
    each field; this model only keeps the shape.
    """

    cron: str | None = Field(default=None, description="Five fields: minute hour day month weekday")
    interval_seconds: int | None = Field(default=None, ge=1)
    timezone: str = "UTC"
    active: bool = True

    @model_validator(mode="after")
    def _cron_xor_interval(self) -> Self:
        if (self.cron is None) == (self.interval_seconds is None):
            raise ValueError("set exactly one of cron and interval_seconds")
        return self
