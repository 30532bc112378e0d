"""What workers and flows may ask: the data plane's only door to the control plane.

A worker's token claims runs and starts maintenance; a run's own token, made at the claim, reads
that run's plan and steps and reports on it.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, Request
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from datanika.api.background import run_reconciler
from datanika.api.deps import MAX_ID, Id, bearer_token
from datanika.api.problems import invalid_request
from datanika.contracts.base import Contract
from datanika.contracts.events import RunClaim, RunEvent, RunFinish
from datanika.contracts.plan import Plan
from datanika.contracts.steps import ResolvedStep
from datanika.contracts.text import Moment
from datanika.db import TenantScope, get_session
from datanika.errors import AuthenticationError, PermissionDenied
from datanika.security import RunToken, check_worker_token, read_run_token
from datanika.services.deployer import submit_next, submit_run
from datanika.services.orphans import sweep_orphans
from datanika.services.reconciler import report_crash
from datanika.services.retention import delete_old
from datanika.services.run_recorder import RunRecorder, claim_run

router = APIRouter(prefix="/internal/v1", include_in_schema=False)


class ClaimIn(Contract):
    flow_run_id: str = Field(min_length=1, max_length=36)
    org_id: int = Field(ge=1, le=MAX_ID)
    pipeline_id: int = Field(ge=1, le=MAX_ID)
    run_id: int | None = Field(default=None, ge=1, le=MAX_ID)
    scheduled_for: Moment | None = None


class EventsIn(Contract):
    events: tuple[RunEvent, ...] = Field(max_length=5000)


class EventsOut(BaseModel):
    cancel_requested: bool


class CrashIn(Contract):
    message: str = Field(max_length=20_000)


_events = TypeAdapter(EventsIn)
_finish = TypeAdapter(RunFinish)


def worker(request: Request) -> None:
    """Refuse whoever does not show the workers' token."""
    token = bearer_token(request)
    if token is None:
        raise AuthenticationError("This needs the worker's token.", code="worker_token_missing")
    check_worker_token(token)


def run_of_token(run_id: Id, request: Request) -> RunToken:
    """The run token of the request, which must be of the run in the path."""
    token = bearer_token(request)
    if token is None:
        raise AuthenticationError("This needs the run's token.", code="run_token_missing")
    run = read_run_token(token)
    if run.run_id != run_id:
        raise PermissionDenied("This token is of another run.", code="run_token_of_another_run")
    return run


OwnRun = Annotated[RunToken, Depends(run_of_token)]


async def read_body[T](request: Request, adapter: TypeAdapter[T]) -> T:
    """The request's body. A NUL, which PostgreSQL's text and jsonb refuse, becomes U+FFFD."""
    body = (await request.body()).replace(b"\\u0000", b"\\ufffd")
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        raise invalid_request(error.errors()) from None


@router.post("/claims", dependencies=[Depends(worker)])
async def claim(body: ClaimIn) -> RunClaim:
    async with get_session(TenantScope(body.org_id)) as session:
        return await claim_run(
            session,
            org_id=body.org_id,
            pipeline_id=body.pipeline_id,
            flow_run_id=body.flow_run_id,
            run_id=body.run_id,
            scheduled_for=body.scheduled_for,
        )


@router.get("/runs/{run_id}/plan")
async def read_plan(token: OwnRun) -> Plan:
    async with get_session(TenantScope(token.org_id)) as session:
        return await RunRecorder(session, token.run_id, token.attempt).plan()


@router.get("/runs/{run_id}/steps/{key}")
async def read_step(key: str, token: OwnRun) -> ResolvedStep:
    async with get_session(TenantScope(token.org_id)) as session:
        return await RunRecorder(session, token.run_id, token.attempt).resolve(key)


@router.post("/runs/{run_id}/events")
async def record_events(request: Request, token: OwnRun) -> EventsOut:
    batch = await read_body(request, _events)
    async with get_session(TenantScope(token.org_id)) as session:
        recorder = RunRecorder(session, token.run_id, token.attempt)
        return EventsOut(cancel_requested=await recorder.record(batch.events))


@router.post("/runs/{run_id}/finish")
async def finish(request: Request, token: OwnRun, later: BackgroundTasks) -> dict[str, Any]:
    result = await read_body(request, _finish)
    async with get_session(TenantScope(token.org_id)) as session:
        await RunRecorder(session, token.run_id, token.attempt).finish(result)
    later.add_task(submit_next, token.org_id)
    return {}


@router.post("/runs/by-flow-run/{flow_run_id}/crashed", dependencies=[Depends(worker)])
async def crashed(flow_run_id: str, body: CrashIn, later: BackgroundTasks) -> dict[str, Any]:
    run_id = await report_crash(flow_run_id, body.message)
    if run_id is not None:
        later.add_task(submit_run, run_id)
    return {"run_id": run_id}


@router.post("/maintenance/reconcile", dependencies=[Depends(worker)])
async def reconcile_now() -> dict[str, int]:
    return await run_reconciler()


@router.post("/maintenance/sweep", dependencies=[Depends(worker)])
async def sweep() -> dict[str, int]:
    return await sweep_orphans()


@router.post("/maintenance/retention", dependencies=[Depends(worker)])
async def retention() -> dict[str, int]:
    return await delete_old()
