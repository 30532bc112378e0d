"""Starting a run. Not one transaction: a caller that waits for the end must not hold one open."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Header, Query, Response, status

from datanika.api.deps import PROBLEMS, Id
from datanika.api.transaction import ActorRoute, Caller, needs
from datanika.contracts.api import RetryIn, RunOut, TriggerIn
from datanika.db import get_session
from datanika.services.deployer import submit_run
from datanika.services.run_service import RunService

router = APIRouter(tags=["runs"], responses=PROBLEMS, route_class=ActorRoute)

MAX_WAIT_SECONDS = 300
POLL_SECONDS = 0.2


class RunStarter:
    """Submits a run that was accepted, and waits for its end if asked to."""

    def __init__(
        self,
        response: Response,
        later: BackgroundTasks,
        actor: Caller,
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
    ) -> None:
        self.response, self.later, self.actor, self.wait = response, later, actor, wait
        new = f"api-{secrets.token_hex(16)}"
        self.key = new if idempotency_key is None else idempotency_key

    async def start(self, run: RunOut) -> RunOut:
        """The run as it is at the end of the wait; its row is committed."""
        self.response.headers["Location"] = f"/api/v1/runs/{run.id}"
        if not self.wait:
            self.later.add_task(submit_run, run.id)
            return run
        await submit_run(run.id)
        deadline = time.monotonic() + self.wait
        while True:
            async with get_session(self.actor.scope) as session:
                # Not get(): a key that may trigger need not be able to read runs.
                found = await RunService(session, self.actor).find(run.id)
                run = RunOut.model_validate(found)
            if run.state.is_final or time.monotonic() > deadline:
                return run
            await asyncio.sleep(POLL_SECONDS)


Starter = Annotated[RunStarter, Depends()]


@router.post(
    "/pipelines/{pipeline_id}/runs",
    status_code=status.HTTP_202_ACCEPTED,
    **needs("run:trigger"),
)
async def trigger_run(pipeline_id: Id, starter: Starter, body: TriggerIn | None = None) -> RunOut:
    """Accept a run. It starts in about a second, or when Prefect is back, or when what the
    pipeline depends on is fresh."""
    asked = body or TriggerIn()
    async with get_session(starter.actor.scope) as session:
        service = RunService(session, starter.actor)
        run = RunOut.model_validate(
            await service.trigger(
                pipeline_id,
                starter.key,
                ignore_dependencies=asked.ignore_dependencies,
                overrides=asked.overrides(),
            )
        )
    return await starter.start(run)


@router.post("/runs/{run_id}/retry", status_code=status.HTTP_202_ACCEPTED, **needs("run:trigger"))
async def retry_run(run_id: Id, starter: Starter, body: RetryIn | None = None) -> RunOut:
    """Accept a new run of what did not succeed. Only of a run that is over and failed, or was
    cancelled or skipped."""
    asked = body or RetryIn()
    async with get_session(starter.actor.scope) as session:
        service = RunService(session, starter.actor)
        run = RunOut.model_validate(
            await service.retry(run_id, starter.key, from_failure=asked.from_failure)
        )
    return await starter.start(run)
