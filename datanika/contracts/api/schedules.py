"""When pipelines run by themselves."""

from __future__ import annotations

import datetime as dt

from pydantic import Field

from datanika.contracts.api.base import Answer, Body


class ScheduleIn(Body):
    pipeline_id: int
    cron: str | None = Field(default=None, examples=["0 6 * * *"])
    interval_seconds: int | None = None
    timezone: str = Field(default="UTC", examples=["Europe/Berlin"])
    is_active: bool = True


class SchedulePatch(Body):
    cron: str | None = None
    interval_seconds: int | None = None
    timezone: str | None = None
    is_active: bool | None = None


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
