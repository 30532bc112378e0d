"""The builder: a draft of a specification as graph and as YAML, its faults, its plan, saving it.

The text is the truth. A change of the graph writes the text, a change of the text redraws the
graph when it says something.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

import reflex as rx
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.compiler import plan_warnings
from datanika.compiler.spec_text import (
    Problem,
    ReadSpec,
    locate,
    read_yaml,
    spec_content,
    write_yaml,
)
from datanika.contracts.catalog import connector_kinds
from datanika.contracts.spec import PipelineSpec
from datanika.errors import GuardRefused, InvalidInput, PreconditionFailed, SpecError
from datanika.services.actor import Actor
from datanika.services.connection_service import ConnectionService
from datanika.services.deployer import deploy_after_commit
from datanika.services.paging import MAX_LIMIT, PageRequest
from datanika.services.pipeline_service import PipelineService, compile_spec
from datanika.services.step_history import LoadPath, StepHistory, load_paths, step_history
from datanika.ui.state.pipeline_head_state import PipelineHeadState
from datanika.ui.state.tenant import TenantState
from datanika.ui.views.pipelines import PlanStepView, expected_seconds, plan_steps

EMPTY = "steps: []\n"


class PipelineBuilderState(TenantState):
    """``draft_number`` grows when the graph has to be drawn from ``draft``, ``yaml_number`` when
    the editor has to show ``yaml``."""

    pipeline_id: int = 0
    name: str = ""
    description: str = ""
    is_ready: bool = False
    draft: dict[str, Any] = {}
    draft_number: int = 0
    yaml: str = ""
    yaml_number: int = 0
    problems: list[dict[str, Any]] = []
    warnings: list[str] = []
    plan: list[PlanStepView] = []
    seconds: float | None = None
    is_locked: bool = False
    is_dirty: bool = False
    is_valid: bool = False
    theirs: str = ""
    mine: str = ""
    connections: list[dict[str, Any]] = []
    _revision: int | None = None
    _saved: str = ""
    _text: str = ""

    @rx.event
    async def load_new(self) -> None:
        """An empty draft, or the one that was begun and not saved."""
        self._clear_error()
        keeps = self.is_ready and self.pipeline_id == 0 and self.is_dirty
        if not keeps:
            numbers = self.draft_number, self.yaml_number
            self.reset()
            self.draft_number, self.yaml_number = numbers
        async with self._attempt() as (session, actor):
            await self._read_connections(session, actor)
            if not keeps:
                self._saved = EMPTY
                await self._take(session, actor, EMPTY)
        self.is_ready = not self.error

    @rx.event
    async def load_builder(self) -> None:
        """The pipeline of the address; a draft of it that is not saved stays."""
        head = await self.get_state(PipelineHeadState)
        async with self._attempt() as (session, actor):
            pipeline, version = await head._show(session, actor, self)
            await self._read_connections(session, actor)
            if not (self.is_dirty and self.pipeline_id == pipeline.id):
                await self._open(session, actor, pipeline, version)
        self.is_ready = not self.error

    @rx.event
    async def discard(self) -> None:
        """Go back to what is saved."""
        if not self.pipeline_id:
            self.is_dirty = False
            await self.load_new()
            return
        async with self._attempt() as (session, actor):
            service = PipelineService(session, actor)
            pipeline = await service.get(self.pipeline_id)
            version = await service.current_version(pipeline)
            await self._open(session, actor, pipeline, version)

    @rx.event
    async def change_draft(self, draft: dict[str, Any]) -> None:
        """The graph was changed: write the YAML of it."""
        try:
            text = await asyncio.to_thread(write_yaml, draft, self._names())
        except (RecursionError, ValueError, TypeError, AttributeError):
            self._fail(InvalidInput("This is no specification.", code="invalid_input"))
            return
        self.yaml = text
        self.yaml_number += 1
        await self._check(text)

    @rx.event
    async def change_yaml(self, text: str) -> None:
        """The YAML was changed: draw the graph of it, if it has one."""
        read = await self._check(text)
        drawable = _drawable(read)
        # What cannot be drawn would be lost by a change of the graph.
        self.is_locked = drawable is None
        if drawable is not None:
            self.draft = drawable
            self.draft_number += 1

    @rx.event
    async def save(self, form: dict[str, Any]) -> rx.event.EventSpec | None:
        """Make the draft a pipeline, or a new version of it."""
        name = str(form.get("name", self.name))
        description = str(form.get("description", self.description))[:20_000]
        spec = read_yaml(self._text).spec
        self.theirs = ""
        try:
            async with self._attempt() as (session, actor):
                actor.require("pipeline:write")
                if spec is None:
                    raise InvalidInput(
                        "The pipeline is not complete yet.",
                        code="spec_invalid",
                        hint="The list of problems says what is missing.",
                    )
                row = await self._write(session, actor, name, description, spec)
        finally:
            self.name, self.description = name, description
        if self.error:
            if self.error == "error.changed_meanwhile":
                await self._read_theirs()
            return None
        created, self.pipeline_id = not self.pipeline_id, row.id
        self._revision, self._saved, self.is_dirty = row.revision, self._text, False
        head = await self.get_state(PipelineHeadState)
        head.name, head.description, head.version = row.name, row.description, row.version
        head.steps = [step.key for step in spec.steps] if spec else []
        self._succeed("builder.saved")
        await deploy_after_commit(row.id)
        return rx.redirect(f"/pipelines/{row.id}") if created else None

    @rx.event
    async def save_over(self) -> rx.event.EventSpec | None:
        """After a conflict: make my draft the version that follows theirs."""
        async with self._attempt() as (session, actor):
            pipeline = await PipelineService(session, actor).get(self.pipeline_id)
            self._revision = pipeline.revision
        if self.error:
            return None
        return await self.save({})

    @rx.event
    def close_conflict(self) -> None:
        self.theirs = ""

    async def _write(
        self, session: AsyncSession, actor: Actor, name: str, text: str, spec: PipelineSpec
    ) -> Any:
        service = PipelineService(session, actor)
        if not self.pipeline_id:
            return await service.create(name, text, spec)
        revision = self._revision
        if revision is None:
            raise PreconditionFailed("Load the pipeline first.", code="stale_revision")
        return await service.update(
            self.pipeline_id, name=name, description=text, spec=spec, revision=revision
        )

    async def _read_theirs(self) -> None:
        """What somebody else has saved meanwhile, to be compared with the draft."""
        error, detail = self.error, self.error_detail
        async with self._attempt() as (session, actor):
            service = PipelineService(session, actor)
            pipeline = await service.get(self.pipeline_id)
            version = await service.current_version(pipeline)
            content = spec_content(PipelineSpec.model_validate(version.spec))
            self.theirs, self.mine = write_yaml(content, self._names()), self._text
        if not self.error:
            self.error, self.error_detail = error, detail

    async def _open(self, session: AsyncSession, actor: Actor, pipeline: Any, version: Any) -> None:
        self.pipeline_id, self._revision = pipeline.id, pipeline.revision
        self.name, self.description, self.theirs = pipeline.name, pipeline.description, ""
        content = spec_content(PipelineSpec.model_validate(version.spec))
        self._saved = write_yaml(content, self._names())
        await self._take(session, actor, self._saved)

    async def _take(self, session: AsyncSession, actor: Actor, text: str) -> None:
        """Show ``text`` as graph and as YAML."""
        read = read_yaml(text)
        await self._judge(session, actor, text, read)
        drawable = _drawable(read)
        self.yaml, self.draft, self.is_locked = text, drawable or {}, drawable is None
        self.yaml_number += 1
        self.draft_number += 1

    async def _check(self, text: str) -> ReadSpec:
        # A long text takes a while, and others click meanwhile.
        read = await asyncio.to_thread(read_yaml, text)
        async with self._attempt() as (session, actor):
            await self._judge(session, actor, text, read)
        return read

    async def _judge(self, session: AsyncSession, actor: Actor, text: str, read: ReadSpec) -> None:
        """Compile what ``text`` was read as; tell its faults and its plan."""
        self._text, self.is_dirty = text, text != self._saved
        problems = list(read.problems)
        plan = None
        if read.spec is not None:
            actor.require("pipeline:read")
            try:
                plan = await compile_spec(session, actor.org_id, read.spec)
            except SpecError as error:
                problems.append(locate(text, error))
            except GuardRefused as error:
                problems.append(Problem(1, 1, "", error.message, error.code, error.hint or ""))
        # Nobody has done anything wrong before the first step.
        self.problems = [asdict(one) for one in problems] if text != EMPTY else []
        self.is_valid = plan is not None
        if plan is None:
            self.plan, self.warnings, self.seconds = [], [], None
            return
        history: dict[str, StepHistory] = {}
        paths: dict[str, LoadPath] = {}
        shared: tuple[str, ...] = ()
        if self.pipeline_id:
            history = await step_history(session, actor, self.pipeline_id)
            paths = await load_paths(session, actor, self.pipeline_id)
            shared = await PipelineService(session, actor).shared_tables(self.pipeline_id, plan)
        self.plan = plan_steps(plan, history, paths)
        self.warnings = [*plan_warnings(plan), *shared]
        self.seconds = expected_seconds(plan, history)

    async def _read_connections(self, session: AsyncSession, actor: Actor) -> None:
        request = PageRequest(limit=MAX_LIMIT, sort="name")
        found = await ConnectionService(session, actor).list(request)
        kinds = connector_kinds()
        self.connections = [
            {
                "id": one.id,
                "name": one.name,
                "kind": one.kind,
                "title": kinds[one.kind].title,
                "source": kinds[one.kind].is_source,
                "destination": kinds[one.kind].is_destination,
                "transforms": kinds[one.kind].supports_transform,
                "gives_changes": kinds[one.kind].gives_changes,
                "takes_changes": kinds[one.kind].takes_changes,
            }
            for one in found.rows
            if one.kind in kinds
        ]

    def _names(self) -> dict[int, str]:
        return {one["id"]: one["name"] for one in self.connections}


def _drawable(read: ReadSpec) -> dict[str, Any] | None:
    """What a graph can be drawn of: steps with keys of their own. None: it cannot."""
    if read.content is None:
        return None
    steps = read.content.get("steps") or []
    if not isinstance(steps, list):
        return None
    keys = [one.get("key") if isinstance(one, dict) else None for one in steps]
    if not all(isinstance(key, str) for key in keys) or len(set(keys)) < len(keys):
        return None
    return {**read.content, "steps": steps}
