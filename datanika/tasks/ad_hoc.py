"""Every ad hoc job: ids come from the queue, the work is done in a sandboxed process.

This worker only reads what the job needs, credentials included, and hands it over through a pipe.
"""

from __future__ import annotations

import asyncio

from celery.signals import worker_process_init

from datanika.contracts.ad_hoc import AdHocAnswer, ProbeResult
from datanika.contracts.events import Failure
from datanika.contracts.jobs import RELEASE_SLOTS, JobAction
from datanika.db import SYSTEM, dispose_engine, get_session
from datanika.errors import DatanikaError
from datanika.execution.sandbox import ad_hoc, keep_warm
from datanika.services.connection_trial import note_test
from datanika.services.job_actions import resolve_action
from datanika.services.job_service import ClaimedJob, claim_job, finish_job, who_asked
from datanika.services.replication_slots import prepare
from datanika.services.slot_releases import keep_answer
from datanika.tasks.app import app

SECONDS = {JobAction.TEST_CONNECTION: 20.0}
DEFAULT_SECONDS = 90.0


@worker_process_init.connect
def warm(**_: object) -> None:
    """Each process of the pool has its own warm process beside it."""
    keep_warm()


@app.task(name=JobAction.TEST_CONNECTION.task_name)
def test_connection(org_id: int, job_id: int) -> None:
    """Does the connection work?"""
    asyncio.run(run_job(org_id, job_id))


@app.task(name=JobAction.INTROSPECT_CONNECTION.task_name)
def introspect_connection(org_id: int, job_id: int) -> None:
    """What does it have?"""
    asyncio.run(run_job(org_id, job_id))


@app.task(name=JobAction.PREVIEW_CONNECTION.task_name)
def preview_connection(org_id: int, job_id: int) -> None:
    """The first rows of a table."""
    asyncio.run(run_job(org_id, job_id))


@app.task(name=JobAction.QUERY_CONNECTION.task_name)
def query_connection(org_id: int, job_id: int) -> None:
    """Rows of one statement that reads."""
    asyncio.run(run_job(org_id, job_id))


@app.task(name=JobAction.LIST_SLOTS_CONNECTION.task_name)
def list_slots_connection(org_id: int, job_id: int) -> None:
    """The replication slots at a source."""
    asyncio.run(run_job(org_id, job_id))


@app.task(name=JobAction.DROP_SLOTS_CONNECTION.task_name)
def drop_slots_connection(org_id: int, job_id: int) -> None:
    """Those of them that no pipeline uses."""
    asyncio.run(run_job(org_id, job_id))


@app.task(name=RELEASE_SLOTS)
def release_slots(org_id: int, connection_id: int) -> None:
    """What changed pipelines left behind at a source; see ``services/slot_releases.py``."""
    asyncio.run(run_release(org_id, connection_id))


@app.task(name=JobAction.PREVIEW_FILE.task_name)
def preview_file(org_id: int, job_id: int) -> None:
    """The first rows of an uploaded file."""
    asyncio.run(run_job(org_id, job_id))


@app.task(name=JobAction.COMPILE_TRANSFORMATION.task_name)
def compile_transformation(org_id: int, job_id: int) -> None:
    """A transformation as SQL."""
    asyncio.run(run_job(org_id, job_id))


@app.task(name=JobAction.PREVIEW_TRANSFORMATION.task_name)
def preview_transformation(org_id: int, job_id: int) -> None:
    """The first rows that a transformation selects."""
    asyncio.run(run_job(org_id, job_id))


@app.task(name=JobAction.FORMAT_TRANSFORMATION.task_name)
def format_transformation(org_id: int, job_id: int) -> None:
    """A transformation's code in one style."""
    asyncio.run(run_job(org_id, job_id))


@app.task(name=JobAction.LINT_TRANSFORMATION.task_name)
def lint_transformation(org_id: int, job_id: int) -> None:
    """What could be better about a transformation's code."""
    asyncio.run(run_job(org_id, job_id))


async def run_job(org_id: int, job_id: int) -> None:
    """Do a job that waits, and keep what it found. One that is gone or taken is left alone."""
    try:
        async with get_session(SYSTEM) as session:
            job = await claim_job(session, org_id, job_id)
        if job is None:
            return
        answer = await _answer(job)
        async with get_session(SYSTEM) as session:
            await finish_job(session, job_id, answer)
            await note_test(session, job, answer)
    finally:
        await dispose_engine()


async def run_release(org_id: int, connection_id: int) -> None:
    """Drop the slots at a connection that wait for it, and keep what came of it."""
    try:
        async with get_session(SYSTEM) as session:
            action, ids = await prepare(session, org_id, connection_id)
        if action is None:
            return
        answer = await ad_hoc(action, DEFAULT_SECONDS)
        async with get_session(SYSTEM) as session:
            await keep_answer(session, org_id, connection_id, ids, answer)
    finally:
        await dispose_engine()


async def _answer(job: ClaimedJob) -> AdHocAnswer:
    try:
        async with get_session(SYSTEM) as session:
            # Whoever asked may have lost the role since.
            actor = await who_asked(session, job)
        async with get_session(actor.scope) as session:
            action = await resolve_action(session, job)
        answer = await ad_hoc(action, SECONDS.get(job.action, DEFAULT_SECONDS))
    except DatanikaError as error:
        failure = Failure(code=error.code, message=error.message, hint=error.hint)
        return AdHocAnswer(failure=failure)
    if job.action is JobAction.TEST_CONNECTION and answer.failure is not None:
        return AdHocAnswer(result=ProbeResult(ok=False, **answer.failure.model_dump()))
    return answer
