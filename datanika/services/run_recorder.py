"""What the data plane may say about a run: claim it, read its plan and steps, report, finish.

The session is in the run's organisation. An attempt that was superseded is refused with the code
``stale_attempt``: the attempt number is the fence that keeps a zombie from writing.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika import security
from datanika.compiler import build_project
from datanika.config import settings
from datanika.contracts.enums import RunState, RunTrigger, StepKind
from datanika.contracts.events import Failure, RunClaim, RunEvent, RunFinish, StepStarted, utcnow
from datanika.contracts.plan import Plan, PlanTransform
from datanika.contracts.steps import ResolvedLoad, ResolvedTransform
from datanika.errors import Conflict, DatanikaError, InvalidInput, NotFound
from datanika.models import Organization, Pipeline, PipelineVersion, Run
from datanika.services.audit_service import SystemActor, record
from datanika.services.connection_service import resolve_connection
from datanika.services.cursor_service import load_rewinds
from datanika.services.event_store import store_events
from datanika.services.freshness import wait_deadline
from datanika.services.limits import reason_not_to_run
from datanika.services.pipeline_service import compile_version
from datanika.services.run_lifecycle import (
    FINAL_STATES,
    LEASE,
    add_steps,
    close_run,
    lock_run,
    lose_attempt,
    move,
    reset_steps,
    state_of,
)
from datanika.services.run_queue import has_room
from datanika.services.transformation_service import load_transformation_specs

WAITS = "The organisation has as many runs as it may: this one starts when another ends."
WAITS_FOR_UPSTREAM = "What the pipeline depends on is not fresh: this run starts when it is."


async def claim_run(
    session: AsyncSession, *, org_id: int, pipeline_id: int, flow_run_id: str, run_id: int | None
) -> RunClaim:
    """A worker asks for the run of a flow run. Without ``run_id`` Prefect's schedule started it.

    ``proceed`` is False when there is nothing to do, with the reason for Prefect's log.
    """
    run: Run | str
    if run_id is None:
        run = await _scheduled_run(session, org_id, pipeline_id, flow_run_id)
    else:
        found = await lock_run(session, run_id)
        if found is None or found.pipeline_id != pipeline_id:
            raise NotFound("There is no such run of this pipeline.", code="run_not_found")
        run = found
    if isinstance(run, str):
        return _refusal(org_id, pipeline_id, 0, 0, run)
    reason = await _why_not(session, run, flow_run_id)
    if reason is not None:
        return _refusal(org_id, pipeline_id, run.id, run.attempt, reason)
    if state_of(run) is not RunState.QUEUED:
        await reset_steps(session, run)
    move(run, RunState.STARTING)
    run.attempt += 1
    run.flow_run_id = flow_run_id
    run.started_at = run.started_at or utcnow()
    run.lease_expires_at = utcnow() + LEASE
    return RunClaim(
        run_id=run.id,
        org_id=org_id,
        pipeline_id=pipeline_id,
        attempt=run.attempt,
        token=security.create_run_token(run.id, org_id, run.attempt),
        elapsed_seconds=(utcnow() - run.started_at).total_seconds(),
    )


async def _why_not(session: AsyncSession, run: Run, flow_run_id: str) -> str | None:
    """Why the run may not start now; closes it when that is the answer."""
    if state_of(run).is_final:
        return f"The run is over: {run.state}."
    if run.flow_run_id not in (None, flow_run_id):
        return "Another flow run has this run."
    if state_of(run) is RunState.CANCELLING:
        await close_run(session, run, RunState.CANCELLED)
        return "The run was cancelled."
    if run.attempt >= settings.max_attempts:
        await lose_attempt(session, run, "")
        return "The run has used up its attempts."
    return None


def _refusal(org_id: int, pipeline_id: int, run_id: int, attempt: int, reason: str) -> RunClaim:
    return RunClaim(
        run_id=run_id,
        org_id=org_id,
        pipeline_id=pipeline_id,
        attempt=attempt,
        token="",
        proceed=False,
        reason=reason,
    )


async def _scheduled_run(
    session: AsyncSession, org_id: int, pipeline_id: int, flow_run_id: str
) -> Run | str:
    """The row of a run that Prefect's schedule started, or why there is none."""
    # The lock makes two flow runs of one pipeline register one after the other.
    query = select(Pipeline).where(Pipeline.id == pipeline_id).with_for_update(key_share=True)
    pipeline = await session.scalar(query)
    key = f"flow-run-{flow_run_id}"
    known = await session.scalar(
        select(Run.id).where(Run.pipeline_id == pipeline_id, Run.idempotency_key == key)
    )
    if known is not None:
        found = await lock_run(session, known)
        if found is None:
            return "The run was deleted."
        if found.state == RunState.QUEUED.value and found.flow_run_id is None:
            return WAITS if found.waits_until is None else WAITS_FOR_UPSTREAM
        return found
    organization = await session.get(Organization, org_id)
    if organization is None or organization.deleted_at is not None:
        return "The organisation was deleted."
    if pipeline is None or pipeline.deleted_at is not None:
        return "The pipeline was deleted."
    if pipeline.is_paused:
        return "The pipeline is paused."
    version = await session.get(PipelineVersion, pipeline.current_version_id)
    if version is None:
        return "The pipeline has no specification."
    run = Run(
        org_id=org_id,
        pipeline_id=pipeline_id,
        pipeline_version_id=version.id,
        state=RunState.QUEUED.value,
        trigger=RunTrigger.SCHEDULE.value,
        idempotency_key=key,
        flow_run_id=flow_run_id,
    )
    try:
        plan, failure = await compile_version(session, org_id, version), None
    except DatanikaError as error:
        plan = Plan(steps=(), stages=())
        failure = Failure(code=error.code, message=error.message, hint=error.hint)
    run.plan, run.plan_hash = plan.model_dump(mode="json"), plan.hash
    running = await session.scalar(
        select(func.min(Run.id)).where(
            Run.pipeline_id == pipeline_id, Run.state.not_in(FINAL_STATES)
        )
    )
    if failure is None:
        target, failure = RunState.SKIPPED, await reason_not_to_run(session, org_id)
    else:
        target = RunState.FAILED
    if failure is None and running is not None:
        failure = Failure(
            code="overlap",
            message=f"Run {running} of this pipeline was not over yet.",
            hint="Schedule it less often, or make it faster.",
        )
    if failure is None:
        run.waits_until = await wait_deadline(session, org_id, pipeline_id)
    stale = run.waits_until is not None
    waits = stale or (failure is None and not await has_room(session, org_id))
    if waits:
        run.flow_run_id = None
    session.add(run)
    await session.flush()
    add_steps(session, run, plan)
    await session.flush()
    if failure is not None:
        await close_run(session, run, target, failure)
    await record(
        session,
        SystemActor(org_id, "scheduler"),
        "run.triggered",
        "run",
        run.id,
        new={"pipeline_id": pipeline_id, "trigger": run.trigger},
    )
    if waits:
        return WAITS_FOR_UPSTREAM if stale else WAITS
    return run


class RunRecorder:
    """One attempt's view of its run. Every method refuses a stale attempt."""

    def __init__(self, session: AsyncSession, run_id: int, attempt: int) -> None:
        self._session = session
        self._run_id = run_id
        self._attempt = attempt

    async def plan(self) -> Plan:
        """The plan the run was accepted with."""
        return Plan.model_validate((await self._live_run()).plan)

    async def resolve(self, step_key: str) -> ResolvedLoad | ResolvedTransform:
        """One step with the credentials it needs, and for dbt with its project's files."""
        run = await self._live_run()
        plan = Plan.model_validate(run.plan)
        try:
            planned = plan.get(step_key)
        except KeyError:
            raise NotFound("The plan has no such step.", code="step_not_found") from None
        destination = await resolve_connection(self._session, run.org_id, planned.destination.id)
        if isinstance(planned, PlanTransform):
            name = f"org{run.org_id}"
            return ResolvedTransform(
                run_id=run.id,
                attempt=run.attempt,
                step=planned.step,
                destination=destination,
                project_name=name,
                files=build_project(
                    name,
                    planned.step,
                    planned.destination.kind,
                    await load_transformation_specs(
                        self._session, run.org_id, [planned.destination.id]
                    ),
                    [item.step for item in plan.steps if item.kind is StepKind.LOAD],
                ),
                done=planned.done,
            )
        return ResolvedLoad(
            run_id=run.id,
            attempt=run.attempt,
            pipeline_key=f"p{run.pipeline_id}_{step_key}",
            step=planned.step,
            source=await resolve_connection(self._session, run.org_id, planned.source.id),
            destination=destination,
            rewinds=await load_rewinds(self._session, run.org_id, run.pipeline_id, step_key),
            full_refresh=planned.full_refresh,
            interval=planned.interval,
        )

    async def record(self, events: Sequence[RunEvent]) -> bool:
        """Store a batch and renew the lease; whether the run should stop.

        An empty batch is a heartbeat.
        """
        run = await self._live_run()
        if state_of(run) is RunState.STARTING and any(
            isinstance(event, StepStarted) for event in events
        ):
            move(run, RunState.RUNNING)
        if events:
            await store_events(self._session, run, events)
        if run.lease_expires_at is None or run.lease_expires_at < utcnow() + LEASE * 0.8:
            # Heartbeats come far more often than the lease needs them.
            run.lease_expires_at = utcnow() + LEASE
        return state_of(run) is RunState.CANCELLING

    async def finish(self, result: RunFinish) -> None:
        """Close the run as the flow saw it end. Saying it twice is fine."""
        if not result.state.is_final:
            raise InvalidInput(f"{result.state} is not an end.", field="state")
        run = await lock_run(self._session, self._run_id)
        repeated = (
            run is not None
            and run.attempt == self._attempt
            and run.state == result.state.value
            and run.error_code != "run_lost"
        )
        if run is None or not repeated:
            run = await self._live_run()
            await close_run(self._session, run, result.state, result.failure)

    async def _live_run(self) -> Run:
        run = await lock_run(self._session, self._run_id)
        if run is None or run.attempt != self._attempt or state_of(run) not in _OWNED:
            raise Conflict(
                "This attempt no longer has the run.",
                code="stale_attempt",
                hint="Stop: what this process does is not wanted any more.",
            )
        return run


_OWNED = (RunState.STARTING, RunState.RUNNING, RunState.CANCELLING)
