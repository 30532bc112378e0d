"""What a pipeline needs of others, and what a run of it would wait for now."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.contracts.api import UpstreamReadinessOut
from datanika.errors import InvalidInput
from datanika.services.dependency_service import DependencyService
from datanika.services.deployer import submit_next
from datanika.services.paging import MAX_LIMIT, PageRequest
from datanika.services.pipeline_service import PipelineService
from datanika.ui.state.pipeline_head_state import PipelineHeadState
from datanika.ui.state.schedule_state import seconds_of
from datanika.ui.state.tenant import TenantState
from datanika.ui.views import iso
from datanika.ui.views.pipelines import DependencyRow, span, split_span

YEAR = 366 * 86_400


class DependencyState(TenantState):
    """``edit`` fills the form's fields."""

    dependencies: list[DependencyRow] = []
    dependants: list[dict[str, str]] = []
    is_checked: bool = False
    is_ready: bool = True
    waits_until: str | None = None
    explanation: str = ""
    candidates: list[dict[str, str]] = []
    is_open: bool = False
    editing: int = 0
    edit: dict[str, str] = {}
    problem: str = ""
    deleting: int = 0
    _of: int = 0

    @rx.event
    async def load_dependencies(self) -> None:
        await self._read()

    @rx.event
    async def check(self) -> None:
        """Ask again what a run would wait for."""
        await self._read()

    @rx.event
    def open_new(self) -> None:
        self._clear_error()
        self.editing, self.problem, self.is_open = 0, "", True
        self.edit = {
            "upstream": "", "starts_run": "yes", "within": "", "within_unit": "hours",
            "wait": "1", "wait_unit": "hours",
        }  # fmt: skip

    @rx.event
    async def open_edit(self, dependency_id: int) -> None:
        """A form for this dependency."""
        head = await self.get_state(PipelineHeadState)
        async with self._attempt() as (session, actor):
            row = await DependencyService(session, actor).get(head.pipeline_id, dependency_id)
        if self.error:
            return
        within, within_unit = split_span(row.within_seconds or 0)
        wait, wait_unit = split_span(row.wait_seconds)
        self.edit = {
            "upstream": row.upstream_name,
            "starts_run": "yes" if row.starts_run else "",
            "within": str(within) if row.within_seconds else "",
            "within_unit": within_unit if row.within_seconds else "hours",
            "wait": str(wait),
            "wait_unit": wait_unit,
        }
        self.editing, self.problem, self.is_open = row.id, "", True

    @rx.event
    def close_form(self) -> None:
        self.is_open = False

    @rx.event
    async def save(self, form: dict[str, Any]) -> None:
        """Keep what the form says; what is refused is shown in it."""
        head = await self.get_state(PipelineHeadState)
        async with self._attempt() as (session, actor):
            service = DependencyService(session, actor)
            wanted: dict[str, Any] = {
                "starts_run": bool(form.get("starts_run")),
                "within_seconds": _within(form),
                "wait_seconds": min(seconds_of(form, "wait", least=0), YEAR),
            }
            if self.editing:
                await service.update(head.pipeline_id, self.editing, wanted)
            else:
                upstream = str(form.get("upstream_id", ""))
                if not (upstream.isascii() and upstream.isdigit() and len(upstream) <= 15):
                    raise InvalidInput("Choose a pipeline.", field="upstream_id")
                await service.create(head.pipeline_id, int(upstream), **wanted)
            org_id = actor.org_id
        if self.error:
            self.problem = self.error_detail
            return
        self.is_open = False
        await submit_next(org_id)
        await self._read()
        self._succeed("dependency.saved")

    @rx.event
    def ask_delete(self, dependency_id: int) -> None:
        self.deleting = dependency_id

    @rx.event
    def close_delete(self) -> None:
        self.deleting = 0

    @rx.event
    async def delete(self) -> None:
        dependency_id, self.deleting = self.deleting, 0
        head = await self.get_state(PipelineHeadState)
        async with self._attempt() as (session, actor):
            await DependencyService(session, actor).delete(head.pipeline_id, dependency_id)
            org_id = actor.org_id
        if self.error:
            return
        await submit_next(org_id)
        await self._read()
        self._succeed("dependency.deleted")

    async def _read(self) -> None:
        head = await self.get_state(PipelineHeadState)
        async with self._attempt() as (session, actor):
            pipeline, _ = await head._show(session, actor, self)
            if self._of not in (0, pipeline.id):
                # Not always: who is quick has opened a dialog of this page already.
                self.reset()
            self._of = pipeline.id
            service = DependencyService(session, actor)
            most = PageRequest(limit=MAX_LIMIT)
            revisions = {
                one.id: one.revision for one in (await service.list_of(pipeline.id, most)).rows
            }
            readiness = await service.readiness(pipeline.id)
            after = (await service.list(most, upstream_id=pipeline.id)).rows
            by_name = PageRequest(limit=MAX_LIMIT, sort="name")
            others = (await PipelineService(session, actor).list(by_name)).rows
        if self.error:
            return
        self.dependencies = [
            _row(one, revisions.get(one.dependency_id, 0)) for one in readiness.upstreams
        ]
        known = {one.upstream_id for one in readiness.upstreams} | {pipeline.id}
        self.candidates = [
            {"id": str(one.id), "name": one.name} for one in others if one.id not in known
        ]
        self.dependants = [
            {"name": one.pipeline_name, "href": f"/pipelines/{one.pipeline_id}"} for one in after
        ]
        self.is_ready, self.explanation = readiness.is_ready, readiness.text
        self.waits_until, self.is_checked = iso(readiness.waits_until), True


def _within(form: dict[str, Any]) -> int | None:
    if not str(form.get("within", "")).strip():
        return None
    return min(seconds_of(form, "within"), YEAR)


def _row(one: UpstreamReadinessOut, revision: int) -> DependencyRow:
    return DependencyRow(
        id=one.dependency_id,
        upstream_id=one.upstream_id,
        upstream=one.upstream_name,
        href=f"/pipelines/{one.upstream_id}",
        starts_run=one.starts_run,
        within=span(one.within_seconds) if one.within_seconds else "",
        wait=span(one.wait_seconds),
        is_fresh=one.is_fresh,
        text=one.text,
        last_at=iso(one.last_success_at),
        revision=revision,
    )
