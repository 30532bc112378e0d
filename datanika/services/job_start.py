"""Starting an ad hoc job: checked, committed, and only then queued, so a worker always finds it.

A caller that waits holds no transaction open.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from datanika import job_queue
from datanika.contracts.ad_hoc import AdHocAnswer
from datanika.contracts.jobs import JobAction
from datanika.db import get_session
from datanika.errors import Unavailable
from datanika.models import Job
from datanika.services.actor import Actor
from datanika.services.connection_service import ConnectionService, check_unsaved
from datanika.services.connection_trial import check_trial
from datanika.services.file_service import FileService
from datanika.services.job_actions import (
    check_can_compile,
    check_can_format,
    check_can_preview,
    check_can_query,
    check_has_slots,
)
from datanika.services.job_service import JobService, job_answer, job_state
from datanika.services.transformation_service import TransformationService

POLL_SECONDS = 0.1
_OF_TEXT = (JobAction.FORMAT_TRANSFORMATION, JobAction.LINT_TRANSFORMATION)
"""Actions that need no warehouse."""


async def create_job(
    session: AsyncSession,
    actor: Actor,
    action: JobAction,
    resource_id: int | None,
    request: dict[str, Any],
) -> Job:
    """A job that waits to be queued. What could only fail later is refused now."""
    await _check(session, actor, action, resource_id, request)
    return await JobService(session, actor).create(action, resource_id, request)


async def queue_job(actor: Actor, action: JobAction, job_id: int) -> None:
    """Queue a job whose row is committed. It is taken away again when that does not work.

    Raises :class:`Unavailable` ``jobs_unavailable``.
    """
    try:
        await job_queue.send(action.task_name, actor.org_id, job_id)
    except Unavailable:
        async with get_session(actor.scope) as session:
            await JobService(session, actor).withdraw(job_id)
        raise


async def follow_job(actor: Actor, job_id: int, seconds: float) -> Job:
    """The job when it is over, or as it is after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        async with get_session(actor.scope) as session:
            # Not get(): who may start it need not be able to read all jobs.
            job = await JobService(session, actor).find(job_id)
        if job_state(job).is_final or time.monotonic() >= deadline:
            return job
        await asyncio.sleep(POLL_SECONDS)


async def run_job(
    actor: Actor,
    action: JobAction,
    resource_id: int | None,
    request: dict[str, Any],
    seconds: float = 60,
) -> AdHocAnswer:
    """Start a job and wait for what it finds. After ``seconds`` the answer is ``job_lost``'s or
    empty; ``failure`` says why a job failed.

    Raises what :func:`create_job` and :func:`queue_job` raise.
    """
    async with get_session(actor.scope) as session:
        job = await create_job(session, actor, action, resource_id, request)
    await queue_job(actor, action, job.id)
    return job_answer(await follow_job(actor, job.id, seconds))


async def _check(
    session: AsyncSession,
    actor: Actor,
    action: JobAction,
    resource_id: int | None,
    request: dict[str, Any],
) -> None:
    if resource_id is None:
        check_unsaved(request["kind"], request["config"])
    elif action.resource_type == "file":
        check_can_preview(await FileService(session, actor).find(resource_id))
    elif action.resource_type == "transformation":
        check = check_can_format if action in _OF_TEXT else check_can_compile
        check(await TransformationService(session, actor).find(resource_id))
    else:
        connection = await ConnectionService(session, actor).find(resource_id)
        if action is JobAction.QUERY_CONNECTION:
            check_can_query(connection)
        elif action in (JobAction.LIST_SLOTS_CONNECTION, JobAction.DROP_SLOTS_CONNECTION):
            check_has_slots(connection)
        if action is JobAction.TEST_CONNECTION and request.get("config") is not None:
            check_trial(actor, connection, request["config"])
