"""Runs: trigger, look, follow, cancel. The edge submits after its commit (``deployer.py``)."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Collection, Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from datanika.compiler import narrow_plan
from datanika.contracts.enums import RunState, RunTrigger
from datanika.contracts.overrides import RunOverrides
from datanika.errors import InvalidInput, NotFound
from datanika.models import PipelineVersion, Run, RunLog, RunStep
from datanika.services.actor import Actor
from datanika.services.audit_service import record
from datanika.services.paging import NEWEST, PageRequest, RowPage, fetch_page, rows_of, sorts_of
from datanika.services.pipeline_service import PipelineService, compile_version
from datanika.services.run_acceptance import Wanted, accept_run, run_with_key
from datanika.services.run_lifecycle import close_run
from datanika.services.run_retry import plan_of_retry
from datanika.services.run_rows import lock_run, move, state_of

MAX_KEY = 255

SORTS = sorts_of(Run, "created_at")


class RunService:
    """Runs of the actor's organisation."""

    def __init__(self, session: AsyncSession, actor: Actor) -> None:
        self.session = session
        self.actor = actor

    async def trigger(
        self,
        pipeline_id: int,
        idempotency_key: str,
        trigger: RunTrigger = RunTrigger.API,
        *,
        ignore_dependencies: bool = False,
        overrides: RunOverrides | None = None,
    ) -> Run:
        """Accept a run of the pipeline as it is now, but for ``overrides``. The same key gives the
        same run.

        The row is the outbox: submit it after the commit, or the reconciler does. It waits for
        upstreams that are not fresh, unless ``ignore_dependencies``.
        """
        self.actor.require("run:trigger")
        _check_key(idempotency_key)
        # Not get(): a key that may trigger need not be able to read the pipeline.
        pipeline = await PipelineService(self.session, self.actor).find(pipeline_id)
        known = await self._by_key(pipeline_id, idempotency_key)
        if known is not None:
            return known
        version = await self.session.get_one(PipelineVersion, pipeline.current_version_id)
        plan = await compile_version(self.session, self.actor.org_id, version)
        overrides = overrides or RunOverrides()
        return await self._accept(
            Wanted(
                pipeline_id,
                version.id,
                idempotency_key,
                trigger,
                narrow_plan(plan, overrides, f"dev_u{self.actor.user_id}"),
                ignore_dependencies=ignore_dependencies,
                overrides=overrides,
            )
        )

    async def retry(self, run_id: int, idempotency_key: str, *, from_failure: bool = True) -> Run:
        """Accept a new run of what is left of ``run_id``: steps, tables and dbt nodes that did not
        succeed. The same key gives the same run.

        Not ``from_failure``: of all that the first of its retries was to do. Raises
        :class:`Conflict` ``run_not_retryable`` unless that run is over and did not succeed.
        """
        self.actor.require("run:trigger")
        _check_key(idempotency_key)
        failed = await self.find(run_id)
        await PipelineService(self.session, self.actor).find(failed.pipeline_id)
        # A key of one retry is no key of another run's, nor of a trigger.
        digest = hashlib.sha256(idempotency_key.encode("utf-8", "surrogatepass")).hexdigest()
        key = f"retry-{run_id}-{digest}"
        known = await self._by_key(failed.pipeline_id, key)
        if known is not None:
            return known
        plan = await plan_of_retry(self.session, failed, from_failure=from_failure)
        return await self._accept(
            Wanted(
                failed.pipeline_id,
                failed.pipeline_version_id,
                key,
                RunTrigger.RETRY,
                plan,
                retry_of=run_id,
                ignore_dependencies=failed.ignores_dependencies,
                overrides=RunOverrides.model_validate(failed.overrides),
            )
        )

    async def _accept(self, wanted: Wanted) -> Run:
        run = await accept_run(self.session, self.actor, wanted)
        run = run or await self._by_key(wanted.pipeline_id, wanted.key)
        if run is None:
            raise NotFound("There is no such run.", code="run_not_found")
        return run

    async def get(self, run_id: int) -> Run:
        """The run; raises :class:`NotFound`, also for another organisation's."""
        self.actor.require("run:read")
        return await self.find(run_id)

    async def find(self, run_id: int) -> Run:
        """The run, for a caller that has checked its own permission."""
        query = select(Run).where(
            Run.org_id == self.actor.org_id, Run.id == run_id, Run.deleted_at.is_(None)
        )
        run = await self.session.scalar(query.execution_options(populate_existing=True))
        if run is None:
            raise NotFound("There is no such run.", code="run_not_found")
        return run

    async def list(
        self,
        page: PageRequest = NEWEST,
        *,
        pipeline_id: int | None = None,
        state: RunState | None = None,
        trigger: RunTrigger | None = None,
        created_after: dt.datetime | None = None,
        created_before: dt.datetime | None = None,
    ) -> RowPage[Run]:
        """The organisation's runs."""
        self.actor.require("run:read")
        # Reading the plans would cost more than all the rest.
        rows = rows_of(Run, without=("plan",))
        query = rows.where(Run.org_id == self.actor.org_id, Run.deleted_at.is_(None))
        if pipeline_id is not None:
            query = query.where(Run.pipeline_id == pipeline_id)
        if state is not None:
            query = query.where(Run.state == state.value)
        if trigger is not None:
            query = query.where(Run.trigger == trigger.value)
        if created_after is not None:
            query = query.where(Run.created_at >= created_after)
        if created_before is not None:
            query = query.where(Run.created_at < created_before)
        return await fetch_page(self.session, query, SORTS, page)

    async def steps(self, run_id: int) -> Sequence[RunStep]:
        """The run's steps, and the tables and dbt nodes in them, in the order they appeared."""
        await self.get(run_id)
        query = select(RunStep).where(RunStep.run_id == run_id).order_by(RunStep.id)
        return (await self.session.scalars(query)).all()

    async def logs(self, run_id: int, after_id: int = 0, limit: int = 1000) -> Sequence[RunLog]:
        """Log lines after ``after_id``, in their order."""
        await self.get(run_id)
        query = (
            select(RunLog)
            .where(RunLog.run_id == run_id, RunLog.id > after_id)
            .order_by(RunLog.id)
            .limit(limit)
        )
        return (await self.session.scalars(query)).all()

    async def log_start(self, run_id: int, lines: int) -> tuple[int, int]:
        """Where the run's last ``lines`` log lines begin: the id of the line before them, and how
        many lines that leaves out. (0, 0) where there are no more than those."""
        await self.get(run_id)
        of_run = select(RunLog.id).where(RunLog.run_id == run_id)
        before = await self.session.scalar(of_run.order_by(RunLog.id.desc()).offset(lines).limit(1))
        if before is None:
            return 0, 0
        skipped = select(func.count()).where(RunLog.run_id == run_id, RunLog.id <= before)
        return before, await self.session.scalar(skipped) or 0

    async def latest(self, pipeline_ids: Collection[int]) -> dict[int, Run]:
        """Each pipeline's newest run, by the pipeline's id."""
        self.actor.require("run:read")
        query = (
            select(Run)
            .options(defer(Run.plan, raiseload=True))
            .distinct(Run.pipeline_id)
            .where(
                Run.org_id == self.actor.org_id,
                Run.pipeline_id.in_(pipeline_ids),
                Run.deleted_at.is_(None),
            )
            .order_by(Run.pipeline_id, Run.id.desc())
        )
        return {run.pipeline_id: run for run in await self.session.scalars(query)}

    async def cancel(self, run_id: int) -> Run:
        """Stop the run: at once if no worker has it yet, else as soon as its worker hears of it.

        The edge then tells Prefect. Cancelling twice is fine; a run that ended otherwise raises
        :class:`~datanika.errors.IllegalTransition`.
        """
        self.actor.require("run:cancel")
        await self.find(run_id)
        run = await lock_run(self.session, run_id)
        if run is None:
            raise NotFound("There is no such run.", code="run_not_found")
        before = state_of(run)
        if before in (RunState.CANCELLING, RunState.CANCELLED):
            return run
        if before is RunState.QUEUED:
            await close_run(self.session, run, RunState.CANCELLED)
        else:
            move(run, RunState.CANCELLING)
        await self.session.flush()
        await record(
            self.session,
            self.actor,
            "run.cancelled",
            "run",
            run.id,
            old={"state": before.value},
            new={"state": run.state},
        )
        return run

    async def _by_key(self, pipeline_id: int, key: str) -> Run | None:
        return await run_with_key(self.session, self.actor.org_id, pipeline_id, key)


def _check_key(key: str) -> None:
    if not 1 <= len(key) <= MAX_KEY:
        raise InvalidInput(
            f"An idempotency key has 1 to {MAX_KEY} characters.",
            code="idempotency_key_invalid",
            field="Idempotency-Key",
        )
