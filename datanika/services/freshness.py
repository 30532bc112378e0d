"""Whether what a pipeline depends on succeeded recently enough, and what waits until it does.

A run that has to wait is ``queued`` with ``waits_until``, the deadline. A success releases it in
its own transaction: who finds an upstream stale and lets a run wait holds the lock on the
pipeline's row meanwhile, and so does who reports a success (``dependants.py``). Otherwise a run
could begin to wait for what has just happened. A pipeline is locked before its runs are.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select, true
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.enums import RunState
from datanika.contracts.events import Failure, utcnow
from datanika.contracts.overrides import PARTIAL
from datanika.models import Pipeline, PipelineDependency, Run


@dataclass(frozen=True, slots=True)
class Upstream:
    """A dependency of a pipeline, with the last success of the pipeline that it needs."""

    dependency_id: int
    pipeline_id: int
    name: str
    starts_run: bool
    within_seconds: int | None
    wait_seconds: int
    last_run_id: int | None
    last_success_at: dt.datetime | None

    def is_fresh(self, now: dt.datetime) -> bool:
        """Whether the last success is recent enough; always, where nothing says how recent."""
        if self.within_seconds is None:
            return True
        if self.last_success_at is None:
            return False
        return now - self.last_success_at <= dt.timedelta(seconds=self.within_seconds)

    def age_seconds(self, now: dt.datetime) -> int | None:
        """Whole seconds since the last success."""
        if self.last_success_at is None:
            return None
        return max(0, int((now - self.last_success_at).total_seconds()))


async def upstreams_of(session: AsyncSession, org_id: int, pipeline_id: int) -> list[Upstream]:
    """What the pipeline depends on. Deleted pipelines are nothing to wait for."""
    found = await upstreams_of_each(session, [pipeline_id], org_id)
    return found.get(pipeline_id, [])


async def upstreams_of_each(
    session: AsyncSession, pipeline_ids: Collection[int], org_id: int | None = None
) -> dict[int, list[Upstream]]:
    """What each of the pipelines depends on; without ``org_id`` in system scope."""
    dependency = PipelineDependency
    last = (
        select(Run.id, Run.finished_at)
        .where(
            Run.org_id == dependency.org_id,
            Run.pipeline_id == dependency.upstream_id,
            Run.state == RunState.SUCCEEDED.value,
            # A run of a part is no success of the pipeline.
            *(Run.overrides[name].as_string().is_(None) for name in PARTIAL),
            Run.deleted_at.is_(None),
        )
        .order_by(Run.finished_at.desc().nulls_last())
        .limit(1)
        .lateral("last_success")
    )
    query = (
        select(
            dependency.pipeline_id,
            dependency.id,
            dependency.upstream_id,
            Pipeline.name,
            dependency.starts_run,
            dependency.within_seconds,
            dependency.wait_seconds,
            last.c.id.label("last_run_id"),
            last.c.finished_at,
        )
        .join(Pipeline, Pipeline.id == dependency.upstream_id)
        .outerjoin(last, true())
        .where(
            dependency.pipeline_id.in_(pipeline_ids),
            dependency.deleted_at.is_(None),
            Pipeline.deleted_at.is_(None),
        )
        .order_by(dependency.id)
    )
    if org_id is not None:
        query = query.where(dependency.org_id == org_id)
    found: dict[int, list[Upstream]] = {}
    for pipeline_id, *values in await session.execute(query):
        found.setdefault(pipeline_id, []).append(Upstream(*values))
    return found


async def dependencies_on(
    session: AsyncSession, org_id: int, upstream_id: int
) -> list[PipelineDependency]:
    """The dependencies that pipelines have on ``upstream_id``."""
    query = (
        select(PipelineDependency)
        .join(Pipeline, Pipeline.id == PipelineDependency.pipeline_id)
        .where(
            PipelineDependency.org_id == org_id,
            PipelineDependency.upstream_id == upstream_id,
            PipelineDependency.deleted_at.is_(None),
            Pipeline.deleted_at.is_(None),
        )
        .order_by(PipelineDependency.pipeline_id)
    )
    return list(await session.scalars(query))


async def stale_upstreams(session: AsyncSession, org_id: int, pipeline_id: int) -> list[Upstream]:
    """The upstreams that a run starting now would have to wait for."""
    now = utcnow()
    found = await upstreams_of(session, org_id, pipeline_id)
    return [one for one in found if not one.is_fresh(now)]


async def lock_pipelines(session: AsyncSession, ids: Collection[int]) -> dict[int, Pipeline]:
    """Pipelines by id as they are now, locked until the transaction ends, always in one order."""
    query = select(Pipeline).where(Pipeline.id.in_(ids)).order_by(Pipeline.id)
    # key_share: rows that point to a pipeline may be inserted meanwhile.
    locked = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    return {one.id: one for one in await session.scalars(locked)}


async def wait_deadline(session: AsyncSession, org_id: int, pipeline_id: int) -> dt.datetime | None:
    """Until when a run that wants to start now has to wait; None: it may start.

    The pipeline stays locked where the answer may change with a success.
    """
    found = await upstreams_of(session, org_id, pipeline_id)
    if all(one.within_seconds is None for one in found):
        return None
    await lock_pipelines(session, [pipeline_id])
    stale = await stale_upstreams(session, org_id, pipeline_id)
    return utcnow() + shortest_wait(stale) if stale else None


def shortest_wait(stale: Collection[Upstream]) -> dt.timedelta:
    """How long a run waits: the first upstream that is given up ends it."""
    return dt.timedelta(seconds=min(one.wait_seconds for one in stale))


async def release_waiting(
    session: AsyncSession, org_id: int, pipeline_ids: Collection[int]
) -> None:
    """Let the pipelines' waiting runs start, whose upstreams are fresh now; the edge submits them
    after the commit. The caller has locked the pipelines."""
    rows = await session.scalars(
        select(Run)
        .where(
            Run.org_id == org_id,
            Run.pipeline_id.in_(pipeline_ids),
            Run.state == RunState.QUEUED.value,
            Run.waits_until.is_not(None),
        )
        .order_by(Run.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    stale: dict[int, list[Upstream]] = {}
    for run in rows.all():
        if run.pipeline_id not in stale:
            stale[run.pipeline_id] = await stale_upstreams(session, org_id, run.pipeline_id)
        still = stale[run.pipeline_id]
        if not still:
            run.waits_until = None
        elif run.waits_until is not None:
            # What it waited for least is there now.
            run.waits_until = max(run.waits_until, run.created_at + shortest_wait(still))
    await session.flush()


def stale_failure(stale: Collection[Upstream]) -> Failure:
    """Why a run ends that has waited long enough for ``stale``."""
    now = utcnow()
    return Failure(
        code="upstream_stale",
        message=" ".join(staleness(one, now) for one in stale),
        hint="Run what it depends on, or trigger this pipeline with ignore_dependencies.",
    )


def staleness(one: Upstream, now: dt.datetime) -> str:
    """A sentence about an upstream that is not fresh."""
    limit = in_words(one.within_seconds or 0)
    age = one.age_seconds(now)
    if age is None:
        return f"{one.name} has never succeeded, and its success must not be older than {limit}."
    return f"{one.name} succeeded {in_words(age)} ago, which must not be longer than {limit}."


def in_words(seconds: int) -> str:
    """``1 d 2 h``: the two largest units."""
    parts = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"
