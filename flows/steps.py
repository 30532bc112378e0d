"""A plan step as a Prefect task, and the tables and dbt nodes inside it as its child tasks.

Prefect learns ids, names of steps, tables and models, states and error codes. It never learns a
message, a value or a credential: those go to the control plane only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import anyio
from prefect import Task, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import Cancelled, Completed, Failed
from prefect.task_engine import run_task_async

from datanika.contracts.enums import LogLevel, StepState
from datanika.contracts.events import (
    Failure,
    LogLine,
    NodeFinished,
    NodeStarted,
    RunEvent,
    StepFinished,
    StepStarted,
)
from datanika.contracts.plan import Plan, PlanLoad, PlanTransform
from datanika.contracts.spec import RetryPolicy
from datanika.contracts.steps import ResolvedStep, ResolvedTransform
from datanika.errors import DatanikaError, StepError
from datanika.execution.run_session import RunSession, current_session
from flows.breaches import RunBreaches

SEE_RUN = "The run's page in Datanika has the message."
GOOD = frozenset({StepState.SUCCEEDED, StepState.WARNED})
PREFECT_MARGIN_SECONDS = 60
"""The step's own timeout cleans up and explains itself; Prefect's is the net below it."""
MAX_DELAY_SECONDS = 3600.0
JITTER = 0.3
"""Prefect draws each wait from within this part of it, so that runs that failed together do not
come back together."""


class StepFailed(Exception):
    """A failure as Prefect may see it: the code, and whether a retry may help."""

    def __init__(self, code: str, *, transient: bool) -> None:
        super().__init__(f"[{code}] {SEE_RUN}")
        self.transient = transient


class StepRuns:
    """The steps of one run: how often each was tried, and how its last try ended."""

    def __init__(self, session: RunSession, plan: Plan) -> None:
        self.session, self.plan = session, plan
        self.breaches = RunBreaches()
        self.tries: dict[str, int] = {}
        self.outcomes: dict[str, StepFinished] = {}

    def as_task(self, planned: PlanLoad | PlanTransform) -> Task[[], Any]:
        """The Prefect task that runs this step with the plan's retries, delay and timeout."""
        key, retry = planned.step.key, planned.step.retry

        @task(
            name=key,
            task_run_name=lambda: key,
            retries=retry.retries,
            retry_delay_seconds=retry_delays(retry),
            retry_jitter_factor=JITTER,
            retry_condition_fn=may_pass,
            timeout_seconds=retry.timeout_seconds + PREFECT_MARGIN_SECONDS,
            persist_result=False,
            cache_policy=NO_CACHE,
            log_prints=False,
        )
        async def run_step() -> State[Any]:
            self.tries[key] = self.tries.get(key, 0) + 1
            outcome = await self._attempt(key, retry.timeout_seconds)
            self.outcomes[key] = outcome
            log_to_prefect(key, outcome.state, outcome.rows, outcome.failure)
            if outcome.state is StepState.FAILED:
                failure = outcome.failure or _UNKNOWN
                raise StepFailed(failure.code, transient=failure.transient)
            return prefect_state(outcome.state)

        return run_step

    async def _attempt(self, key: str, timeout_seconds: float) -> StepFinished:
        """One try of one step, to its end whatever happens."""
        client, tried = self.session.client, self.tries[key]
        if tried > 1 and (last := self.outcomes[key].failure) is not None:
            message = f"Try {tried - 1} failed [{last.code}]: {last.message} Trying again."
            await client.record(LogLine(step_key=key, level=LogLevel.WARNING, message=message))
        await client.record(StepStarted(step_key=key, attempt=tried))
        nodes = NodeRuns(key, self.session)
        self.breaches.begin(key)
        work = asyncio.create_task(self._work(key, timeout_seconds, nodes))
        stop = asyncio.create_task(client.stopping.wait())
        outcome: StepFinished | None = None
        try:
            await asyncio.wait(
                {work, stop}, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if work.done():
                outcome = work.result()
            elif stop.done():
                outcome = StepFinished(step_key=key, state=StepState.CANCELLED)
            else:
                outcome = _failed(key, _timeout(timeout_seconds))
        finally:
            # Prefect's timeout cancels over and over: the engine must be dead before we go.
            with anyio.CancelScope(shield=True):
                for running in (work, stop):
                    running.cancel()
                await asyncio.wait({work, stop})
                await nodes.close(outcome.state if outcome else StepState.FAILED)
        return outcome

    async def _work(self, key: str, timeout_seconds: float, nodes: NodeRuns) -> StepFinished:
        try:
            resolved = await self._resolve(key)
            events = self.session.host.run(
                resolved, timeout_seconds=timeout_seconds, limits=self.session.limits
            )
            async with aclosing(events) as stream:  # type: ignore[type-var]
                async for event in stream:
                    if isinstance(event, StepFinished):
                        return event
                    if isinstance(event, NodeFinished):
                        self.breaches.note(event)
                    if not isinstance(event, StepStarted):
                        await nodes.follow(event)
        except StepError as error:
            return _failed(key, _explain(error, transient=error.transient))
        except DatanikaError as error:
            return _failed(key, _explain(error, transient=False))
        except Exception as error:
            # Its text may quote credentials: only its type leaves this process.
            code = f"internal.{type(error).__name__}"
            message = "The step ended because of an error inside Datanika."
            return _failed(key, Failure(code=code, message=message))
        return _failed(key, _UNKNOWN)

    async def _resolve(self, key: str) -> ResolvedStep:
        """The step with its credentials, and what the loads before it told."""
        resolved, planned = await self.session.client.resolve(key), self.plan.get(key)
        if isinstance(resolved, ResolvedTransform) and isinstance(planned, PlanTransform):
            told = self.breaches.of(self.plan, planned)
            return resolved.model_copy(update={"breaches": (*resolved.breaches, *told)})
        return resolved


class NodeRuns:
    """The tables and dbt nodes of one step: a child task run each, driven by their events."""

    def __init__(self, step_key: str, session: RunSession) -> None:
        self._step_key = step_key
        self._client = session.client
        self._open: dict[str, tuple[NodeStarted, asyncio.Future[NodeFinished]]] = {}
        self._tasks: list[asyncio.Task[Any]] = []

    async def follow(self, event: RunEvent) -> None:
        """Pass an event on, and let it start or finish its node's task run."""
        if isinstance(event, NodeStarted):
            self._start(event)
        elif isinstance(event, NodeFinished):
            if event.node not in self._open:
                self._start(
                    NodeStarted(
                        step_key=event.step_key,
                        node=event.node,
                        name=event.name,
                        resource_type=event.resource_type,
                    )
                )
            self._open.pop(event.node)[1].set_result(event)
        await self._client.record(event)

    async def close(self, state: StepState) -> None:
        """End what the engine left open: it stopped, or was stopped, in the middle."""
        ended = StepState.CANCELLED if state is StepState.CANCELLED else StepState.FAILED
        for started, outcome in self._open.values():
            event = NodeFinished(
                step_key=self._step_key,
                node=started.node,
                name=started.name,
                resource_type=started.resource_type,
                state=ended,
            )
            outcome.set_result(event)
            await self._client.record(event)
        self._open.clear()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _start(self, event: NodeStarted) -> None:
        if event.node in self._open:
            return
        outcome: asyncio.Future[NodeFinished] = asyncio.get_running_loop().create_future()
        self._open[event.node] = (event, outcome)
        self._tasks.append(asyncio.create_task(_node_task(event.name, outcome)))


async def _node_task(name: str, outcome: asyncio.Future[NodeFinished]) -> None:
    @task(
        name=name,
        task_run_name=lambda: name,
        persist_result=False,
        cache_policy=NO_CACHE,
        log_prints=False,
    )
    async def run_node() -> State[Any]:
        ended = await outcome
        log_to_prefect(name, ended.state, ended.rows, ended.failure)
        code = f"[{ended.failure.code}] {SEE_RUN}" if ended.failure else None
        return prefect_state(ended.state, code)

    await run_to_state(run_node)


def log_to_prefect(name: str, state: StepState, rows: int | None, failure: Failure | None) -> None:
    """One line for operators: what ended, how, with how many rows. Never a message or a value."""
    counted = "" if rows is None else f", {rows:,} rows"
    code = "" if failure is None else f" [{failure.code}]"
    level = logging.INFO if state in GOOD else logging.WARNING
    get_run_logger().log(level, "%s %s%s%s", name, state, counted, code)


async def run_to_state(
    step: Task[[], Any], wait_for: Sequence[State[Any]] | None = None
) -> State[Any]:
    """Run a task here and now; its final state, a failed one included."""
    state: State[Any] = await run_task_async(step, wait_for=wait_for, return_type="state")  # type: ignore[assignment]
    return state


def prefect_state(state: StepState, message: str | None = None) -> State[Any]:
    """How Prefect shows the end of a step or node."""
    if state is StepState.SUCCEEDED:
        return Completed(message=message)
    if state is StepState.WARNED:
        return Completed(name="Warned", message=message)
    if state is StepState.SKIPPED:
        return Cancelled(name="Skipped", message=message)
    if state is StepState.CANCELLED:
        return Cancelled(message=message)
    return Failed(message=message or SEE_RUN)


def may_pass(_task: Task[..., Any], _task_run: TaskRun, state: State[Any]) -> bool:
    """Prefect's retry condition: only what may pass by itself is tried again."""
    return isinstance(state.data, StepFailed) and state.data.transient


def retry_delays(retry: RetryPolicy) -> list[float]:
    """The wait before each retry, in seconds and before chance has its part."""
    return [
        min(retry.delay_seconds * retry.backoff**number, MAX_DELAY_SECONDS)
        for number in range(retry.retries)
    ]


def skipped_task(key: str) -> Task[[], Any]:
    """The task run of a step that is not run because of its upstream."""

    @task(name=key, task_run_name=lambda: key, persist_result=False, cache_policy=NO_CACHE)
    async def skip_step() -> State[Any]:
        return prefect_state(StepState.SKIPPED, "A step that it depends on did not succeed.")

    return skip_step


def step_runs(plan: Plan) -> StepRuns:
    """The steps of the current run, which has this plan."""
    return StepRuns(current_session(), plan)


_UNKNOWN = Failure(
    code="engine_silent", message="The engine ended without saying how.", transient=True
)


def _failed(key: str, failure: Failure) -> StepFinished:
    return StepFinished(step_key=key, state=StepState.FAILED, failure=failure)


def _explain(error: DatanikaError, *, transient: bool) -> Failure:
    return Failure(code=error.code, message=error.message, hint=error.hint, transient=transient)


def _timeout(seconds: float) -> Failure:
    return Failure(
        code="step_timeout",
        message=f"The step took longer than its {seconds:.0f} seconds.",
        hint="Load or build less in one step, or raise its timeout_seconds.",
    )
