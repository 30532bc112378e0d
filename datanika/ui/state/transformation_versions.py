"""The saved versions of the transformation in the editor."""

from __future__ import annotations

from abc import abstractmethod

import reflex as rx

from datanika.services.member_service import MemberService
from datanika.services.paging import PageRequest
from datanika.services.transformation_service import TransformationService
from datanika.ui.views.transformations import VersionRow, version_row

HISTORY = 50
"""Versions that are listed."""


class TransformationVersions(rx.State, mixin=True):  # type: ignore[call-arg]
    """The part of the editor's state that lists, compares and restores."""

    history: list[VersionRow] = []
    has_history: bool = False
    compared: int = 0
    compared_code: str = ""
    compared_settings: str = ""
    present_code: str = ""

    @rx.event
    async def open_history(self) -> None:
        """The saved versions, the newest first."""
        async with self._attempt() as (session, actor):
            service = TransformationService(session, actor)
            page = await service.versions(
                self.transformation.id, PageRequest(HISTORY, None, "-number")
            )
            people = await MemberService(session, actor).names(
                {row.created_by for row in page.rows}
            )
        if self.error:
            return
        self.history = [
            version_row(row, people.get(row.created_by, ""), self.transformation.revision)
            for row in page.rows
        ]
        self.has_history, self.compared = True, 0

    @rx.event
    def close_history(self) -> None:
        self.has_history, self.history, self.compared = False, [], 0
        self.compared_code = self.compared_settings = self.present_code = ""

    @rx.event
    async def compare(self, number: int) -> None:
        """Show what changed from a version to the present one."""
        async with self._attempt() as (session, actor):
            service = TransformationService(session, actor)
            row = await service.get(self.transformation.id)
            found = await service.diff(row.id, number, row.revision)
            old = await service.version(row.id, number)
        if self.error:
            return
        self.compared, self.compared_settings = number, found.metadata
        self.compared_code, self.present_code = old.sql, str(row.spec["sql"])

    @rx.event
    async def restore(self, number: int) -> None:
        """Make a version the present one, as a new version."""
        async with self._attempt() as (session, actor):
            await TransformationService(session, actor).restore(
                self.transformation.id, number, self._revision
            )
        if self.error:
            return
        self.close_history()
        await self._begin_anew()
        self._succeed("transformation.restored")

    @abstractmethod
    async def _begin_anew(self) -> None:
        """Show what is saved now, in a form that begins anew."""
