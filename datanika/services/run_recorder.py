"""What the data plane may say about a run: claim it, read its plan and steps, report, finish.

The session is in the run's organisation. An attempt that was superseded is refused with the code
``stale_attempt``: the attempt number is the fence that keeps a zombie from writing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika import security
from datanika.compiler import build_project
from datanika.config import settings
from datanika.contracts.cdc import pipeline_key
from datanika.contracts.enums import RunState, StepKind
from datanika.contracts.events import (
    ColumnBreach,
    RunClaim,
    RunEvent,
    RunFinish,
    StepStarted,
    utcnow,
)
from datanika.contracts.plan import Plan, PlanTransform
from datanika.contracts.steps import ResolvedLoad, ResolvedTransform
from datanika.errors import Conflict, InvalidInput, NotFound
from datanika.models import Run, RunStep
from datanika.services.catalog_service import columns_read
from datanika.services.connection_service import resolve_connection
from datanika.services.cursor_service import load_rewinds
from datanika.services.event_store import BREACHES, store_events
from datanika.services.hash_keys import hash_key
from datanika.services.run_lifecycle import LEASE, close_run, lose_attempt
from datanika.services.run_rows import LEASED_STATES, lock_run, move, reset_steps, state_of
from datanika.services.scheduled_run import Refusal, register_scheduled
from datanika.services.table_owners import owner_name
from datanika.services.transformation_service import load_transformation_specs


async def claim_run(
    session: AsyncSession,
    *,
    org_id: int,
    pipeline_id: int,
    flow_run_id: str,
    run_id: int | None,
    scheduled_for: dt.datetime | None = None,
) -> RunClaim:
    """A worker asks for the run of a flow run. Without ``run_id`` Prefect started it: for the time
    ``scheduled_for``, or because an operator did it by hand.

    ``proceed`` is False when there is nothing to do, with the reason for Prefect's log, and with
    ``start_at`` when it is only too early.
    """
    run: Run | Refusal
    if run_id is None:
        run = await register_scheduled(session, org_id, pipeline_id, flow_run_id, scheduled_for)
    else:
        found = await lock_run(session, run_id)
        if found is None or found.pipeline_id != pipeline_id:
            raise NotFound("There is no such run of this pipeline.", code="run_not_found")
        run = found
    if isinstance(run, Refusal):
        return _refusal(org_id, pipeline_id, 0, 0, run.reason, run.start_at)
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
        # What a skipped one says is ours; another's error may be of the tenant's data.
        skipped = run.state == RunState.SKIPPED.value
        return f"The run is over: {run.state}. {run.error_message if skipped else ''}".strip()
    if run.flow_run_id not in (None, flow_run_id):
        return "Another flow run has this run."
    if state_of(run) is RunState.CANCELLING:
        await close_run(session, run, RunState.CANCELLED)
        return "The run was cancelled."
    if run.attempt >= settings.max_attempts:
        await lose_attempt(session, run, "")
        return "The run has used up its attempts."
    return None


def _refusal(
    org_id: int,
    pipeline_id: int,
    run_id: int,
    attempt: int,
    reason: str,
    start_at: dt.datetime | None = None,
) -> RunClaim:
    return RunClaim(
        run_id=run_id,
        org_id=org_id,
        pipeline_id=pipeline_id,
        attempt=attempt,
        token="",
        proceed=False,
        reason=reason,
        start_at=start_at,
    )


async def _breaches_before(
    session: AsyncSession, org_id: int, plan: Plan, planned: PlanTransform
) -> tuple[ColumnBreach, ...]:
    """Those of tables that this run leaves out because an earlier one loaded them: a retry does not
    hear of them again. What its own loads tell, its flow adds."""
    loads = {(one.run_id, one.step_key, one.node) for one in plan.left_out if one.run_id}
    if not loads:
        return ()
    rows = await session.execute(
        select(RunStep.run_id, RunStep.step_key, RunStep.node, RunStep.details, Run.plan)
        .join(Run, Run.id == RunStep.run_id)
        .where(
            RunStep.org_id == org_id,
            RunStep.kind == "table",
            RunStep.run_id.in_({run_id for run_id, _, _ in loads}),
        )
    )
    found = []
    for run_id, step_key, node, details, before in rows:
        breaches = details.get(BREACHES, ())
        if not breaches or (run_id, step_key, node) not in loads:
            continue
        if Plan.model_validate(before).get(step_key).destination.id == planned.destination.id:
            found += [ColumnBreach.model_validate(breach) for breach in breaches]
    return tuple(one for one in found if one.how in planned.step.blocked_by)


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
            files, production = await self._projects(run, plan, planned, name)
            return ResolvedTransform(
                run_id=run.id,
                attempt=run.attempt,
                step=planned.step,
                destination=destination,
                project_name=name,
                files=files,
                production_schema=planned.production_schema,
                production_files=production,
                done=planned.done,
                breaches=await _breaches_before(self._session, run.org_id, plan, planned),
                owner=await owner_name(self._session, run.org_id),
            )
        return ResolvedLoad(
            run_id=run.id,
            attempt=run.attempt,
            pipeline_key=pipeline_key(run.pipeline_id, step_key),
            step=planned.step,
            source=await resolve_connection(self._session, run.org_id, planned.source.id),
            destination=destination,
            rewinds=await load_rewinds(self._session, run.org_id, run.pipeline_id, step_key),
            full_refresh=planned.full_refresh,
            other_targets=tuple(
                one.name for one in plan.left_out if one.step_key == step_key and one.node
            ),
            interval=planned.interval,
            owner=await owner_name(self._session, run.org_id),
            known_columns=await columns_read(
                self._session,
                run.org_id,
                planned.destination.id,
                planned.step.target_schema,
                [str(table.target) for table in planned.step.tables],
            ),
            hash_key=await hash_key(self._session, run.org_id)
            if any(table.hash for table in planned.step.tables)
            else "",
        )

    async def _projects(
        self, run: Run, plan: Plan, planned: PlanTransform, name: str
    ) -> tuple[dict[str, str], dict[str, str]]:
        """(the project of the step, what differs in the one that builds in production)"""
        specs = await load_transformation_specs(self._session, run.org_id, [planned.destination.id])
        loads = [item.step for item in plan.steps if item.kind is StepKind.LOAD]
        kind, schema = planned.destination.kind, planned.production_schema
        files = build_project(name, planned.step, kind, specs, loads, scratch=schema is not None)
        if schema is None:
            return files, {}
        step = planned.step.model_copy(update={"default_schema": schema})
        there = build_project(name, step, kind, specs, loads)
        return files, {path: text for path, text in there.items() if files.get(path) != text}

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
        if run is None or run.attempt != self._attempt or run.state not in LEASED_STATES:
            raise Conflict(
                "This attempt no longer has the run.",
                code="stale_attempt",
                hint="Stop: what this process does is not wanted any more.",
            )
        return run
