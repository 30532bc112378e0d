"""Ad hoc jobs: taken once, done for whoever still may, lost ones say so."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest
from sqlalchemy import func, select, update

from datanika.contracts.ad_hoc import AdHocAnswer, RowsResult
from datanika.contracts.enums import Role
from datanika.contracts.events import utcnow
from datanika.contracts.jobs import JobAction, JobState
from datanika.db import SYSTEM, get_session
from datanika.errors import AuthenticationError, LimitReached, NotFound, PermissionDenied
from datanika.models import ApiKey, Job
from datanika.services import job_service
from datanika.services.actor import Actor
from datanika.services.api_key_service import ApiKeyService
from datanika.services.auth import actor_for_token
from datanika.services.job_service import (
    ClaimedJob,
    JobService,
    claim_job,
    finish_job,
    job_answer,
    job_state,
    who_asked,
)
from datanika.services.retention import delete_old
from tests.support.tenants import Tenant, add_member, make_tenant

QUERY = JobAction.QUERY_CONNECTION
SQL = {"sql": "select 'canary-sql'", "limit": 10}


@pytest.fixture
async def tenant(database: str) -> Tenant:
    return await make_tenant()


async def ask(actor: Actor, action: JobAction = QUERY) -> int:
    async with get_session(actor.scope) as session:
        return (await JobService(session, actor).create(action, 1, dict(SQL))).id


async def take(org_id: int, job_id: int) -> ClaimedJob | None:
    async with get_session(SYSTEM) as session:
        return await claim_job(session, org_id, job_id)


async def read(actor: Actor, job_id: int) -> Job:
    async with get_session(actor.scope) as session:
        return await JobService(session, actor).get(job_id)


async def change(job_id: int, **values: object) -> None:
    async with get_session(SYSTEM) as session:
        await session.execute(update(Job).where(Job.id == job_id).values(values))


async def test_a_job_is_taken_by_one_worker_and_its_request_is_forgotten(tenant: Tenant) -> None:
    job_id = await ask(tenant.owner)
    assert "canary-sql" not in str((await read(tenant.owner, job_id)).request)
    taken = await asyncio.gather(*(take(tenant.org_id, job_id) for _ in range(8)))
    [claimed] = [job for job in taken if job is not None]
    assert (claimed.action, claimed.resource_id, claimed.request) == (QUERY, 1, SQL)
    job = await read(tenant.owner, job_id)
    assert (job_state(job), job.request) == (JobState.RUNNING, None)


async def test_a_job_of_another_organisation_is_not_taken(tenant: Tenant) -> None:
    other = await make_tenant("Other")
    assert await take(other.org_id, await ask(tenant.owner)) is None


async def test_an_answer_is_kept_encrypted_and_once(tenant: Tenant) -> None:
    job_id = await ask(tenant.owner)
    await take(tenant.org_id, job_id)
    for text in ("first-canary", "second"):
        async with get_session(SYSTEM) as session:
            found = AdHocAnswer(result=RowsResult(rows=((text,),)))
            await finish_job(session, job_id, found)
    job = await read(tenant.owner, job_id)
    assert job_state(job) is JobState.SUCCEEDED
    assert "first-canary" not in str(job.result)
    answer = job_answer(job).result
    assert isinstance(answer, RowsResult) and answer.rows == (("first-canary",),)


async def test_a_key_that_was_revoked_or_limited_since_works_no_more(tenant: Tenant) -> None:
    async with get_session(tenant.owner.scope) as session:
        key, plain = await ApiKeyService(session, tenant.owner).create("k", ["connection:query"])
    async with get_session(SYSTEM) as session:
        actor = await actor_for_token(session, plain)
    job = await take(tenant.org_id, await ask(actor))
    assert job is not None
    async with get_session(SYSTEM) as session:
        assert (await who_asked(session, job)).scopes == {"connection:query"}
        await session.execute(update(ApiKey).values(scopes=["run:read"]))
        with pytest.raises(PermissionDenied):
            await who_asked(session, job)
        await session.execute(update(ApiKey).where(ApiKey.id == key.id).values(revoked_at=utcnow()))
        with pytest.raises(AuthenticationError):
            await who_asked(session, job)


async def test_a_job_that_nobody_finishes_is_lost(tenant: Tenant) -> None:
    job_id = await ask(tenant.owner)
    long_ago = utcnow() - dt.timedelta(minutes=20)
    await change(job_id, created_at=long_ago)
    assert job_state(await read(tenant.owner, job_id)) is JobState.FAILED
    await change(job_id, state="running", started_at=long_ago)
    failure = job_answer(await read(tenant.owner, job_id)).failure
    assert failure is not None and failure.code == "job_lost"


async def test_an_organisation_has_so_many_jobs_at_once(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_service, "MAX_OPEN", 2)
    first = await ask(tenant.owner)
    await ask(tenant.owner)
    with pytest.raises(LimitReached):
        await ask(tenant.owner)
    await ask((await make_tenant("Other")).owner)
    await change(first, state="succeeded")
    await ask(tenant.owner)


async def test_an_expired_job_is_gone_for_readers_and_then_deleted(tenant: Tenant) -> None:
    job_id = await ask(tenant.owner)
    await change(job_id, expires_at=utcnow() - dt.timedelta(seconds=1))
    with pytest.raises(NotFound):
        await read(tenant.owner, job_id)
    assert (await delete_old())["jobs"] == 1
    async with get_session(SYSTEM) as session:
        assert await session.scalar(select(func.count(Job.id))) == 0


async def test_roles_decide(tenant: Tenant) -> None:
    viewer = await add_member(tenant.org_id, Role.VIEWER)
    for action in JobAction:
        with pytest.raises(PermissionDenied):
            await ask(viewer, action)
    with pytest.raises(PermissionDenied):
        await read(viewer, await ask(tenant.owner))
