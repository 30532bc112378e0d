"""Ad hoc jobs: asked for here, done by a worker in a sandbox, read here.

A job's row holds everything; the queue carries ids. What was asked and what was found are
encrypted: they are SQL and rows of the tenant, or a configuration that is not saved yet.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.ad_hoc import AdHocAnswer
from datanika.contracts.events import Failure, utcnow
from datanika.contracts.jobs import TIME_LIMIT, JobAction, JobState
from datanika.errors import AuthenticationError, LimitReached, NotFound
from datanika.models import ApiKey, Job
from datanika.services.actor import Actor, prove_membership
from datanika.services.audit_service import record
from datanika.services.encryption import EncryptionService

KEPT_FOR = dt.timedelta(hours=1)
LOST_AFTER = dt.timedelta(seconds=TIME_LIMIT + 30)
"""A worker that has had a job for so long is dead."""
QUEUED_AT_MOST = dt.timedelta(minutes=10)
MAX_OPEN = 50
"""Jobs of an organisation that wait or run at once."""
SHOWN_SQL = 200
TABLE = Job.__tablename__

_OPEN = (JobState.PENDING.value, JobState.RUNNING.value)


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """What a worker does: for whom, and on what."""

    id: int
    org_id: int
    created_by: int
    api_key_id: int | None
    action: JobAction
    resource_id: int | None
    request: dict[str, Any]


class JobService:
    """Jobs of the actor's organisation."""

    def __init__(self, session: AsyncSession, actor: Actor) -> None:
        self.session = session
        self.actor = actor

    async def create(
        self, action: JobAction, resource_id: int | None, request: dict[str, Any]
    ) -> Job:
        """A job that waits for a worker. The caller has checked that the resource exists, and
        puts the job's id into the queue after the commit.

        Raises :class:`LimitReached` ``jobs_limit``.
        """
        self.actor.require(action.permission)
        await self._make_room()
        job = Job(
            org_id=self.actor.org_id,
            action=action.value,
            resource_id=resource_id,
            state=JobState.PENDING.value,
            created_by=self.actor.user_id,
            api_key_id=self.actor.api_key_id,
            expires_at=utcnow() + KEPT_FOR,
        )
        self.session.add(job)
        await self.session.flush()
        job.request = _encrypted(job, request)
        await self.session.flush()
        if action in _AUDITED:
            await record(
                self.session, self.actor, _AUDITED[action], action.resource_type, resource_id,
                new={"job_id": job.id, **_shown(request)},
            )  # fmt: skip
        return job

    async def get(self, job_id: int) -> Job:
        """The job; raises :class:`NotFound` ``job_not_found``, also for another organisation's.

        Who may not do what it does may not see what it found: see :meth:`answer`.
        """
        self.actor.require("job:read")
        return await self.find(job_id)

    async def find(self, job_id: int) -> Job:
        """The job, for a caller that has checked its own permission."""
        job: Job | None = await self.session.scalar(
            select(Job)
            .where(
                Job.org_id == self.actor.org_id,
                Job.id == job_id,
                Job.expires_at > func.now(),
            )
            .execution_options(populate_existing=True)
        )
        if job is None:
            raise NotFound("There is no such job, or it ended long ago.", code="job_not_found")
        return job

    def answer(self, job: Job) -> AdHocAnswer | None:
        """What the job found; None for an actor who may not do what it does."""
        if not self.actor.may(JobAction(job.action).permission):
            return None
        return job_answer(job)

    async def withdraw(self, job_id: int) -> None:
        """Take away a job that could not be queued."""
        await self.session.execute(
            delete(Job).where(Job.org_id == self.actor.org_id, Job.id == job_id)
        )

    async def _make_room(self) -> None:
        own = Job.org_id == self.actor.org_id
        await self.session.execute(delete(Job).where(own, Job.expires_at <= func.now()))
        waiting = await self.session.scalar(
            select(func.count(Job.id)).where(
                own, Job.state.in_(_OPEN), Job.created_at > utcnow() - QUEUED_AT_MOST
            )
        )
        if (waiting or 0) >= MAX_OPEN:
            raise LimitReached(
                f"{waiting} jobs of this organisation are waiting or running.",
                code="jobs_limit",
                hint="Wait for some of them to end.",
            )


def job_state(job: Job) -> JobState:
    """The state, also of a job whose worker died or that no worker took."""
    state = JobState(job.state)
    now = utcnow()
    if state is JobState.RUNNING and job.started_at and job.started_at < now - LOST_AFTER:
        return JobState.FAILED
    if state is JobState.PENDING and job.created_at < now - QUEUED_AT_MOST:
        return JobState.FAILED
    return state


def job_answer(job: Job) -> AdHocAnswer:
    """What the job found, or why it failed; empty while it is open."""
    if job.result is not None:
        return AdHocAnswer.model_validate(_decrypted(job, job.result))
    if job_state(job) is JobState.FAILED:
        return AdHocAnswer(
            failure=Failure(
                code="job_lost",
                message="No worker finished this job.",
                hint="Start it again; if that does not help, look at the job workers.",
                transient=True,
            )
        )
    return AdHocAnswer()


async def claim_job(session: AsyncSession, org_id: int, job_id: int) -> ClaimedJob | None:
    """Take a waiting job; None when another worker has it or it is gone. System scope."""
    job = await session.scalar(
        select(Job)
        .where(
            Job.id == job_id,
            Job.org_id == org_id,
            Job.state == JobState.PENDING.value,
            Job.expires_at > func.now(),
        )
        .with_for_update(skip_locked=True)
    )
    if job is None or job.request is None:
        return None
    request = _decrypted(job, job.request)
    job.state = JobState.RUNNING.value
    job.started_at = utcnow()
    job.request = None
    await session.flush()
    return ClaimedJob(
        job.id, org_id, job.created_by, job.api_key_id,
        JobAction(job.action), job.resource_id, request,
    )  # fmt: skip


async def who_asked(session: AsyncSession, job: ClaimedJob) -> Actor:
    """Whoever asked, if they still may, and with the key they used. System scope.

    Raises :class:`AuthenticationError` and :class:`PermissionDenied`.
    """
    scopes = None
    if job.api_key_id is not None:
        key = await session.scalar(
            select(ApiKey).where(
                ApiKey.id == job.api_key_id,
                ApiKey.org_id == job.org_id,
                ApiKey.revoked_at.is_(None),
                ApiKey.deleted_at.is_(None),
            )
        )
        if key is None or (key.expires_at is not None and key.expires_at <= utcnow()):
            raise AuthenticationError("The API key was revoked.", code="api_key_invalid")
        scopes = frozenset(key.scopes)
    actor = await prove_membership(
        session, job.created_by, job.org_id, scopes=scopes, api_key_id=job.api_key_id
    )
    actor.require(job.action.permission)
    return actor


async def finish_job(session: AsyncSession, job_id: int, answer: AdHocAnswer) -> None:
    """Keep what a job found. A job that is gone meanwhile keeps nothing."""
    job = await session.get(Job, job_id, with_for_update=True, populate_existing=True)
    if job is None or JobState(job.state).is_final:
        return
    failed = answer.failure is not None
    job.state = (JobState.FAILED if failed else JobState.SUCCEEDED).value
    job.finished_at = utcnow()
    job.request = None
    job.result = _encrypted(job, answer.stored())
    await session.flush()


_AUDITED = {
    JobAction.QUERY_CONNECTION: "connection.queried",
    JobAction.PREVIEW_CONNECTION: "connection.previewed",
    JobAction.PREVIEW_TRANSFORMATION: "transformation.previewed",
    JobAction.DROP_SLOTS_CONNECTION: "connection.slots_dropped",
}
"""Actions that show rows, or that change what they look at."""


def _shown(request: dict[str, Any]) -> dict[str, Any]:
    """What of a request the audit log keeps: of SQL its beginning and its hash."""
    shown = {key: request[key] for key in ("schema_name", "table", "limit") if request.get(key)}
    sql = request.get("sql")
    if isinstance(sql, str):
        digest = hashlib.sha256(sql.encode("utf-8", "surrogatepass")).hexdigest()
        shown |= {"sql": sql[:SHOWN_SQL], "sql_sha256": digest}
    return shown


def _encrypted(job: Job, payload: dict[str, Any]) -> str:
    return EncryptionService().encrypt(payload, org_id=job.org_id, table=TABLE, row_id=job.id)


def _decrypted(job: Job, text: str) -> dict[str, Any]:
    return EncryptionService().decrypt(text, org_id=job.org_id, table=TABLE, row_id=job.id)
