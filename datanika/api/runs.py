"""Runs: look, follow, cancel. Triggering is at ``/pipelines/{id}/runs``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Query

from datanika.api.deps import MAX_ID, PROBLEMS, Id, page_of
from datanika.api.paging import paging
from datanika.api.transaction import TenantRoute, Tx, needs
from datanika.compiler import explain_mermaid, explain_text, plan_warnings
from datanika.contracts.api import LogOut, Page, PlanOut, RunGraphOut, RunOut, RunStepOut
from datanika.contracts.enums import RunState, RunTrigger
from datanika.contracts.plan import Plan
from datanika.contracts.text import Moment
from datanika.services.deployer import cancel_flow_run, submit_next
from datanika.services.paging import PageRequest
from datanika.services.run_graph import build_graph
from datanika.services.run_service import SORTS, RunService

router = APIRouter(prefix="/runs", tags=["runs"], responses=PROBLEMS, route_class=TenantRoute)
Paging = Annotated[PageRequest, paging(SORTS, "-id")]


@router.get("", **needs("run:read"))
async def list_runs(
    tx: Tx,
    page: Paging,
    pipeline_id: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
    state: RunState | None = None,
    trigger: RunTrigger | None = None,
    created_after: Annotated[Moment | None, Query(description="Then or later.")] = None,
    created_before: Annotated[Moment | None, Query(description="Before then.")] = None,
) -> Page[RunOut]:
    """The organisation's runs, the newest first."""
    rows = await RunService(tx.session, tx.actor).list(
        page,
        pipeline_id=pipeline_id,
        state=state,
        trigger=trigger,
        created_after=created_after,
        created_before=created_before,
    )
    return page_of(rows, RunOut)


@router.get("/{run_id}", **needs("run:read"))
async def read_run(run_id: Id, tx: Tx) -> RunOut:
    """One run."""
    return RunOut.model_validate(await RunService(tx.session, tx.actor).get(run_id))


@router.get("/{run_id}/plan", **needs("run:read"))
async def read_run_plan(run_id: Id, tx: Tx) -> PlanOut:
    """What the run does or did: as data, in words, and as a Mermaid graph."""
    run = await RunService(tx.session, tx.actor).get(run_id)
    plan = Plan.model_validate(run.plan)
    return PlanOut(
        plan=plan,
        hash=run.plan_hash,
        text=explain_text(plan, str(run.pipeline_id)),
        mermaid=explain_mermaid(plan),
        warnings=list(plan_warnings(plan)),
    )


@router.get("/{run_id}/graph", **needs("run:read"))
async def read_run_graph(run_id: Id, tx: Tx) -> RunGraphOut:
    """Its steps, tables and dbt nodes, and what reads what: complete before anything ran, laid out
    from left to right."""
    service = RunService(tx.session, tx.actor)
    run = await service.get(run_id)
    graph = build_graph(Plan.model_validate(run.plan), await service.steps(run_id))
    return RunGraphOut.model_validate(graph)


@router.get("/{run_id}/steps", **needs("run:read"))
async def list_run_steps(run_id: Id, tx: Tx) -> Page[RunStepOut]:
    """Its steps, and the tables and dbt nodes inside them."""
    rows = await RunService(tx.session, tx.actor).steps(run_id)
    return Page(items=[RunStepOut.model_validate(row) for row in rows])


@router.get("/{run_id}/logs", **needs("run:read"))
async def list_run_logs(
    run_id: Id,
    tx: Tx,
    after: Annotated[int, Query(ge=0, le=MAX_ID, description="Id of the last line you have.")] = 0,
    limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
) -> Page[LogOut]:
    """Its log lines. ``next_cursor`` is always set: give it as ``after`` to follow the log."""
    rows = await RunService(tx.session, tx.actor).logs(run_id, after_id=after, limit=limit)
    items = [LogOut.model_validate(row) for row in rows]
    return Page(items=items, next_cursor=str(items[-1].id if items else after))


@router.post("/{run_id}/cancel", **needs("run:cancel"))
async def cancel_run(run_id: Id, tx: Tx, later: BackgroundTasks) -> RunOut:
    """Stop it: at once if it waits, within seconds if it runs."""
    run = RunOut.model_validate(await RunService(tx.session, tx.actor).cancel(run_id))
    if run.flow_run_id is not None:
        later.add_task(cancel_flow_run, run.flow_run_id)
    if run.state is RunState.CANCELLED:
        later.add_task(submit_next, tx.actor.org_id)
    return run
