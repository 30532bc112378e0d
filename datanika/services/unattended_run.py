"""A run that nobody asks for and nobody could be told an error about: what is wrong with it is
its end."""

from __future__ import annotations

import datetime as dt

from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.enums import RunState, RunTrigger
from datanika.contracts.events import Failure
from datanika.contracts.plan import Plan
from datanika.errors import DatanikaError
from datanika.models import Organization, Pipeline, PipelineVersion, Run
from datanika.services.audit_service import SystemActor
from datanika.services.freshness import wait_deadline
from datanika.services.limits import reason_not_to_run
from datanika.services.overlap import overlap_failure
from datanika.services.pipeline_service import compile_version
from datanika.services.run_acceptance import Wanted, insert_run
from datanika.services.run_rows import end_run


async def accept_unattended(
    session: AsyncSession,
    pipeline: Pipeline,
    trigger: RunTrigger,
    key: str,
    *,
    accepted_at: dt.datetime,
    actor: str,
    schedule_id: int | None = None,
    scheduled_for: dt.datetime | None = None,
    missed: Failure | None = None,
) -> Run | None:
    """A queued run of ``pipeline``, whose row the caller has locked; one that has ended already
    where it may not run, or was ``missed``; None where the pipeline is switched off, or has a run
    with this key."""
    organization = await session.get(Organization, pipeline.org_id)
    version = await session.get(PipelineVersion, pipeline.current_version_id)
    is_off = pipeline.deleted_at is not None or pipeline.is_paused or version is None
    if is_off or version is None or organization is None or organization.deleted_at is not None:
        return None
    plan = Plan(steps=(), stages=())
    ended = None if missed is None else (RunState.SKIPPED, missed)
    try:
        plan = await compile_version(session, pipeline.org_id, version)
    except DatanikaError as error:
        why = Failure(code=error.code, message=error.message, hint=error.hint)
        ended = ended or (RunState.FAILED, why)
    if ended is None and (why_not := await _why_not(session, pipeline)) is not None:
        ended = (RunState.SKIPPED, why_not)
    waits_until = None
    if ended is None:
        waits_until = await wait_deadline(session, pipeline.org_id, pipeline.id)
    wanted = Wanted(
        pipeline.id,
        version.id,
        key,
        trigger,
        plan,
        schedule_id=schedule_id,
        scheduled_for=scheduled_for,
        accepted_at=accepted_at,
    )
    run = await insert_run(session, SystemActor(pipeline.org_id, actor), wanted, waits_until)
    if run is not None and ended is not None:
        await end_run(session, run, *ended)
    return run


async def _why_not(session: AsyncSession, pipeline: Pipeline) -> Failure | None:
    """Why the run is skipped: a limit, or a run that is not over and the pipeline's policy."""
    failure = await reason_not_to_run(session, pipeline.org_id)
    return failure or await overlap_failure(session, pipeline)
