"""When a pipeline runs by itself: its schedules, an editor with the next times and a calendar."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import reflex as rx

from datanika.compiler import check_schedule, next_fires
from datanika.contracts.enums import OverlapPolicy
from datanika.contracts.events import utcnow
from datanika.contracts.schedule import ScheduleSpec
from datanika.errors import DatanikaError, InvalidInput
from datanika.services.deployer import deploy_after_commit
from datanika.services.paging import MAX_LIMIT, PageRequest
from datanika.services.pipeline_service import PipelineService
from datanika.services.schedule_service import ScheduleService, schedule_spec
from datanika.ui.calendar import month_days, next_month
from datanika.ui.state.pipeline_head_state import PipelineHeadState
from datanika.ui.state.tenant import TenantState
from datanika.ui.views import iso
from datanika.ui.views.pipelines import UNITS, DayView, ScheduleRow, span, split_span

NEW = {
    "mode": "cron",
    "cron": "0 6 * * *",
    "every": "1",
    "every_unit": "hours",
    "timezone": "UTC",
    "starts_at": "",
    "ends_at": "",
    "catchup": "1",
    "catchup_unit": "days",
    "jitter": "0",
    "jitter_unit": "minutes",
    "is_active": "yes",
}
"""The fields of the editor as texts; times are local to the schedule's zone."""


class ScheduleState(TenantState):
    """``edit`` is what the editor's fields say; ``form_number`` grows when they are filled anew."""

    schedules: list[ScheduleRow] = []
    overlap: str = ""
    zones: list[str] = []
    is_open: bool = False
    edit: dict[str, str] = NEW
    form_number: int = 0
    editing: int = 0
    fires: list[str] = []
    days: list[DayView] = []
    month: str = ""
    problem: str = ""
    problem_hint: str = ""
    deleting: int = 0
    _revision: int | None = None
    _shift: int = 0
    _of: int = 0

    @rx.event
    async def load_schedules(self) -> None:
        await self._read()

    @rx.event
    def open_new(self) -> None:
        """An editor for one more schedule."""
        self._clear_error()
        self.editing, self._revision, self.edit = 0, None, dict(NEW)
        self._open()

    @rx.event
    async def open_edit(self, schedule_id: int) -> None:
        """An editor for this schedule."""
        async with self._attempt() as (session, actor):
            row = await ScheduleService(session, actor).get(schedule_id)
            spec = schedule_spec(row)
            self.editing, self._revision = row.id, row.revision
        if self.error:
            return
        self.edit = _fields(spec)
        self._open()

    @rx.event
    def close_editor(self) -> None:
        self.is_open = False

    @rx.event
    def change(self, name: str, value: str) -> None:
        """A field of the editor was changed: tell when it would fire now."""
        if name in NEW:
            self.edit = {**self.edit, name: str(value)[:200]}
            self._preview()

    @rx.event
    def use_cron(self, cron: str) -> None:
        """Take an example."""
        self.edit = {**self.edit, "mode": "cron", "cron": cron[:200]}
        self.form_number += 1
        self._preview()

    @rx.event
    def other_month(self, by: int) -> None:
        """Turn the leaf of the calendar."""
        self._shift = max(0, min(24, self._shift + max(-1, min(1, by))))
        self._preview()

    @rx.event
    async def save(self) -> None:
        """Keep what the editor says."""
        head = await self.get_state(PipelineHeadState)
        async with self._attempt() as (session, actor):
            spec = _spec(self.edit)
            service = ScheduleService(session, actor)
            if self.editing:
                await service.update(self.editing, spec, self._revision)
            else:
                await service.create(head.pipeline_id, spec)
        if self.error:
            return
        self.is_open = False
        await deploy_after_commit(head.pipeline_id)
        await self._read()
        self._succeed("schedule.saved")

    @rx.event
    async def switch(self, schedule_id: int) -> None:
        """Off if it is on, on if it is off."""
        head = await self.get_state(PipelineHeadState)
        async with self._attempt() as (session, actor):
            service = ScheduleService(session, actor)
            row = await service.get(schedule_id)
            spec = schedule_spec(row)
            await service.update(
                schedule_id, spec.model_copy(update={"active": not spec.active}), row.revision
            )
        if self.error:
            return
        await deploy_after_commit(head.pipeline_id)
        await self._read()
        self._succeed("schedule.saved")

    @rx.event
    async def set_overlap(self, policy: str) -> None:
        """What becomes of a run that is due while another is not over."""
        head = await self.get_state(PipelineHeadState)
        async with self._attempt() as (session, actor):
            if policy not in {one.value for one in OverlapPolicy}:
                raise InvalidInput("There is no such policy.", field="overlap_policy")
            await PipelineService(session, actor).update(
                head.pipeline_id, overlap_policy=OverlapPolicy(policy)
            )
        if self.error:
            return
        self.overlap = policy
        await deploy_after_commit(head.pipeline_id)
        self._succeed("schedule.saved")

    @rx.event
    def ask_delete(self, schedule_id: int) -> None:
        self.deleting = schedule_id

    @rx.event
    def close_delete(self) -> None:
        self.deleting = 0

    @rx.event
    async def delete(self) -> None:
        schedule_id, self.deleting = self.deleting, 0
        head = await self.get_state(PipelineHeadState)
        async with self._attempt() as (session, actor):
            await ScheduleService(session, actor).delete(schedule_id)
        if self.error:
            return
        await deploy_after_commit(head.pipeline_id)
        await self._read()
        self._succeed("schedule.deleted")

    def _open(self) -> None:
        self.is_open, self._shift = True, 0
        self.form_number += 1
        if not self.zones:
            self.zones = sorted(available_timezones())
        self._preview()

    def _preview(self) -> None:
        """The next five times and the month, by the code that serves them."""
        try:
            spec = _spec(self.edit).model_copy(update={"active": True})
        except DatanikaError as error:
            self.problem, self.problem_hint = error.message, error.hint or ""
            self.fires, self.days = [], []
            return
        self.problem = self.problem_hint = ""
        now = utcnow()
        self.fires = [_local(one) for one in next_fires(spec, now)]
        today = now.astimezone(ZoneInfo(spec.timezone)).date()
        month = next_month(today.replace(day=1), self._shift)
        self.month, self.days = f"{month:%Y-%m}", month_days(spec, month, now)

    async def _read(self) -> None:
        head = await self.get_state(PipelineHeadState)
        async with self._attempt() as (session, actor):
            pipeline, _ = await head._show(session, actor, self)
            if self._of not in (0, pipeline.id):
                # Not always: who is quick has opened a dialog of this page already.
                self.reset()
            self._of = pipeline.id
            found = await ScheduleService(session, actor).list(
                PageRequest(limit=MAX_LIMIT), pipeline_id=pipeline.id
            )
        if self.error:
            return
        self.overlap = pipeline.overlap_policy
        self.schedules = [_row(one, pipeline.is_paused) for one in found.rows]


def _row(row: Any, is_paused: bool) -> ScheduleRow:
    spec = schedule_spec(row)
    fires = [] if is_paused else next_fires(spec, utcnow())
    return ScheduleRow(
        id=row.id,
        when=spec.cron or span(spec.interval_seconds or 0),
        timezone=spec.timezone,
        is_active=spec.active,
        starts_at=iso(spec.starts_at),
        ends_at=iso(spec.ends_at),
        catchup=span(spec.catchup_seconds),
        jitter=span(spec.jitter_seconds) if spec.jitter_seconds else "",
        fires=[_local(one) for one in fires],
        revision=row.revision,
    )


def _local(fire: dt.datetime) -> str:
    """The wall clock of the schedule's zone, with its offset: no browser's zone changes it."""
    return f"{fire:%a %Y-%m-%d %H:%M:%S %z}"


def _fields(spec: ScheduleSpec) -> dict[str, str]:
    every, every_unit = split_span(spec.interval_seconds or 3600)
    catchup, catchup_unit = split_span(spec.catchup_seconds)
    jitter, jitter_unit = split_span(spec.jitter_seconds)
    return {
        "mode": "cron" if spec.cron is not None else "interval",
        "cron": spec.cron or NEW["cron"],
        "every": str(every),
        "every_unit": every_unit,
        "timezone": spec.timezone,
        "starts_at": _wall(spec.starts_at, spec.timezone),
        "ends_at": _wall(spec.ends_at, spec.timezone),
        "catchup": str(catchup),
        "catchup_unit": catchup_unit,
        "jitter": str(jitter),
        "jitter_unit": jitter_unit,
        "is_active": "yes" if spec.active else "no",
    }


def _wall(moment: dt.datetime | None, zone: str) -> str:
    """As an input of the type ``datetime-local`` has it."""
    return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%dT%H:%M}" if moment else ""


def _spec(edit: dict[str, str]) -> ScheduleSpec:
    """What the fields say; raises :class:`~datanika.errors.DatanikaError` with the field."""
    by_cron = edit["mode"] == "cron"
    zone = edit["timezone"]
    # First the zone: moments are read in it.
    checked = check_schedule(
        cron=edit["cron"] if by_cron else None,
        interval_seconds=None if by_cron else seconds_of(edit, "every"),
        timezone=zone,
    )
    catchup, jitter = seconds_of(edit, "catchup"), seconds_of(edit, "jitter", least=0)
    if not 60 <= catchup <= 31_622_400:
        raise InvalidInput("It is between a minute and a year.", field="catchup_seconds")
    if jitter > 86_400:
        raise InvalidInput("It is a day at most.", field="jitter_seconds")
    return check_schedule(
        cron=checked.cron,
        interval_seconds=checked.interval_seconds,
        timezone=zone,
        active=edit["is_active"] == "yes",
        starts_at=moment_of(edit["starts_at"], zone, "starts_at"),
        ends_at=moment_of(edit["ends_at"], zone, "ends_at"),
        catchup_seconds=catchup,
        jitter_seconds=jitter,
    )


def seconds_of(fields: dict[str, Any], name: str, least: int = 1) -> int:
    """A number and its unit (``name`` and ``name_unit``); raises :class:`InvalidInput`."""
    text = str(fields.get(name, "")).strip()
    unit = UNITS.get(str(fields.get(f"{name}_unit", "seconds")))
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else -1
    if unit is None or number < least:
        raise InvalidInput(
            f"A whole number from {least} on is needed.", code="invalid_input", field=name
        )
    return number * unit


def moment_of(text: str, zone: str, field: str) -> dt.datetime | None:
    """An input of the type ``datetime-local``, in ``zone``; None for an empty one."""
    if not text:
        return None
    try:
        return dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise InvalidInput("This is no moment.", code="invalid_input", field=field) from None
