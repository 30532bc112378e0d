"""What operators see of the platform they run: who uses it, who works, what waits. Figures and
names of organisations, and nothing of what is in them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, ScalarSelect, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.config import settings
from datanika.contracts.base import Contract
from datanika.contracts.events import utcnow
from datanika.db import system_scope
from datanika.errors import DatanikaError, PermissionDenied
from datanika.models import Connection, Membership, Organization, Pipeline, Run, UsageMonth
from datanika.orchestration.gateway import PrefectGateway, WorkerState
from datanika.services.actor import Actor
from datanika.services.limits import limits_of
from datanika.services.paging import PageRequest, RowPage, contains, fetch_page, sorts_of
from datanika.services.queue_service import QueuedRun, queued_runs
from datanika.services.readiness import DOWN, Readiness, check_readiness
from datanika.services.run_rows import OPEN_STATES
from datanika.services.usage_counter import month_of

SORTS = sorts_of(Organization, "name", "created_at")
_Owned = type[Membership] | type[Connection] | type[Pipeline] | type[Run]
RECENT = dt.timedelta(hours=24)


class OrganizationFigures(Contract):
    """One organisation: how large it is, and how busy."""

    id: int
    name: str
    slug: str
    created_at: dt.datetime
    members: int
    connections: int
    pipelines: int
    open_runs: int
    runs_24h: int
    failed_24h: int
    rows_this_month: int
    storage_bytes: int
    max_concurrent_runs: int | None
    max_rows_per_month: int | None
    max_storage_bytes: int | None


@dataclass(frozen=True, slots=True)
class Parts:
    """``readiness`` is None, and ``problem`` says why, where the database does not serve."""

    readiness: Readiness | None
    problem: str
    workers: Sequence[WorkerState]
    prefect_url: str


class Operations:
    """The platform, for the people who run it."""

    def __init__(self, session: AsyncSession, actor: Actor) -> None:
        require_operator(actor)
        self.session = session
        self.actor = actor

    async def organizations(
        self, page: PageRequest, search: str | None = None
    ) -> RowPage[OrganizationFigures]:
        """A page of live organisations; ``search`` is a part of the name or slug."""
        query = select(Organization).where(Organization.deleted_at.is_(None))
        if search is not None:
            query = query.where(
                contains(Organization.name, search) | contains(Organization.slug, search)
            )
        async with system_scope(self.session, self.actor.scope):
            found = await fetch_page(self.session, query, SORTS, page)
            counted = await self._count([row.id for row in found.rows])
        rows = [
            OrganizationFigures(
                id=row.id,
                name=row.name,
                slug=row.slug,
                created_at=row.created_at,
                max_concurrent_runs=limits.max_concurrent_runs,
                max_rows_per_month=limits.max_rows_per_month,
                max_storage_bytes=limits.max_storage_bytes,
                **counted[row.id],
            )
            for row in found.rows
            for limits in [limits_of(row)]
        ]
        return RowPage(rows, found.next_cursor)

    async def queue(self, limit: int) -> list[QueuedRun]:
        """The first ``limit`` runs of everybody that wait, in the order they will start."""
        async with system_scope(self.session, self.actor.scope):
            return await queued_runs(self.session, limit=limit)

    async def _count(self, org_ids: list[int]) -> dict[int, dict[str, int]]:
        """By organisation: the figures that are counted. One query for the page."""
        since = utcnow() - RECENT

        def count(model: _Owned, *where: ColumnElement[bool]) -> ScalarSelect[int]:
            query = select(func.count()).select_from(model)
            return query.where(model.org_id == Organization.id, *where).scalar_subquery()

        month = select(UsageMonth).where(
            UsageMonth.org_id == Organization.id, UsageMonth.month == month_of(utcnow())
        )
        query = select(
            Organization.id,
            count(Membership, Membership.deleted_at.is_(None)).label("members"),
            count(Connection, Connection.deleted_at.is_(None)).label("connections"),
            count(Pipeline, Pipeline.deleted_at.is_(None)).label("pipelines"),
            count(Run, Run.state.in_(OPEN_STATES)).label("open_runs"),
            count(Run, Run.created_at >= since).label("runs_24h"),
            count(Run, Run.created_at >= since, Run.state == "failed").label("failed_24h"),
            func.coalesce(month.with_only_columns(UsageMonth.rows).scalar_subquery(), 0).label(
                "rows_this_month"
            ),
            func.coalesce(
                month.with_only_columns(UsageMonth.storage_bytes).scalar_subquery(), 0
            ).label("storage_bytes"),
        ).where(Organization.id.in_(org_ids))
        rows = (await self.session.execute(query)).all()
        return {
            row.id: {key: int(value) for key, value in row._mapping.items() if key != "id"}
            for row in rows
        }


def require_operator(actor: Actor) -> None:
    """Raise :class:`PermissionDenied` ``operator_only`` for everybody else."""
    if not actor.is_operator:
        raise PermissionDenied(
            "This is for the operators of the platform.",
            code="operator_only",
            hint="An operator is made with `datanika operator EMAIL --grant`.",
        )


async def read_parts(actor: Actor) -> Parts:
    """Whether each part works, and the workers. Opens no transaction while Prefect is asked."""
    require_operator(actor)
    problem = ""
    readiness: Readiness | None = None
    try:
        readiness = await check_readiness()
    except DatanikaError as error:
        problem = error.message
    workers: Sequence[WorkerState] = ()
    if readiness is not None and readiness.prefect != DOWN:
        try:
            async with PrefectGateway() as prefect:
                workers = await prefect.workers()
        except DatanikaError as error:
            problem = error.message
    return Parts(readiness, problem, workers, prefect_ui())


def prefect_ui() -> str:
    """Where the browser of an operator finds Prefect's own pages; empty if Prefect is not used."""
    if settings.prefect_ui_url:
        return settings.prefect_ui_url.rstrip("/")
    return (settings.prefect_api_url or "").removesuffix("/").removesuffix("/api")
