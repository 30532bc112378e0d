"""The flow over a plan, in this process: real Prefect, a control plane and an engine in memory."""

from __future__ import annotations

import asyncio
import gc
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from typing import cast

import pytest
from prefect.client.schemas.objects import State

from datanika.contracts.enums import RunState, StepState
from datanika.contracts.events import (
    Failure,
    LogLine,
    NodeFinished,
    NodeProgress,
    NodeStarted,
    RunClaim,
    RunEvent,
    StepFinished,
    StepStarted,
)
from datanika.contracts.spec import LoadStep, RetryPolicy
from datanika.contracts.steps import ResolvedLoad, ResolvedTransform
from datanika.errors import TerminalStepError, TransientStepError
from datanika.execution.flow_process import drain_prefect
from datanika.execution.internal_api import InternalApi
from datanika.execution.run_client import RunClient, StopReason
from datanika.execution.run_session import RunSession, use_session
from flows.steps import JITTER, StepRuns, retry_delays
from flows.tenant_pipeline import tenant_pipeline
from tests.test_execution.fake_control_plane import (
    PASSWORD,
    RUN_ID,
    RUN_TOKEN,
    FakeControlPlane,
    load_step,
    plan_of,
    serve,
)
from tests.test_execution.running_worker import PrefectServer, prefect_client_settings

# Prefect's client of events leaves one socket to the garbage collector when its thread stops.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

Behaviour = Callable[[str], AsyncIterator[RunEvent]]


class Host:
    """Runs ``behaviour`` for every step; counts the iterators that are open."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self.open = 0

    async def run(
        self, step: ResolvedLoad | ResolvedTransform, **options: object
    ) -> AsyncIterator[RunEvent]:
        assert isinstance(step, ResolvedLoad)
        assert step.source.config["password"] == PASSWORD
        self.open += 1
        try:
            async for event in self._behaviour(step.step.key):
                yield event
        finally:
            self.open -= 1


async def run(
    server: PrefectServer,
    steps: Sequence[LoadStep],
    behaviour: Behaviour,
    during: Callable[[RunClient, FakeControlPlane], object] = lambda client, plane: None,
) -> tuple[FakeControlPlane, State[object]]:
    """One run of a pipeline of these steps; Prefect's state of it. ``during`` starts with it."""
    claim = RunClaim(run_id=RUN_ID, org_id=1, pipeline_id=3, attempt=1, token=RUN_TOKEN)
    host = Host(behaviour)
    with prefect_client_settings(server):
        async with (
            serve(FakeControlPlane(steps)) as plane,
            InternalApi(plane.url, RUN_TOKEN) as api,
            RunClient(claim, api) as client,
        ):
            with use_session(RunSession(client, host)):
                flow = tenant_pipeline.with_options(name=f"test-{uuid.uuid4().hex[:6]}")
                during(client, plane)
                state = await flow(1, 3, RUN_ID, return_state=True)
            # Its threads would otherwise keep their sockets beyond this test.
            await asyncio.to_thread(drain_prefect)
            gc.collect()
    assert host.open == 0, "every engine is closed"
    return plane, state


async def succeed(key: str) -> AsyncIterator[RunEvent]:
    yield StepFinished(step_key=key, state=StepState.SUCCEEDED, rows=1)


async def test_independent_steps_run_at_once(prefect_server: PrefectServer) -> None:
    both = asyncio.Barrier(2)

    async def meet(key: str) -> AsyncIterator[RunEvent]:
        async with asyncio.timeout(20):
            await both.wait()
        yield StepFinished(step_key=key, state=StepState.SUCCEEDED)

    plane, state = await run(prefect_server, [load_step("a"), load_step("b")], meet)

    assert state.is_completed()
    assert plane.step_states() == {"a": "succeeded", "b": "succeeded"}


async def test_a_step_waits_for_everything_it_depends_on(prefect_server: PrefectServer) -> None:
    diamond = [
        load_step("top"),
        load_step("left", ("top",)),
        load_step("right", ("top",)),
        load_step("bottom", ("left", "right")),
    ]
    ended: set[str] = set()

    async def work(key: str) -> AsyncIterator[RunEvent]:
        needs = {step.key: set(step.depends_on) for step in diamond}[key]
        assert needs <= ended
        await asyncio.sleep(0.05)
        ended.add(key)
        yield StepFinished(step_key=key, state=StepState.SUCCEEDED)

    plane, _ = await run(prefect_server, diamond, work)

    assert set(plane.step_states().values()) == {"succeeded"}
    assert plane.finished[0].state is RunState.SUCCEEDED


async def test_a_warning_is_no_failure(prefect_server: PrefectServer) -> None:
    async def warn(key: str) -> AsyncIterator[RunEvent]:
        yield StepFinished(step_key=key, state=StepState.WARNED)

    steps = [load_step("tested"), load_step("next", ("tested",))]
    plane, state = await run(prefect_server, steps, warn)

    assert state.is_completed()
    assert plane.step_states() == {"tested": "warned", "next": "warned"}


async def test_what_an_engine_says_reaches_the_control_plane_unchanged(
    prefect_server: PrefectServer,
) -> None:
    said: list[RunEvent] = [
        NodeStarted(step_key="a", node="model.x", name="x", resource_type="model"),
        NodeProgress(step_key="a", node="model.x", rows=5, total=9),
        LogLine(step_key="a", message="half way", node="model.x"),
        NodeFinished(
            step_key="a",
            node="model.x",
            name="x",
            resource_type="model",
            state=StepState.SUCCEEDED,
            rows=9,
            relation="marts.x",
        ),
        StepFinished(step_key="a", state=StepState.SUCCEEDED, rows=9),
    ]

    async def speak(key: str) -> AsyncIterator[RunEvent]:
        yield StepStarted(step_key=key, attempt=99)
        for event in said:
            yield event

    plane, _ = await run(prefect_server, [load_step("a")], speak)

    assert plane.events[1:] == [event.model_dump(mode="json") for event in said]
    assert (plane.events[0]["type"], plane.events[0]["attempt"]) == ("step_started", 1)


@pytest.mark.parametrize(
    ("error", "code", "tries"),
    [
        (TransientStepError("The engine died.", code="engine_died"), "engine_died", 2),
        (TerminalStepError("No such table.", code="no_table"), "no_table", 1),
        (ValueError(f"unexpected {PASSWORD}"), "internal.ValueError", 1),
    ],
)
async def test_an_engine_that_raises_fails_the_step(
    prefect_server: PrefectServer, error: Exception, code: str, tries: int
) -> None:
    async def fail(key: str) -> AsyncIterator[RunEvent]:
        yield NodeStarted(step_key=key, node="raw.t", name="t", resource_type="table")
        raise error

    plane, state = await run(prefect_server, [load_step("a")], fail)

    assert state.is_failed()
    assert len(plane.of_type("step_started")) == tries
    [ended] = plane.of_type("step_finished")
    assert ended["failure"]["code"] == code
    assert [node["state"] for node in plane.of_type("node_finished")] == ["failed"] * tries
    assert PASSWORD not in f"{plane.events} {state}"


async def test_an_engine_that_falls_silent_is_tried_again(prefect_server: PrefectServer) -> None:
    tries: list[str] = []

    async def silent_once(key: str) -> AsyncIterator[RunEvent]:
        tries.append(key)
        if len(tries) > 1:
            yield StepFinished(step_key=key, state=StepState.SUCCEEDED)

    plane, state = await run(prefect_server, [load_step("a")], silent_once)

    assert state.is_completed()
    assert len(tries) == 2
    [warning] = plane.of_type("log")
    assert "engine_silent" in warning["message"]


async def test_the_first_failed_step_explains_the_run(prefect_server: PrefectServer) -> None:
    async def fail(key: str) -> AsyncIterator[RunEvent]:
        failure = Failure(code=f"{key}_broke", message=f"{key} is broken", hint="Mend it.")
        yield StepFinished(step_key=key, state=StepState.FAILED, failure=failure)

    plane, _ = await run(prefect_server, [load_step("a"), load_step("b")], fail)

    [end] = plane.finished
    assert end.failure is not None
    assert (end.failure.code, end.failure.hint) == ("a_broke", "Mend it.")


async def test_a_lost_worker_leaves_the_run_open(prefect_server: PrefectServer) -> None:
    async def hang(key: str) -> AsyncIterator[RunEvent]:
        yield LogLine(step_key=key, message="working")
        await asyncio.sleep(3600)

    def lose(client: RunClient, plane: FakeControlPlane) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(1.5, client.stop, StopReason.WORKER_GONE)

    plane, state = await run(prefect_server, [load_step("a")], hang, lose)

    assert state.is_crashed()
    assert not plane.finished


async def test_a_run_that_takes_too_long_fails_and_its_engine_is_killed(
    prefect_server: PrefectServer,
) -> None:
    async def forever(key: str) -> AsyncIterator[RunEvent]:
        yield NodeStarted(step_key=key, node="raw.t", name="t", resource_type="table")
        await asyncio.sleep(600)

    def limit(client: RunClient, plane: FakeControlPlane) -> None:
        plane.plan = plane.plan.model_copy(update={"timeout_seconds": 100})
        client.claim = client.claim.model_copy(update={"elapsed_seconds": 99.0})

    steps = [load_step("a"), load_step("b", ("a",))]
    plane, state = await run(prefect_server, steps, forever, during=limit)

    assert state.is_failed()
    [finish] = plane.finished
    assert finish.state is RunState.FAILED
    assert finish.failure is not None and finish.failure.code == "run_timeout"
    assert plane.step_states() == {"a": "cancelled", "b": "cancelled"}


async def test_a_run_that_waits_for_its_next_try_is_cancelled_at_once(
    prefect_server: PrefectServer,
) -> None:
    async def busy(key: str) -> AsyncIterator[RunEvent]:
        failure = Failure(code="server_busy", message="Busy.", transient=True)
        yield StepFinished(step_key=key, state=StepState.FAILED, failure=failure)

    cancelled_at: list[float] = []
    loop = asyncio.get_running_loop()

    def cancel_soon(client: RunClient, plane: FakeControlPlane) -> None:
        async def wait() -> None:
            while not plane.of_type("step_started"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.5)
            cancelled_at.append(loop.time())
            client.stop(StopReason.CANCELLED)

        tasks.append(asyncio.create_task(wait()))

    tasks: list[asyncio.Task[None]] = []
    steps = [load_step("a", retries=3, delay_seconds=600.0)]
    plane, state = await run(prefect_server, steps, busy, during=cancel_soon)

    assert loop.time() - cancelled_at[0] < 15, "Prefect's part included"
    assert state.is_cancelled()
    assert plane.step_states() == {"a": "cancelled"}
    assert plane.finished[0].state is RunState.CANCELLED


def test_waits_before_retries_grow_up_to_an_hour() -> None:
    assert retry_delays(RetryPolicy(retries=3, delay_seconds=5.0)) == [5, 10, 20]
    assert retry_delays(RetryPolicy(retries=2, delay_seconds=7.0, backoff=1.0)) == [7, 7]
    assert retry_delays(RetryPolicy(retries=3, delay_seconds=3000.0)) == [3000, 3600, 3600]
    assert retry_delays(RetryPolicy(retries=0)) == []


def test_waits_are_spread_by_chance() -> None:
    plan = plan_of([load_step("a", retries=2, delay_seconds=5.0)])
    task = StepRuns(cast("RunSession", None), plan).as_task(plan.steps[0])
    assert task.retry_jitter_factor == JITTER > 0
    assert task.retry_delay_seconds == [5.0, 10.0]
