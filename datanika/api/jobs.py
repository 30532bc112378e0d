"""Ad hoc jobs: a connection test, and how a job is doing. Celery does them; see ``tasks``."""

from __future__ import annotations

import asyncio
import secrets
from functools import cache
from typing import Any

from celery import Celery
from celery.exceptions import CeleryError
from fastapi import APIRouter, status
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from datanika.api.deps import PROBLEMS, Id
from datanika.api.transaction import TenantRoute, Tx, needs
from datanika.config import settings
from datanika.contracts.api import JobOut
from datanika.contracts.jobs import CELERY, TEST_CONNECTION
from datanika.errors import NotFound, Unavailable
from datanika.services.connection_service import ConnectionService

router = APIRouter(tags=["jobs"], responses=PROBLEMS, route_class=TenantRoute)

PATIENCE = 3
"""Seconds for Redis to answer."""
ACCEPTED = "ACCEPTED"
_STATES = {ACCEPTED: "pending", "STARTED": "running", "SUCCESS": "succeeded"}


@router.post(
    "/connections/{connection_id}/test",
    status_code=status.HTTP_202_ACCEPTED,
    **needs("connection:test"),
)
async def test_connection(connection_id: Id, tx: Tx) -> JobOut:
    """Try the connection with its credentials; ask ``/jobs/{id}`` for the result."""
    actor = tx.actor
    await ConnectionService(tx.session, actor).find(connection_id)
    job_id = f"{actor.org_id}-{secrets.token_hex(12)}"
    arguments = (actor.org_id, actor.user_id, connection_id)
    await _reach_redis(_send, job_id, TEST_CONNECTION, arguments)
    return JobOut(id=job_id, state="pending")


@router.get("/jobs/{job_id}", **needs("connection:test"))
async def read_job(job_id: str, tx: Tx) -> JobOut:
    """How a job is doing. Results are kept for an hour."""
    state, result = "PENDING", None
    if job_id.startswith(f"{tx.actor.org_id}-"):
        state, result = await _reach_redis(_look, job_id)
    # Celery calls pending what it has never heard of.
    if state == "PENDING":
        raise NotFound("There is no such job, or it ended long ago.", code="job_not_found")
    known = result if isinstance(result, dict) else None
    return JobOut(id=job_id, state=_STATES.get(state, "failed"), result=known)


@cache
def _celery(url: str) -> Celery:
    app = Celery("datanika", broker=url, backend=url, set_as_current=False)
    # Redis away: the request says so at once instead of waiting for it.
    patience = {"socket_connect_timeout": PATIENCE, "socket_timeout": PATIENCE}
    app.conf.update(
        CELERY,
        broker_transport_options=patience,
        redis_socket_connect_timeout=PATIENCE,
        redis_socket_timeout=PATIENCE,
        result_backend_always_retry=False,
        result_backend_transport_options={"retry_policy": {"max_retries": 1}},
    )
    return app


def _send(job_id: str, name: str, arguments: tuple[int, ...]) -> None:
    celery = _celery(settings.require("redis_url"))
    celery.backend.store_result(job_id, None, ACCEPTED)
    celery.send_task(name, args=arguments, task_id=job_id, retry=False)


def _look(job_id: str) -> tuple[str, Any]:
    result = _celery(settings.require("redis_url")).AsyncResult(job_id)
    return result.state, result.result


async def _reach_redis(call: Any, *arguments: Any) -> Any:
    try:
        return await asyncio.to_thread(call, *arguments)
    except (RedisError, KombuError, CeleryError, OSError):
        raise Unavailable(
            "Ad hoc jobs are not available now.",
            code="jobs_unavailable",
            hint="Redis does not answer. Pipelines run without it.",
        ) from None
