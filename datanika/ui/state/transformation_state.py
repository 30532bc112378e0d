"""One transformation in its editor."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import reflex as rx
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.compiler.inspection import Diagnostic, diagnostic_of, inspect_template
from datanika.contracts.ad_hoc import (
    AdHocAnswer,
    CompiledResult,
    FormatResult,
    LintResult,
    RowsResult,
)
from datanika.contracts.api.projects import CompletionOut
from datanika.contracts.enums import RunTrigger
from datanika.contracts.jobs import JobAction
from datanika.contracts.overrides import RunOverrides
from datanika.contracts.spec import ColumnSpec, TransformationSpec
from datanika.errors import DatanikaError, InvalidInput, PreconditionFailed
from datanika.models import CatalogEntry, Transformation
from datanika.services.actor import Actor
from datanika.services.catalog_service import CatalogService
from datanika.services.connection_service import ConnectionService
from datanika.services.deployer import submit_run
from datanika.services.job_start import run_job
from datanika.services.project_service import ProjectService
from datanika.services.run_service import RunService
from datanika.services.transformation_graph import (
    Neighbourhood,
    callable_macros,
    neighbourhood,
    runners,
)
from datanika.services.transformation_service import TransformationService
from datanika.ui.session import actor_of
from datanika.ui.state.tenant import TenantState
from datanika.ui.state.transformation_versions import TransformationVersions
from datanika.ui.views.transformations import (
    ColumnRow,
    Grid,
    NeighbourView,
    RunnerView,
    TransformationView,
    column_rows,
    completions_of,
    grid_of,
    lint_mark,
    neighbour_view,
    spec_of_form,
    transformation_view,
)

PREVIEW_ROWS = 50
MAX_COLUMNS = 500
MAX_DRAFT = 1_000_000

_ACTIONS = {
    "compile": JobAction.COMPILE_TRANSFORMATION,
    "preview": JobAction.PREVIEW_TRANSFORMATION,
    "format": JobAction.FORMAT_TRANSFORMATION,
    "lint": JobAction.LINT_TRANSFORMATION,
}
_PANES = ("compile", "preview")


class TransformationState(TransformationVersions, TenantState):
    """``sql`` is what the editor was given, ``_draft`` what it holds now: the browser keeps the
    text, so that typing never waits. ``editor_number`` grows where the editor must take ``sql``
    although it did not change, ``form_number`` where the whole form begins anew. ``theirs``: what
    somebody else saved meanwhile."""

    transformation: TransformationView = TransformationView()
    found: bool = False
    sql: str = ""
    editor_number: int = 0
    form_number: int = 0
    materialization: str = ""
    columns: list[ColumnRow] = []
    completions: list[dict[str, str]] = []
    diagnostics: list[dict[str, Any]] = []
    parents: list[NeighbourView] = []
    children: list[NeighbourView] = []
    children_names: str = ""
    runners: list[RunnerView] = []
    entry_href: str = ""
    busy: str = ""
    pane: str = ""
    compiled: str = ""
    grid: Grid = Grid([], [])
    failure: str = ""
    failure_hint: str = ""
    theirs: str = ""
    mine: str = ""
    has_conflict: bool = False
    is_deleting: bool = False
    _draft: str = ""
    _next_key: int = 0
    _revision: int = 0
    _revision_of_theirs: int = 0
    _names: CompletionOut = CompletionOut()
    _macros: frozenset[str] = frozenset()

    @rx.event
    async def load_transformation(self) -> None:
        """Show the transformation of the address."""
        self.reset()
        given = str(self.router.page.params.get("transformation_id", ""))
        if not given.isdecimal() or len(given) > 15:
            self.error = "error.not_found"
            return
        await self._load(int(given))

    @rx.event
    async def edit(self, text: str) -> None:
        """The editor's text, after a pause of the typing: what is wrong with it now."""
        self._draft = text[:MAX_DRAFT]
        if self.found:
            self._inspect()
            self._complete()

    @rx.event
    def choose_materialization(self, materialization: str) -> None:
        """Settings of incremental models are shown for those only."""
        if materialization in (
            "view", "table", "incremental", "ephemeral", "materialized_view",
        ):  # fmt: skip
            self.materialization = materialization

    @rx.event
    def add_column(self) -> None:
        if self.found and len(self.columns) < MAX_COLUMNS:
            self._add([ColumnRow(key="")])

    @rx.event
    def remove_column(self, key: str) -> None:
        self.columns = [column for column in self.columns if column.key != key]

    @rx.event
    async def add_known_columns(self) -> None:
        """Rows for the columns that the last run built and that are not described yet."""
        async with self._attempt() as (session, actor):
            entry = await self._entry(session, actor)
        if self.error or entry is None:
            return
        known = {column.name for column in self.columns}
        names = [str(column["name"]) for column in entry.columns]
        self._add([ColumnRow(key="", name=name) for name in names if name not in known])

    @rx.event
    async def save(self, form: dict[str, Any]) -> None:
        """Save the whole of it. Somebody else's newer version is shown, not overwritten."""
        self.has_conflict = False
        text = form.get("sql")
        if isinstance(text, str) and text:
            self._draft = text[:MAX_DRAFT]
        try:
            async with self._attempt() as (session, actor):
                service = TransformationService(session, actor)
                row = await service.get(self.transformation.id)
                old = TransformationSpec.model_validate(row.spec)
                spec = spec_of_form({**form, "sql": self._draft}, old, self.columns)
                try:
                    row = await service.update(row.id, spec, self._revision)
                except PreconditionFailed:
                    self.theirs, self.mine, self.has_conflict = old.sql, self._draft, True
                    self._revision_of_theirs = row.revision
                    raise
                except InvalidInput as error:
                    self._point_at(error)
                    raise
        except ValueError as error:
            self._fail(InvalidInput(str(error)))
        if not self.error:
            await self._load(self.transformation.id, keep_text=True)
            self._succeed("transformation.saved")

    @rx.event
    def keep_mine(self) -> None:
        """The next save replaces what the other one saved."""
        if self.has_conflict:
            self._clear_error()
            self._revision = self._revision_of_theirs
            self.has_conflict, self.theirs, self.mine = False, "", ""

    @rx.event
    async def take_theirs(self) -> None:
        """Go on with what is saved."""
        if self.has_conflict:
            await self._begin_anew()

    @rx.event(background=True)
    async def work(self, what: str) -> None:
        """``compile``, ``preview``, ``format`` or ``lint`` the text as it is in the editor."""
        async with self:
            action = _ACTIONS.get(what)
            if action is None or not self.found or self.busy:
                return
            self._clear_error()
            self.busy, self.failure, self.failure_hint = what, "", ""
            self.pane = what if what in _PANES else self.pane
            transformation_id, sql = self.transformation.id, self._draft
            headers = self.router_data.get("headers", {})
        request: dict[str, Any] = {"sql": sql}
        if what == "preview":
            request["limit"] = PREVIEW_ROWS
        answer: AdHocAnswer | None = None
        refused: DatanikaError | None = None
        try:
            actor = await actor_of(headers)
            if actor is not None:
                answer = await run_job(actor, action, transformation_id, request)
        except DatanikaError as error:
            refused = error
        async with self:
            self.busy = ""
            if self.transformation.id != transformation_id:
                return
            if refused is not None:
                self._fail(refused)
            elif answer is not None:
                self._answer(answer, sql)

    @rx.event
    def show_pane(self, name: str) -> None:
        self.pane = name if name in _PANES else ""

    @rx.event
    def ask_delete(self) -> None:
        self.is_deleting = self.found

    @rx.event
    def close_dialog(self) -> None:
        self.is_deleting = False

    @rx.event
    async def delete(self) -> rx.event.EventSpec | None:
        async with self._attempt() as (session, actor):
            await TransformationService(session, actor).delete(self.transformation.id)
        self.is_deleting = False
        if self.error:
            return None
        self._succeed("transformation.deleted")
        return rx.redirect("/transformations")

    @rx.event
    async def run(self, pipeline_id: int, step: str) -> rx.event.EventSpec | None:
        """Start the step of a pipeline for this transformation alone, and show its run."""
        async with self._attempt() as (session, actor):
            run = await RunService(session, actor).trigger(
                pipeline_id,
                f"ui-{uuid.uuid4()}",
                RunTrigger.MANUAL,
                overrides=RunOverrides(
                    steps=(step,),
                    select=(self.transformation.name,) if self.found else None,
                ),
            )
        if self.error:
            return None
        await submit_run(run.id)
        return rx.redirect(f"/runs/{run.id}")

    async def _begin_anew(self) -> None:
        await self._load(self.transformation.id)
        self.form_number += 1

    async def _load(self, transformation_id: int, *, keep_text: bool = False) -> None:
        async with self._attempt() as (session, actor):
            row = await TransformationService(session, actor).get(transformation_id)
            connections = ConnectionService(session, actor)
            refs = await connections.refs([row.destination_id])
            destination = refs.get(row.destination_id)
            near = await neighbourhood(session, actor, row)
            steps = await runners(session, actor, row.destination_id)
            self._names = await ProjectService(session, actor).completion(row.destination_id)
            self._macros = await callable_macros(session, actor, row.destination_id)
            spec = TransformationSpec.model_validate(row.spec)
            self._show(row, spec, destination.name if destination else "", keep_text)
            entry = await self._entry(session, actor)
        if self.error:
            return
        self.entry_href = f"/catalog/{entry.id}" if entry is not None else ""
        self._show_near(near)
        self.runners = [
            RunnerView(one.pipeline_id, one.step, f"{one.pipeline} · {one.step}") for one in steps
        ]
        self._inspect()
        self._complete()

    def _show(
        self, row: Transformation, spec: TransformationSpec, destination: str, keep_text: bool
    ) -> None:
        self.transformation = transformation_view(row, destination)
        self._revision = row.revision
        if not keep_text:
            self.sql = self._draft = spec.sql
        self.materialization = spec.materialization
        self._show_columns(spec.columns)
        self.found, self.has_conflict, self.theirs, self.mine = True, False, "", ""

    def _show_columns(self, columns: Sequence[ColumnSpec]) -> None:
        self.columns = []
        self._add(column_rows(columns))

    def _add(self, rows: Sequence[ColumnRow]) -> None:
        """Keys are never used twice: the browser keeps what is typed into a row by its key."""
        added = []
        for row in rows:
            self._next_key += 1
            added.append(ColumnRow(**{**asdict(row), "key": str(self._next_key)}))
        self.columns = [*self.columns, *added][:MAX_COLUMNS]

    def _show_near(self, near: Neighbourhood) -> None:
        self.parents = [neighbour_view(one) for one in near.parents]
        self.children = [neighbour_view(one) for one in near.children]
        self.children_names = ", ".join(one.name for one in near.children)

    async def _entry(self, session: AsyncSession, actor: Actor) -> CatalogEntry | None:
        if not self.transformation.is_relation:
            return None
        row = await TransformationService(session, actor).get(self.transformation.id)
        return await CatalogService(session, actor).built_by(row)

    def _inspect(self) -> None:
        """Tell what is wrong with the draft; cheap enough for every pause of the typing."""
        found: list[Diagnostic] = []
        if self.transformation.kind in ("model", "test", "snapshot", "macro"):
            found = inspect_template(
                self._draft,
                macros=self._macros | {self.transformation.name}
                if self.transformation.kind == "macro"
                else self._macros,
                relations={ref.name for ref in self._names.refs},
                sources={(one.source, one.table) for one in self._names.sources},
                defines_macros=self.transformation.kind == "macro",
            )
        self._tell([asdict(one) for one in found])

    def _tell(self, diagnostics: list[dict[str, Any]]) -> None:
        if diagnostics != self.diagnostics:
            self.diagnostics = diagnostics

    def _complete(self) -> None:
        offered = completions_of(self._names, self._draft)
        if offered != self.completions:
            self.completions = offered

    def _point_at(self, error: InvalidInput) -> None:
        """Show a refusal of this text at its line."""
        if f".{self.transformation.name}." in f".{error.field}." or error.field == "sql":
            line = int(error.context.get("line") or 1)
            if (error.field or "").endswith("sql"):
                self._tell([asdict(Diagnostic(line, error.message))])

    def _answer(self, answer: AdHocAnswer, sql: str) -> None:
        """Show what a job found."""
        result, failure = answer.result, answer.failure
        if failure is not None:
            self.failure, self.failure_hint = failure.message, failure.hint or ""
            self.compiled, self.grid = "", Grid([], [])
            if failure.code not in ("job_lost", "ad_hoc_failed"):
                self._tell([asdict(diagnostic_of(failure.message, sql.count("\n") + 1))])
        elif isinstance(result, CompiledResult):
            self.compiled = result.sql.strip()
        elif isinstance(result, RowsResult):
            self.grid = grid_of(result)
            self.compiled = (result.compiled_sql or "").strip()
        elif isinstance(result, FormatResult):
            if result.is_changed:
                self.sql = self._draft = result.sql
                self.editor_number += 1
            self._succeed("transformation.formatted")
        elif isinstance(result, LintResult):
            self._tell([lint_mark(issue) for issue in result.issues])
            if not result.issues:
                self._succeed("transformation.lint_clean")
