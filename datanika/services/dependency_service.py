"""Dependencies: which pipelines a pipeline needs, and what a run of it would wait for now."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from typing import Any, NoReturn

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from datanika.contracts.api import ReadinessOut, UpstreamReadinessOut
from datanika.contracts.events import utcnow
from datanika.errors import Conflict, InvalidInput, NotFound
from datanika.models import Pipeline, PipelineDependency
from datanika.services.actor import Actor
from datanika.services.audit_service import record
from datanika.services.dependency_graph import find_path
from datanika.services.freshness import (
    Upstream,
    in_words,
    lock_pipelines,
    release_waiting,
    shortest_wait,
    staleness,
    upstreams_of,
)
from datanika.services.paging import OLDEST, PageRequest, RowPage, fetch_page, rows_of, sorts_of
from datanika.services.pipeline_service import PipelineService
from datanika.services.validation import check_revision

SORTS = sorts_of(PipelineDependency, "pipeline_id", "upstream_id", "created_at", "updated_at")
CHANGEABLE = ("starts_run", "within_seconds", "wait_seconds")
_Pipeline, _Upstream = aliased(Pipeline), aliased(Pipeline)
_ROWS = (
    rows_of(PipelineDependency)
    .add_columns(_Pipeline.name.label("pipeline_name"), _Upstream.name.label("upstream_name"))
    .join(_Pipeline, _Pipeline.id == PipelineDependency.pipeline_id)
    .join(_Upstream, _Upstream.id == PipelineDependency.upstream_id)
)


class DependencyService:
    """Dependencies between pipelines of the actor's organisation."""

    def __init__(self, session: AsyncSession, actor: Actor) -> None:
        self.session = session
        self.actor = actor

    async def create(
        self,
        pipeline_id: int,
        upstream_id: int,
        *,
        starts_run: bool = True,
        within_seconds: int | None = None,
        wait_seconds: int = 3600,
    ) -> Any:
        """Let ``pipeline_id`` need ``upstream_id``; the row as :meth:`get` gives it.

        Raises :class:`Conflict` ``dependency_cycle`` with the circle it would close.
        """
        self.actor.require("pipeline:write")
        pipelines = PipelineService(self.session, self.actor)
        await pipelines.find(pipeline_id)
        await self._lock_graph()
        await lock_pipelines(self.session, [pipeline_id, upstream_id])
        # Again, under the lock: it may be deleted meanwhile.
        pipeline = await pipelines.find(pipeline_id)
        try:
            upstream = await pipelines.find(upstream_id)
        except NotFound as error:
            raise NotFound(error.message, code=error.code, field="upstream_id") from None
        await self._refuse_circle(pipeline, upstream)
        dependency = PipelineDependency(
            org_id=self.actor.org_id,
            pipeline_id=pipeline_id,
            upstream_id=upstream_id,
            starts_run=starts_run,
            within_seconds=within_seconds,
            wait_seconds=wait_seconds,
        )
        _check_effect(dependency)
        self.session.add(dependency)
        await self.session.flush()
        await self._audit("dependency.created", dependency, new=_summary(dependency))
        return await self._row(pipeline_id, dependency.id)

    async def get(self, pipeline_id: int, dependency_id: int) -> Any:
        """The dependency's columns, ``pipeline_name`` and ``upstream_name``; raises
        :class:`NotFound`, also for another organisation's."""
        self.actor.require("pipeline:read")
        return await self._row(pipeline_id, dependency_id)

    async def list(
        self,
        page: PageRequest = OLDEST,
        *,
        pipeline_id: int | None = None,
        upstream_id: int | None = None,
    ) -> RowPage[Any]:
        """The organisation's dependencies: its graph."""
        self.actor.require("pipeline:read")
        query = self._live()
        if pipeline_id is not None:
            query = query.where(PipelineDependency.pipeline_id == pipeline_id)
        if upstream_id is not None:
            query = query.where(PipelineDependency.upstream_id == upstream_id)
        return await fetch_page(self.session, query, SORTS, page)

    async def list_of(self, pipeline_id: int, page: PageRequest = OLDEST) -> RowPage[Any]:
        """What the pipeline needs."""
        self.actor.require("pipeline:read")
        await PipelineService(self.session, self.actor).find(pipeline_id)
        return await self.list(page, pipeline_id=pipeline_id)

    async def update(
        self,
        pipeline_id: int,
        dependency_id: int,
        changes: dict[str, Any],
        revision: int | None = None,
    ) -> Any:
        """Change what is given of :data:`CHANGEABLE`."""
        self.actor.require("pipeline:write")
        dependency = await self._locked(pipeline_id, dependency_id)
        check_revision(dependency.revision, revision)
        old = _summary(dependency)
        for name in CHANGEABLE:
            setattr(dependency, name, changes.get(name, getattr(dependency, name)))
        _check_effect(dependency)
        dependency.revision += 1
        await self.session.flush()
        await release_waiting(self.session, self.actor.org_id, [pipeline_id])
        await self._audit("dependency.updated", dependency, old=old, new=_summary(dependency))
        return await self._row(pipeline_id, dependency_id)

    async def delete(self, pipeline_id: int, dependency_id: int) -> None:
        """The pipeline no longer needs it."""
        self.actor.require("pipeline:delete")
        dependency = await self._locked(pipeline_id, dependency_id)
        dependency.deleted_at = utcnow()
        await self.session.flush()
        await release_waiting(self.session, self.actor.org_id, [pipeline_id])
        await self._audit("dependency.deleted", dependency, old=_summary(dependency))

    async def readiness(self, pipeline_id: int) -> ReadinessOut:
        """What a run triggered now would wait for, and until when."""
        self.actor.require("pipeline:read")
        await PipelineService(self.session, self.actor).find(pipeline_id)
        now = utcnow()
        found = await upstreams_of(self.session, self.actor.org_id, pipeline_id)
        stale = [one for one in found if not one.is_fresh(now)]
        waits_until = now + shortest_wait(stale) if stale else None
        return ReadinessOut(
            pipeline_id=pipeline_id,
            is_ready=not stale,
            waits_until=waits_until,
            text=_explain(stale, now),
            upstreams=[_readiness(one, now) for one in found],
        )

    def _live(self) -> Any:
        return _ROWS.where(
            PipelineDependency.org_id == self.actor.org_id,
            PipelineDependency.deleted_at.is_(None),
            _Pipeline.deleted_at.is_(None),
            _Upstream.deleted_at.is_(None),
        )

    async def _row(self, pipeline_id: int, dependency_id: int) -> Any:
        query = self._live().where(
            PipelineDependency.pipeline_id == pipeline_id, PipelineDependency.id == dependency_id
        )
        row = (await self.session.execute(query)).one_or_none()
        if row is None:
            _raise_not_found()
        return row

    async def _locked(self, pipeline_id: int, dependency_id: int) -> PipelineDependency:
        """The dependency, its pipeline locked: runs that wait for it may be released."""
        await self._row(pipeline_id, dependency_id)
        await lock_pipelines(self.session, [pipeline_id])
        dependency = await self.session.scalar(
            select(PipelineDependency)
            .where(
                PipelineDependency.org_id == self.actor.org_id,
                PipelineDependency.id == dependency_id,
                PipelineDependency.deleted_at.is_(None),
            )
            .with_for_update(key_share=True)
            .execution_options(populate_existing=True)
        )
        if dependency is None:
            _raise_not_found()
        return dependency

    async def _lock_graph(self) -> None:
        """Of two that add to the organisation's graph, one waits for the other's commit: each
        edge alone may be fine, and both together a circle."""
        name = f"dependencies of {self.actor.org_id}"
        await self.session.execute(
            select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0)))
        )

    async def _refuse_circle(self, pipeline: Pipeline, upstream: Pipeline) -> None:
        names = {pipeline.id: pipeline.name, upstream.id: upstream.name}
        needs: defaultdict[int, list[int]] = defaultdict(list)
        for row in await self.session.execute(self._live()):
            needs[row.pipeline_id].append(row.upstream_id)
            names |= {row.pipeline_id: row.pipeline_name, row.upstream_id: row.upstream_name}
        if upstream.id in needs[pipeline.id]:
            raise Conflict(
                "The pipeline depends on this one already.",
                code="dependency_exists",
                field="upstream_id",
                hint="Change the dependency that exists.",
            )
        path = find_path(needs, upstream.id, pipeline.id)
        if path is None:
            return
        circle = " → ".join(names[one] for one in [pipeline.id, *path])
        raise Conflict(
            f"Each would wait for the other: {circle}.",
            code="dependency_cycle",
            field="upstream_id",
            hint="Take one of these dependencies away first.",
        )

    async def _audit(
        self,
        action: str,
        dependency: PipelineDependency,
        old: dict[str, Any] | None = None,
        new: dict[str, Any] | None = None,
    ) -> None:
        await record(
            self.session, self.actor, action, "dependency", dependency.id, old=old, new=new
        )


def _raise_not_found() -> NoReturn:
    raise NotFound("There is no such dependency.", code="dependency_not_found")


def _check_effect(dependency: PipelineDependency) -> None:
    if not dependency.starts_run and dependency.within_seconds is None:
        raise InvalidInput(
            "This dependency would do nothing.",
            code="dependency_without_effect",
            field="within_seconds",
            hint="Let the upstream start runs (starts_run), or say how old its success may be "
            "(within_seconds).",
        )


def _summary(dependency: PipelineDependency) -> dict[str, Any]:
    names = ("pipeline_id", "upstream_id", *CHANGEABLE, "revision")
    return {name: getattr(dependency, name) for name in names}


def _readiness(one: Upstream, now: dt.datetime) -> UpstreamReadinessOut:
    is_fresh, age = one.is_fresh(now), one.age_seconds(now)
    if not is_fresh:
        text = staleness(one, now)
    elif age is None:
        text = f"{one.name} has never succeeded; its success starts a run."
    else:
        text = f"{one.name} succeeded {in_words(age)} ago"
        limit = one.within_seconds
        text += "." if limit is None else f", and {in_words(limit)} are allowed."
    return UpstreamReadinessOut(
        dependency_id=one.dependency_id,
        upstream_id=one.pipeline_id,
        upstream_name=one.name,
        starts_run=one.starts_run,
        within_seconds=one.within_seconds,
        wait_seconds=one.wait_seconds,
        last_success_run_id=one.last_run_id,
        last_success_at=one.last_success_at,
        age_seconds=age,
        is_fresh=is_fresh,
        text=text,
    )


def _explain(stale: list[Upstream], now: dt.datetime) -> str:
    if not stale:
        return "A run triggered now waits for no upstream."
    names = ", ".join(one.name for one in stale)
    wait = shortest_wait(stale)
    return (
        f"A run triggered now waits for a success of {names}, at most until "
        f"{now + wait:%Y-%m-%d %H:%M:%S} UTC, and then ends as upstream_stale. "
        + " ".join(staleness(one, now) for one in stale)
    )
