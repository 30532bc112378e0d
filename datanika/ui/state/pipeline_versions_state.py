"""Every specification that a pipeline had: who saved it and when, what changed, going back."""

from __future__ import annotations

import reflex as rx

from datanika.compiler.spec_text import spec_content, write_yaml
from datanika.contracts.spec import PipelineSpec
from datanika.services.connection_service import ConnectionService
from datanika.services.deployer import deploy_after_commit
from datanika.services.member_service import MemberService
from datanika.services.paging import MAX_LIMIT, PageRequest
from datanika.services.pipeline_service import PipelineService
from datanika.ui.state.pipeline_head_state import PipelineHeadState
from datanika.ui.state.tenant import TenantState
from datanika.ui.views import iso
from datanika.ui.views.pipelines import VersionRow

PAGE = 50


class PipelineVersionsState(TenantState):
    """``before`` and ``after`` are the YAML of the two versions that are compared."""

    versions: list[VersionRow] = []
    older: int = 0
    newer: int = 0
    before: str = ""
    after: str = ""
    is_same: bool = False
    has_more: bool = False
    restoring: int = 0
    _next: str | None = None
    _specs: dict[int, str] = {}

    @rx.event
    async def load_versions(self) -> None:
        """The newest versions, and the last change."""
        await self._load()

    @rx.event
    async def show_more(self) -> None:
        """Older versions below those that are shown."""
        if self._next is not None:
            await self._read(self._next)

    @rx.event
    def choose_older(self, number: str) -> None:
        """Compare with this version."""
        self._compare(_number(number), self.newer)

    @rx.event
    def choose_newer(self, number: str) -> None:
        self._compare(self.older, _number(number))

    @rx.event
    def show_change(self, number: int) -> None:
        """What version ``number`` changed."""
        before = [one.number for one in self.versions if one.number < number]
        self._compare(max(before, default=number), number)

    @rx.event
    def ask_restore(self, number: int) -> None:
        if number in self._specs:
            self.restoring = number

    @rx.event
    def close_restore(self) -> None:
        self.restoring = 0

    @rx.event
    async def restore(self) -> None:
        """Make the version that was asked for the present one, as a new version."""
        number, self.restoring = self.restoring, 0
        head = await self.get_state(PipelineHeadState)
        async with self._attempt() as (session, actor):
            await PipelineService(session, actor).restore(head.pipeline_id, number)
        if self.error:
            return
        await deploy_after_commit(head.pipeline_id)
        await self._load()
        self._succeed("versions.restored")

    async def _load(self) -> None:
        self.reset()
        await self._read(None)
        if len(self.versions) > 1:
            self._compare(self.versions[1].number, self.versions[0].number)

    async def _read(self, cursor: str | None) -> None:
        head = await self.get_state(PipelineHeadState)
        async with self._attempt() as (session, actor):
            pipeline, _ = await head._show(session, actor, self)
            found = await PipelineService(session, actor).versions(
                pipeline.id, PageRequest(PAGE, cursor, "-id")
            )
            people = await MemberService(session, actor).names(
                {one.created_by for one in found.rows}
            )
            listed = await ConnectionService(session, actor).list(PageRequest(limit=MAX_LIMIT))
            names = {one.id: one.name for one in listed.rows}
        if self.error:
            return
        for one in found.rows:
            content = spec_content(PipelineSpec.model_validate(one.spec))
            self._specs[one.number] = write_yaml(content, names)
        rows = [
            VersionRow(
                one.number,
                people.get(one.created_by, ""),
                iso(one.created_at),
                len(one.spec["steps"]),
                one.id == pipeline.current_version_id,
            )
            for one in found.rows
        ]
        self.versions = [*self.versions, *rows] if cursor else rows
        self._next, self.has_more = found.next_cursor, found.next_cursor is not None

    def _compare(self, older: int, newer: int) -> None:
        if older not in self._specs or newer not in self._specs:
            return
        self.older, self.newer = older, newer
        self.before, self.after = self._specs[older], self._specs[newer]
        self.is_same = self.before == self.after


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
