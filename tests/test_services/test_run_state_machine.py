"""Whatever order claims, events, ends, cancels and losses come in, a run ends exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from datanika.config import settings as config
from datanika.contracts.enums import RunState, StepState
from datanika.contracts.events import (
    Failure,
    NodeFinished,
    RunClaim,
    RunEvent,
    RunFinish,
    StepFinished,
    StepStarted,
)
from datanika.contracts.run_states import TRANSITIONS
from datanika.db import SYSTEM, get_session
from datanika.errors import Conflict
from datanika.models import Run, RunStep, UsageMonth
from datanika.services.actor import Actor
from datanika.services.reconciler import report_crash
from datanika.services.run_lifecycle import lose_attempt
from datanika.services.run_recorder import RunRecorder, claim_run
from datanika.services.run_rows import lock_run, state_of
from datanika.services.run_service import RunService
from tests.support.pipelines import MadePipeline, make_pipeline
from tests.support.tenants import make_tenant

OPERATIONS = (
    "claim", "claim", "claim_again", "start", "event", "succeed", "fail", "stale_finish",
    "cancel", "lose", "crash", "heartbeat",
)  # fmt: skip
TWO_STEPS = ("lose", "crash", "succeed", "stale_finish")
LAST = st.sampled_from(("succeed", "cancel", "lose"))


@dataclass
class Story:
    """One run, and everybody who ever held it."""

    actor: Actor
    pipeline: MadePipeline
    run_id: int
    claims: list[RunClaim] = field(default_factory=list)
    flows: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    ends: int = 0

    async def state(self) -> str:
        async with get_session(SYSTEM) as session:
            return (await session.get_one(Run, self.run_id)).state

    async def do(self, operation: str) -> None:
        """One thing that happens; what the run refuses is refused by a conflict."""
        before = await self.state()
        with contextlib.suppress(Conflict):
            await getattr(self, f"_{operation}")()
        after = await self.state()
        self.seen.append(f"{operation}: {before} -> {after}")
        was, now = RunState(before), RunState(after)
        assert not was.is_final or was is now, self.seen
        # One operation may be two steps of the machine: losses and ends pass through another state.
        assert was is now or now in TRANSITIONS[was] or operation in TWO_STEPS, self.seen
        self.ends += now.is_final and not was.is_final

    async def _claim(self, flow_run_id: str | None = None) -> None:
        flow = flow_run_id or str(uuid.uuid4())
        async with get_session(self.actor.scope) as session:
            claim = await claim_run(
                session,
                org_id=self.actor.org_id,
                pipeline_id=self.pipeline.id,
                flow_run_id=flow,
                run_id=self.run_id,
            )
        if claim.proceed:
            self.claims.append(claim)
            self.flows.append(flow)

    async def _claim_again(self) -> None:
        if self.flows:
            await self._claim(self.flows[-1])

    async def _say(self, claim: RunClaim, *events: RunEvent) -> None:
        async with get_session(self.actor.scope) as session:
            await RunRecorder(session, self.run_id, claim.attempt).record(events)

    async def _finish(self, claim: RunClaim, state: RunState) -> None:
        failure = Failure(code="x", message="x") if state is RunState.FAILED else None
        async with get_session(self.actor.scope) as session:
            recorder = RunRecorder(session, self.run_id, claim.attempt)
            await recorder.finish(RunFinish(state=state, failure=failure))

    async def _start(self) -> None:
        if self.claims:
            await self._say(self.claims[-1], StepStarted(step_key="load", attempt=1))

    async def _heartbeat(self) -> None:
        if self.claims:
            await self._say(self.claims[0])

    async def _event(self) -> None:
        if self.claims:
            table = NodeFinished(
                step_key="load", node="raw.orders", name="orders", resource_type="table",
                state=StepState.SUCCEEDED, rows=5, relation="raw.orders",
            )  # fmt: skip
            done = StepFinished(step_key="load", state=StepState.SUCCEEDED, rows=5)
            await self._say(self.claims[-1], table, done)

    async def _succeed(self) -> None:
        if self.claims:
            await self._finish(self.claims[-1], RunState.SUCCEEDED)

    async def _fail(self) -> None:
        if self.claims:
            await self._finish(self.claims[-1], RunState.FAILED)

    async def _stale_finish(self) -> None:
        if self.claims:
            await self._finish(self.claims[0], RunState.SUCCEEDED)

    async def _cancel(self) -> None:
        async with get_session(self.actor.scope) as session:
            await RunService(session, self.actor).cancel(self.run_id)

    async def _lose(self) -> None:
        async with get_session(SYSTEM) as session:
            run = await lock_run(session, self.run_id)
            assert run is not None
            if state_of(run) in (RunState.STARTING, RunState.RUNNING, RunState.CANCELLING):
                await lose_attempt(session, run, "")

    async def _crash(self) -> None:
        if self.flows:
            await report_crash(self.flows[-1], "It died.")


async def tell(actor: Actor, pipeline: MadePipeline, operations: list[str], last: str) -> None:
    async with get_session(actor.scope) as session:
        key = uuid.uuid4().hex
        run_id = (await RunService(session, actor).trigger(pipeline.id, key)).id
    story = Story(actor, pipeline, run_id)
    for operation in operations:
        await story.do(operation)
    # Every story ends: somebody takes the run until it is over.
    for operation in ("cancel" if last == "cancel" else "claim", last) * (config.max_attempts + 2):
        if not RunState(await story.state()).is_final:
            await story.do(operation)
    if RunState(await story.state()) is RunState.CANCELLING:
        await story.do("lose")
    assert story.ends == 1, story.seen
    ended = await story.state()
    for operation in OPERATIONS:
        await story.do(operation)
    assert await story.state() == ended, "an end is for good"
    async with get_session(SYSTEM) as session:
        run = await session.get_one(Run, run_id)
        assert run.finished_at is not None and run.lease_expires_at is None
        assert run.attempt <= config.max_attempts
        open_steps = select(func.count(RunStep.id)).where(
            RunStep.run_id == run_id,
            RunStep.state.in_([StepState.PENDING.value, StepState.RUNNING.value]),
        )
        assert await session.scalar(open_steps) == 0


@given(
    stories=st.lists(
        st.tuples(st.lists(st.sampled_from(OPERATIONS), max_size=10), LAST), min_size=1, max_size=2
    )
)
@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_a_run_ends_exactly_once(database: str, stories: list[tuple[list[str], str]]) -> None:
    actor = (await make_tenant()).owner
    pipeline = await make_pipeline(actor)
    for operations, last in stories:
        await tell(actor, pipeline, operations, last)
    async with get_session(SYSTEM) as session:
        # Usage is counted at the end of a run that has begun: once for each of them.
        query = select(func.coalesce(func.sum(UsageMonth.runs), 0)).where(
            UsageMonth.org_id == actor.org_id
        )
        begun = select(func.count(Run.id)).where(
            Run.org_id == actor.org_id, Run.started_at.is_not(None)
        )
        assert await session.scalar(query) == await session.scalar(begun)


async def test_of_all_who_end_a_run_at_once_one_does(database: str) -> None:
    actor = (await make_tenant()).owner
    pipeline = await make_pipeline(actor)
    for _ in range(5):
        async with get_session(actor.scope) as session:
            run = await RunService(session, actor).trigger(pipeline.id, uuid.uuid4().hex)
        story = Story(actor, pipeline, run.id)
        await story.do("claim")
        rivals = ("succeed", "fail", "cancel", "lose", "crash", "event", "succeed", "fail")
        await asyncio.gather(*(_quietly(story, one) for one in rivals))
        if await story.state() == RunState.CANCELLING:
            await story.do("lose")
        while not RunState(await story.state()).is_final:
            await story.do("claim")
            await story.do("succeed")
    async with get_session(SYSTEM) as session:
        query = select(func.sum(UsageMonth.runs)).where(UsageMonth.org_id == actor.org_id)
        assert await session.scalar(query) == 5


async def _quietly(story: Story, operation: str) -> None:
    with contextlib.suppress(Conflict):
        await getattr(story, f"_{operation}")()
