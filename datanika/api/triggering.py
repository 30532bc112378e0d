"""Starting a run. Not one transaction: a caller that waits for the end must not hold one open."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Header, Query, Request, Response, status

from datanika.api.deps import PROBLEMS, Id
from datanika.api.transaction import needs, tenant_transaction
from datanika.contracts.api import RunOut
from datanika.contracts.enums import RunState
from datanika.db import get_session
from datanika.services.actor import Actor
from datanika.services.deployer import submit_run
from datanika.services.run_service import RunService

router = APIRouter(prefix="/pipelines", tags=["runs"], responses=PROBLEMS)

MAX_WAIT_SECONDS = 300
POLL_SECONDS = 0.2


@router.post("/{pipeline_id}/runs", status_code=status.HTTP_202_ACCEPTED, **needs("run:trigger"))
async def trigger_run(
    pipeline_id: Id,
    request: Request,
    response: Response,
    later: BackgroundTasks,
    idempotency_key: Annotated[
        str | None, Header(description="The same key never makes a second run.")
    ] = None,
    wait: Annotated[
        float,
        Query(
            ge=0,
            le=MAX_WAIT_SECONDS,
            description="Answer when it is over, or after so many seconds.",
        ),
    ] = 0,
) -> RunOut:
    """Accept a run. It starts in about a second, or when Prefect is back."""
    key = idempotency_key or f"api-{secrets.token_hex(16)}"
    async with tenant_transaction(request) as tx:
        run = RunOut.model_validate(
            await RunService(tx.session, tx.actor).trigger(pipeline_id, key)
        )
    response.headers["Location"] = f"/api/v1/runs/{run.id}"
    if not wait:
        later.add_task(submit_run, run.id)
        return run
    await submit_run(run.id)
    return await _wait_for(tx.actor, run.id, wait)


async def _wait_for(actor: Actor, run_id: int, seconds: float) -> RunOut:
    deadline = time.monotonic() + seconds
    while True:
        async with get_session(actor.scope) as session:
            run = RunOut.model_validate(await RunService(session, actor).find(run_id))
        if RunState(run.state).is_final or time.monotonic() > deadline:
            return run
        await asyncio.sleep(POLL_SECONDS)
