"""The one flow of every tenant pipeline: a dumb loop over the plan."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Crashed, Failed

from datanika.contracts.enums import RunState, StepState
from datanika.contracts.events import Failure, RunFinish, StepFinished
from datanika.contracts.plan import Plan, PlanLoad, PlanTransform
from datanika.errors import DatanikaError
from datanika.execution.run_client import RunClient, StopReason
from datanika.execution.run_session import current_session
from flows.steps import GOOD, StepRuns, run_to_state, skipped_task, step_runs

STOP_SECONDS = 2.0
"""After a stop the engine is killed at once; what takes longer than this only waits."""


@flow(
    name="tenant-pipeline",
    description="Runs the steps of one tenant's pipeline: dlt loads and dbt transforms.",
    persist_result=False,
    log_prints=False,
)
async def tenant_pipeline(org_id: int, pipeline_id: int, run_id: int | None = None) -> State[Any]:
    """The ids are for people who look at Prefect; the claim in the session decides."""
    client = current_session().client
    try:
        plan = await client.plan()
        async with time_limit(client, plan.timeout_seconds):
            result = await run_plan(plan, step_runs(plan))
    except DatanikaError as error:
        failure = Failure(code=error.code, message=error.message, hint=error.hint)
        result = RunFinish(state=RunState.FAILED, failure=failure)
    return await close_run(client, result)


async def run_plan(plan: Plan, runs: StepRuns) -> RunFinish:
    """Every step as soon as its upstream is done; what a failed step feeds is skipped."""
    done: dict[str, asyncio.Task[State[Any]]] = {}
    for planned in plan.steps:
        upstream = [done[key] for key in planned.step.depends_on]
        done[planned.step.key] = asyncio.create_task(_run_after(upstream, planned, runs))
    await asyncio.gather(*done.values())
    outcomes = [runs.outcomes[planned.step.key] for planned in plan.steps]
    client = runs.session.client
    if client.stop_reason is StopReason.TIMED_OUT:
        return RunFinish(state=RunState.FAILED, failure=_run_timeout(plan))
    if client.stopping.is_set():
        return RunFinish(state=RunState.CANCELLED)
    for outcome in outcomes:
        if outcome.state is StepState.FAILED:
            return RunFinish(state=RunState.FAILED, failure=outcome.failure)
    return RunFinish(state=RunState.SUCCEEDED)


async def _run_after(
    upstream: list[asyncio.Task[State[Any]]], planned: PlanLoad | PlanTransform, runs: StepRuns
) -> State[Any]:
    key, client = planned.step.key, runs.session.client
    before = list(await asyncio.gather(*upstream))
    state: State[Any]
    if client.stopping.is_set():
        state = Cancelled()
        runs.outcomes[key] = StepFinished(step_key=key, state=StepState.CANCELLED)
    elif not all(_lets_on(up, planned, runs) for up in planned.step.depends_on):
        state = await run_to_state(skipped_task(key))
        runs.outcomes[key] = StepFinished(step_key=key, state=StepState.SKIPPED)
    else:
        # Prefect would not start a task after one that failed.
        good = [state for state in before if not state.is_failed()]
        state = await _until_stopped(client, run_to_state(runs.as_task(planned), good))
        runs.outcomes.setdefault(key, _never_ran(key))
        if state.is_cancelled() and runs.outcomes[key].state is StepState.FAILED:
            # It was stopped while it waited for its next try.
            runs.outcomes[key] = StepFinished(step_key=key, state=StepState.CANCELLED)
    await client.record(runs.outcomes[key])
    return state


def _lets_on(key: str, planned: PlanLoad | PlanTransform, runs: StepRuns) -> bool:
    """Whether ``planned`` may run after the end of step ``key``."""
    state, upstream = runs.outcomes[key].state, runs.plan.get(key)
    if state is StepState.FAILED and isinstance(upstream, PlanLoad):
        return isinstance(planned, PlanTransform) and runs.breaches.let_on(upstream, planned)
    return state in GOOD


async def _until_stopped(client: RunClient, step: Coroutine[Any, Any, State[Any]]) -> State[Any]:
    """``step``'s end. After a stop it ends itself, unless it sleeps before its next try."""
    running = asyncio.create_task(step)
    stop = asyncio.create_task(client.stopping.wait())
    try:
        await asyncio.wait({running, stop}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({running}, timeout=STOP_SECONDS)
    finally:
        stop.cancel()
        if not running.done():
            running.cancel()
            await asyncio.wait({running})
    return Cancelled() if running.cancelled() else running.result()


@asynccontextmanager
async def time_limit(client: RunClient, seconds: int | None) -> AsyncIterator[None]:
    """Stops the run when it has taken ``seconds``, its earlier attempts included."""
    if seconds is None:
        yield
        return
    left = max(0.0, seconds - client.claim.elapsed_seconds)
    timer = asyncio.get_running_loop().call_later(left, client.stop, StopReason.TIMED_OUT)
    try:
        yield
    finally:
        timer.cancel()


def _run_timeout(plan: Plan) -> Failure:
    return Failure(
        code="run_timeout",
        message=f"The run took longer than its {plan.timeout_seconds} seconds.",
        hint="Do less in one run, or raise the pipeline's timeout_seconds.",
    )


def _never_ran(key: str) -> StepFinished:
    failure = Failure(code="step_not_run", message="Prefect did not run the step.")
    return StepFinished(step_key=key, state=StepState.FAILED, failure=failure)


async def close_run(client: RunClient, result: RunFinish) -> State[Any]:
    """Tell the control plane how the run ended, and Prefect the same in its words."""
    run = f"Run {client.claim.run_id}"
    if client.stop_reason is StopReason.WORKER_GONE:
        # Not the end of the run: the control plane gives it to another worker or fails it.
        return Crashed(message=f"{run} lost its worker.")
    if client.stop_reason is StopReason.SUPERSEDED:
        return Cancelled(message=f"{run} is continued by another attempt.")
    try:
        await client.finish(result)
    except DatanikaError as error:
        return Failed(message=f"{run} could not be closed [{error.code}].")
    if result.state is RunState.SUCCEEDED:
        return Completed(message=f"{run} succeeded.")
    if result.state is RunState.CANCELLED:
        return Cancelled(message=f"{run} was cancelled.")
    code = result.failure.code if result.failure else "unknown"
    return Failed(message=f"{run} failed [{code}].")
