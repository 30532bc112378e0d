"""``client.schedules``"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Literal

from datanika.client.resource import Resource, if_match
from datanika.contracts.api import (
    FiresOut,
    ScheduleIn,
    ScheduleOut,
    SchedulePatch,
    SchedulePreviewIn,
)

Sort = Literal["id", "-id", "created_at", "-created_at", "updated_at", "-updated_at"]


class Schedules(Resource):
    """When pipelines run by themselves."""

    def list(
        self,
        *,
        pipeline_id: int | None = None,
        is_active: bool | None = None,
        sort: Sort | None = None,
        page_size: int | None = None,
    ) -> Iterator[ScheduleOut]:
        """Every schedule."""
        return self._items(
            ScheduleOut,
            "schedules",
            pipeline_id=pipeline_id,
            is_active=is_active,
            sort=sort,
            limit=page_size,
        )

    def get(self, schedule_id: int) -> ScheduleOut:
        """One schedule."""
        return self._get(ScheduleOut, f"schedules/{schedule_id}")

    def fires(
        self, schedule_id: int, *, after: dt.datetime | None = None, count: int | None = None
    ) -> FiresOut:
        """When it fires ``after`` then, or now; with its zone's offset."""
        path = f"schedules/{schedule_id}/fires"
        return self._get(FiresOut, path, after=after, count=count)

    def preview(self, schedule: SchedulePreviewIn) -> FiresOut:
        """When a schedule would fire that is not saved."""
        return self._post(FiresOut, "schedules/preview", schedule)

    def create(self, schedule: ScheduleIn, *, idempotency_key: str | None = None) -> ScheduleOut:
        """A new schedule of a pipeline."""
        return self._post(ScheduleOut, "schedules", schedule, idempotency_key=idempotency_key)

    def update(
        self,
        schedule: ScheduleOut | int,
        change: SchedulePatch,
        *,
        revision: int | None = None,
        overwrite: bool = False,
    ) -> ScheduleOut:
        """Change what is given. Raises :class:`PreconditionFailed` if somebody was faster, unless
        ``overwrite``."""
        schedule_id = schedule if isinstance(schedule, int) else schedule.id
        condition = if_match(schedule, revision, overwrite)
        return self._patch(ScheduleOut, f"schedules/{schedule_id}", change, condition)

    def delete(self, schedule_id: int) -> None:
        """Take it away."""
        self._delete(f"schedules/{schedule_id}")
