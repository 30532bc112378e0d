"""Ad hoc jobs: try, look into, read from a connection; compile and preview a transformation.

The job is committed first and put into the queue then, so a worker always finds it. A caller that
waits holds no transaction open.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response, status
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.api.deps import PROBLEMS, Id
from datanika.api.transaction import ActorRoute, Caller, caller_of, needs
from datanika.contracts.api import (
    CompileIn,
    ConnectionTestIn,
    ConnectionTrialIn,
    FilePreviewIn,
    FormatIn,
    IntrospectIn,
    JobOut,
    LintIn,
    PreviewIn,
    QueryIn,
    TransformationPreviewIn,
)
from datanika.contracts.jobs import JobAction
from datanika.db import get_session
from datanika.errors import Unavailable
from datanika.models import Job
from datanika.services.idempotency_service import IdempotencyService, KeptAnswer
from datanika.services.job_service import JobService, job_state
from datanika.services.job_start import create_job, follow_job, queue_job

MAX_WAIT_SECONDS = 60

_UNAVAILABLE = {503: {"description": "`jobs_unavailable`: Redis does not answer."}}
router = APIRouter(tags=["jobs"], responses=PROBLEMS, route_class=ActorRoute)
_STARTS: dict[str, Any] = {
    "status_code": status.HTTP_202_ACCEPTED,
    "responses": {
        200: {"model": JobOut, "description": "The job is over: `wait` was long enough."},
        **_UNAVAILABLE,
    },
}


class JobStarter:
    """Starts the job of a request, once for each ``Idempotency-Key``, and waits if asked to."""

    def __init__(
        self,
        request: Request,
        response: Response,
        actor: Caller,
        wait: Annotated[
            float,
            Query(
                ge=0,
                le=MAX_WAIT_SECONDS,
                description="Answer when the job is over, or after so many seconds.",
            ),
        ] = 0,
        idempotency_key: Annotated[
            str | None, Header(description="The same key gives the same job.")
        ] = None,
    ) -> None:
        self.request, self.response, self.actor = request, response, actor
        self.wait, self.key = wait, idempotency_key

    async def start(
        self, action: JobAction, resource_id: int | None, body: BaseModel | None
    ) -> JobOut:
        """The job: new, or the one that this request's key started."""
        request = body.model_dump(mode="json") if body is not None else {}
        async with get_session(self.actor.scope) as session:
            keys = IdempotencyService(session, caller_of(self.actor), self.actor.org_id)
            known = await self._claim(keys)
            job_id = known or await self._create(session, keys, action, resource_id, request)
        if known is None:
            await self._enqueue(action, job_id, keys)
        self.response.headers["Location"] = f"/api/v1/jobs/{job_id}"
        answer = await self._follow(job_id)
        if answer.state.is_final and self.wait:
            self.response.status_code = status.HTTP_200_OK
        return answer

    async def _create(
        self,
        session: AsyncSession,
        keys: IdempotencyService,
        action: JobAction,
        resource_id: int | None,
        request: dict[str, Any],
    ) -> int:
        job = await create_job(session, self.actor, action, resource_id, request)
        if self.key is not None:
            await keys.keep(KeptAnswer(status.HTTP_202_ACCEPTED, {}, str(job.id).encode()))
        return job.id

    async def _claim(self, keys: IdempotencyService) -> int | None:
        if self.key is None:
            return None
        route = f"{self.request.method} {self.request.url.path}"
        kept = await keys.claim(route, self.key, await self.request.body())
        if kept is None:
            return None
        self.response.headers["Idempotency-Replayed"] = "true"
        return int(kept.body)

    async def _enqueue(self, action: JobAction, job_id: int, keys: IdempotencyService) -> None:
        try:
            await queue_job(self.actor, action, job_id)
        except Unavailable:
            async with get_session(self.actor.scope) as session:
                await keys.release(session)
            raise

    async def _follow(self, job_id: int) -> JobOut:
        job = await follow_job(self.actor, job_id, self.wait)
        async with get_session(self.actor.scope) as session:
            return job_out(JobService(session, self.actor), job)


Starter = Annotated[JobStarter, Depends()]


@router.post("/connections/test", **_STARTS, **needs("connection:test"))
async def test_new_connection(body: ConnectionTestIn, job: Starter) -> JobOut:
    """Try a configuration before it is saved. It is kept encrypted until the job has it."""
    return await job.start(JobAction.TEST_CONNECTION, None, body)


@router.post("/connections/{connection_id}/test", **_STARTS, **needs("connection:test"))
async def test_connection(
    connection_id: Id, job: Starter, body: ConnectionTrialIn | None = None
) -> JobOut:
    """Try the connection with its credentials; ask ``/jobs/{id}`` for the result."""
    return await job.start(JobAction.TEST_CONNECTION, connection_id, body)


@router.post("/connections/{connection_id}/introspect", **_STARTS, **needs("connection:test"))
async def introspect_connection(
    connection_id: Id, job: Starter, body: IntrospectIn | None = None
) -> JobOut:
    """Schemas and tables with their columns, uploaded files, or endpoints; page by page."""
    return await job.start(JobAction.INTROSPECT_CONNECTION, connection_id, body or IntrospectIn())


@router.post("/connections/{connection_id}/preview", **_STARTS, **needs("connection:query"))
async def preview_connection(connection_id: Id, body: PreviewIn, job: Starter) -> JobOut:
    """The first rows of a table, of files or of an endpoint."""
    return await job.start(JobAction.PREVIEW_CONNECTION, connection_id, body)


@router.post("/connections/{connection_id}/query", **_STARTS, **needs("connection:query"))
async def query_connection(connection_id: Id, body: QueryIn, job: Starter) -> JobOut:
    """Rows of one statement that reads. It runs in a read-only transaction, and is audited."""
    return await job.start(JobAction.QUERY_CONNECTION, connection_id, body)


@router.post("/connections/{connection_id}/slots", **_STARTS, **needs("connection:test"))
async def list_slots(connection_id: Id, job: Starter) -> JobOut:
    """The platform's replication slots at a source: what they hold back, and which step reads
    them."""
    return await job.start(JobAction.LIST_SLOTS_CONNECTION, connection_id, None)


@router.post("/connections/{connection_id}/slots/drop", **_STARTS, **needs("pipeline:delete"))
async def drop_slots(connection_id: Id, job: Starter) -> JobOut:
    """Drop the slots of this organisation's pipelines that no step uses any more. It happens by
    itself soon after a pipeline was changed or deleted; this does not wait for that."""
    return await job.start(JobAction.DROP_SLOTS_CONNECTION, connection_id, None)


@router.post(
    "/transformations/{transformation_id}/compile", **_STARTS, **needs("transformation:preview")
)
async def compile_transformation(
    transformation_id: Id, job: Starter, body: CompileIn | None = None
) -> JobOut:
    """The transformation as SQL: its Jinja resolved, nothing asked of the warehouse."""
    return await job.start(JobAction.COMPILE_TRANSFORMATION, transformation_id, body or CompileIn())


@router.post(
    "/transformations/{transformation_id}/preview", **_STARTS, **needs("transformation:preview")
)
async def preview_transformation(
    transformation_id: Id, job: Starter, body: TransformationPreviewIn | None = None
) -> JobOut:
    """The first rows that the transformation selects; nothing is built."""
    return await job.start(
        JobAction.PREVIEW_TRANSFORMATION, transformation_id, body or TransformationPreviewIn()
    )


@router.post(
    "/transformations/{transformation_id}/format", **_STARTS, **needs("transformation:preview")
)
async def format_transformation(
    transformation_id: Id, job: Starter, body: FormatIn | None = None
) -> JobOut:
    """The transformation's code, or the code given, in sqlfmt's style; nothing is saved."""
    return await job.start(JobAction.FORMAT_TRANSFORMATION, transformation_id, body or FormatIn())


@router.post(
    "/transformations/{transformation_id}/lint", **_STARTS, **needs("transformation:preview")
)
async def lint_transformation(
    transformation_id: Id, job: Starter, body: LintIn | None = None
) -> JobOut:
    """What sqlfluff finds in the transformation's code, or in the code given, by line; how it
    looks is left to the formatter."""
    return await job.start(JobAction.LINT_TRANSFORMATION, transformation_id, body or LintIn())


@router.post("/files/{file_id}/preview", **_STARTS, **needs("file:preview"))
async def preview_file(file_id: Id, job: Starter, body: FilePreviewIn | None = None) -> JobOut:
    """An uploaded file's columns, with the types that are seen in it, and its first rows."""
    return await job.start(JobAction.PREVIEW_FILE, file_id, body or FilePreviewIn())


@router.get("/jobs/{job_id}", **needs("job:read"))
async def read_job(job_id: Id, actor: Caller) -> JobOut:
    """How a job is doing. Its result is for those who may do what it did, for an hour."""
    async with get_session(actor.scope) as session:
        service = JobService(session, actor)
        return job_out(service, await service.get(job_id))


def job_out(service: JobService, job: Job) -> JobOut:
    """The job for the API, with what it found where the actor may see that."""
    answer = service.answer(job)
    action = JobAction(job.action)
    return JobOut(
        id=job.id,
        action=action,
        resource_type=action.resource_type,
        resource_id=job.resource_id,
        state=job_state(job),
        created_by=job.created_by,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        expires_at=job.expires_at,
        result=answer.result if answer else None,
        failure=answer.failure if answer else None,
        is_withheld=answer is None,
    )
