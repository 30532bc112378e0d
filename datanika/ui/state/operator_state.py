"""What operators see: organisations, workers, the queue of everybody. No tenant's content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import reflex as rx

from datanika.services.operations import Operations, OrganizationFigures, read_parts
from datanika.services.paging import PageRequest
from datanika.services.queue_service import QueuedRun
from datanika.services.readiness import DOWN
from datanika.ui.state.given import texts
from datanika.ui.state.paged import Paged
from datanika.ui.state.tenant import TenantState
from datanika.ui.views import iso

PAGE_SIZE = 25
QUEUE_SIZE = 25


@dataclass(frozen=True)
class OrganizationRow:
    id: int
    name: str
    slug: str
    created_at: str | None
    members: int
    connections: int
    pipelines: int
    open_runs: int
    runs_24h: int
    failed_24h: int
    rows_this_month: int
    storage_bytes: int
    max_rows: int | None


def organization_row(one: OrganizationFigures) -> OrganizationRow:
    return OrganizationRow(
        id=one.id,
        name=one.name,
        slug=one.slug,
        created_at=iso(one.created_at),
        members=one.members,
        connections=one.connections,
        pipelines=one.pipelines,
        open_runs=one.open_runs,
        runs_24h=one.runs_24h,
        failed_24h=one.failed_24h,
        rows_this_month=one.rows_this_month,
        storage_bytes=one.storage_bytes,
        max_rows=one.max_rows_per_month,
    )


@dataclass(frozen=True)
class WaitingRow:
    """A run that waits: whose, since when and why; not what it is."""

    position: int
    run_id: int
    organization: str
    created_at: str | None
    reason: str


def waiting_row(run: QueuedRun) -> WaitingRow:
    return WaitingRow(
        run.position, run.run_id, run.organization, iso(run.created_at), run.reason.value
    )


@dataclass(frozen=True)
class PartRow:
    """``state``: ok, ahead or down."""

    name: str
    state: str


@dataclass(frozen=True)
class WorkerRow:
    name: str
    pool: str
    state: str
    last_seen: str | None


class OperatorState(Paged, TenantState):
    organizations: list[OrganizationRow] = []
    waiting: list[WaitingRow] = []
    parts: list[PartRow] = []
    workers: list[WorkerRow] = []
    problem: str = ""
    prefect_url: str = ""
    search: str = ""
    is_allowed: bool = False

    @rx.event
    async def load_operators(self) -> None:
        """Everything; for everybody else nothing."""
        self._clear_error()
        self.search, self.is_allowed = "", False
        self._first_page()
        await self._load()
        if self.error:
            return
        async with self._attempt() as (_, actor):
            proven = actor
        # Outside of the transaction: Prefect may be slow.
        found = await read_parts(proven)
        states = found.readiness
        self.parts = [
            PartRow("PostgreSQL", states.migrations if states else DOWN),
            PartRow("Prefect", states.prefect if states else DOWN),
            PartRow("Redis", states.redis if states else DOWN),
        ]
        self.workers = [
            WorkerRow(
                one.name, one.queue, "online" if one.is_online else "offline", iso(one.last_seen)
            )
            for one in found.workers
        ]
        self.problem, self.prefect_url, self.is_allowed = found.problem, found.prefect_url, True

    @rx.event
    async def find(self, form: dict[str, Any]) -> None:
        """Only organisations with a part of a name."""
        self.search = texts(form, "search").get("search", "")[:200]
        self._first_page()
        await self._load()

    async def _load(self) -> None:
        async with self._attempt() as (session, actor):
            platform = Operations(session, actor)
            page = PageRequest(PAGE_SIZE, self._cursors[-1], "-id")
            found = await platform.organizations(page, self.search or None)
            waiting = await platform.queue(QUEUE_SIZE)
            self.organizations = [organization_row(one) for one in found.rows]
            self.waiting = [waiting_row(one) for one in waiting]
            self._turned(found.next_cursor)
