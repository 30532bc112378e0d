"""Runs: look, follow, cancel. Triggering is at ``/pipelines/{id}/runs``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Query

from datanika.api.deps import MAX_ID, PROBLEMS, Before, Caller, Id, Limit, make_page
from datanika.contracts.api import LogOut, Page, RunOut, RunStepOut
from datanika.contracts.enums import RunState
from datanika.db import get_session
from datanika.services.deployer import cancel_flow_run, submit_next
from datanika.services.run_service import RunService

router = APIRouter(prefix="/runs", tags=["runs"], responses=PROBLEMS)


@router.get("")
async def list_runs(
    actor: Caller,
    cursor: Before = None,
    limit: Limit = 50,
    pipeline_id: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
    state: RunState | None = None,
) -> Page[RunOut]:
    """The organisation's runs, the newest first."""
    async with get_session(actor.scope) as session:
        rows = await RunService(session, actor).list(
            limit=limit + 1, before_id=cursor, pipeline_id=pipeline_id, state=state
        )
        return make_page(rows, limit, RunOut.model_validate)


@router.get("/{run_id}")
async def read_run(run_id: Id, actor: Caller) -> RunOut:
    """One run."""
    async with get_session(actor.scope) as session:
        return RunOut.model_validate(await RunService(session, actor).get(run_id))


@router.get("/{run_id}/steps")
async def list_run_steps(run_id: Id, actor: Caller) -> Page[RunStepOut]:
    """Its steps, and the tables and dbt nodes inside them."""
    async with get_session(actor.scope) as session:
        rows = await RunService(session, actor).steps(run_id)
        return Page(items=[RunStepOut.model_validate(row) for row in rows])


@router.get("/{run_id}/logs")
async def list_run_logs(
    run_id: Id,
    actor: Caller,
    after: Annotated[int, Query(ge=0, le=MAX_ID, description="Id of the last line you have.")] = 0,
    limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
) -> Page[LogOut]:
    """Its log lines. ``next_cursor`` is always set: give it as ``after`` to follow the log."""
    async with get_session(actor.scope) as session:
        rows = await RunService(session, actor).logs(run_id, after_id=after, limit=limit)
        items = [LogOut.model_validate(row) for row in rows]
    return Page(items=items, next_cursor=str(items[-1].id if items else after))


@router.post("/{run_id}/cancel")
async def cancel_run(run_id: Id, actor: Caller, later: BackgroundTasks) -> RunOut:
    """Stop it: at once if it waits, within seconds if it runs."""
    async with get_session(actor.scope) as session:
        run = RunOut.model_validate(await RunService(session, actor).cancel(run_id))
    if run.flow_run_id is not None:
        later.add_task(cancel_flow_run, run.flow_run_id)
    if run.state is RunState.CANCELLED:
        later.add_task(submit_next, run.pipeline_id)
    return run
