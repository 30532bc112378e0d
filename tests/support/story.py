"""An organisation with a pipeline whose runs can be played event by event, as a worker would."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import uuid4

from datanika.contracts.enums import LogLevel, RunState, RunTrigger, StepState
from datanika.contracts.events import (
    Failure,
    LogLine,
    NodeFinished,
    NodeProgress,
    NodeStarted,
    RunEvent,
    RunFinish,
    StepFinished,
    StepStarted,
    utcnow,
)
from datanika.contracts.plan import Plan, PlanTransform
from datanika.db import SYSTEM, get_session
from datanika.demo import content
from datanika.models import Run
from datanika.services.actor import Actor, prove_membership
from datanika.services.auth import AuthService
from datanika.services.connection_service import ConnectionService
from datanika.services.pipeline_service import PipelineService
from datanika.services.run_recorder import RunRecorder, claim_run
from datanika.services.run_service import RunService
from datanika.services.transformation_service import TransformationService

PASSWORD = "correct horse battery staple"
ROWS = {"airlines": 16, "airports": 1458, "planes": 3322, "weather": 26_115, "flights": 336_776}


@dataclass(frozen=True)
class Story:
    """A person who can log in with :data:`PASSWORD`, and their pipeline."""

    actor: Actor
    pipeline_id: int


async def register(email: str, organization: str) -> Actor:
    """A new user who owns a new organisation."""
    async with get_session(SYSTEM) as session:
        user, org = await AuthService(session).register(email, PASSWORD, "Ada", organization)
        return await prove_membership(session, user.id, org.id)


def new_email() -> str:
    """An address that nobody has yet: tests of a module share a database."""
    return f"ada-{uuid4().hex[:8]}@example.com"


async def make_story(email: str | None = None, organization: str = "Demo Airlines") -> Story:
    """The demo's pipeline, in an organisation of its own."""
    actor = await register(email or new_email(), organization)
    async with get_session(actor.scope) as session:
        connections = ConnectionService(session, actor)
        source = await connections.create(content.SOURCE, "files", {"format": "parquet"}, "")
        target = await connections.create(
            content.WAREHOUSE, "duckdb", {"path": "warehouse.duckdb"}, ""
        )
        for spec in content.transformations(target.id):
            await TransformationService(session, actor).create(spec)
        pipeline = await PipelineService(session, actor).create(
            content.PIPELINE,
            "NYC flights of 2013: delays by carrier, punctuality by route",
            content.pipeline(source.id, target.id),
        )
    return Story(actor, pipeline.id)


async def start_run(story: Story, trigger: RunTrigger = RunTrigger.MANUAL) -> int:
    """A run that a worker has claimed; its id."""
    async with get_session(story.actor.scope) as session:
        run = await RunService(session, story.actor).trigger(
            story.pipeline_id, uuid4().hex, trigger
        )
    async with get_session(story.actor.scope) as session:
        await claim_run(
            session,
            org_id=story.actor.org_id,
            pipeline_id=story.pipeline_id,
            flow_run_id=str(uuid4()),
            run_id=run.id,
        )
    return run.id


async def play(story: Story, run_id: int, events: Iterable[RunEvent]) -> None:
    """Record ``events`` as the run's worker reports them."""
    async with get_session(story.actor.scope) as session:
        run = await session.get_one(Run, run_id)
        await RunRecorder(session, run_id, run.attempt).record(list(events))


async def finish(story: Story, run_id: int, failure: Failure | None = None) -> None:
    """End the run: succeeded, or failed with ``failure``."""
    state = RunState.FAILED if failure else RunState.SUCCEEDED
    async with get_session(story.actor.scope) as session:
        run = await session.get_one(Run, run_id)
        await RunRecorder(session, run_id, run.attempt).finish(
            RunFinish(state=state, failure=failure)
        )


async def plan_of(story: Story, run_id: int) -> Plan:
    async with get_session(story.actor.scope) as session:
        run = await RunService(session, story.actor).get(run_id)
    return Plan.model_validate(run.plan)


def load_events(begin: dt.datetime, *, until: str | None = None) -> list[RunEvent]:
    """The load step; with ``until`` it stops in the middle of that table."""
    key, at = "load_nyc", begin
    events: list[RunEvent] = [
        StepStarted(step_key=key, attempt=1, at=at),
        LogLine(step_key=key, at=at, message="Extracting 5 tables from nyc_files (parquet)"),
    ]
    for name, rows in ROWS.items():
        seconds = 0.4 + rows / 60_000
        node = f"{content.RAW}.{name}"
        common = {"step_key": key, "node": node, "name": node, "resource_type": "table"}
        events.append(NodeStarted(**common, at=at))
        if name == until:
            events.append(NodeProgress(step_key=key, node=node, rows=rows * 2 // 3, total=rows))
            return events
        at += dt.timedelta(seconds=seconds)
        events += [
            NodeFinished(
                **common,
                at=at,
                state=StepState.SUCCEEDED,
                rows=rows,
                duration_seconds=seconds,
                relation=node,
            ),
            LogLine(step_key=key, at=at, node=node, message=f"{node}: {rows:,} rows loaded"),
        ]
    events.append(
        StepFinished(step_key=key, at=at, state=StepState.SUCCEEDED, rows=sum(ROWS.values()))
    )
    return events


def transform_events(plan: Plan, begin: dt.datetime, *, nodes: int | None = None) -> list[RunEvent]:
    """The transform step in dbt's words; with ``nodes`` only so many, the last one running."""
    key, at, project = "transform_nyc", begin, "model.demo"
    planned = plan.get(key)
    assert isinstance(planned, PlanTransform)
    events: list[RunEvent] = [
        StepStarted(step_key=key, attempt=1, at=at),
        LogLine(step_key=key, at=at, message="dbt build: 8 models, 20 tests"),
    ]
    models = [model for model in planned.models if model.kind == "model"]
    for position, model in enumerate(models):
        node = f"{project}.{model.name}"
        sources = tuple(f"source.demo.{schema}.{table}" for schema, table in model.sources)
        common = {
            "step_key": key,
            "node": node,
            "name": model.name,
            "resource_type": "model",
            "depends_on": (*(f"{project}.{ref}" for ref in model.refs), *sources),
        }
        events.append(NodeStarted(**common, at=at))
        if position + 1 == nodes:
            return events
        at += dt.timedelta(seconds=0.35)
        events.append(
            NodeFinished(
                **common,
                at=at,
                state=StepState.SUCCEEDED,
                duration_seconds=0.35,
                relation=f"staging.{model.name}",
            )
        )
        for test in ("not_null", "unique"):
            name = f"{test}_{model.name}_id"
            warned = model.name == "stg_flights" and test == "unique"
            at += dt.timedelta(seconds=0.08)
            events.append(
                NodeFinished(
                    step_key=key,
                    node=f"test.demo.{name}",
                    name=name,
                    resource_type="test",
                    depends_on=(node,),
                    at=at,
                    state=StepState.WARNED if warned else StepState.SUCCEEDED,
                    duration_seconds=0.08,
                )
            )
            if warned:
                message = f"{name}: 7602 results, configured to warn if != 0"
                events.append(LogLine(step_key=key, at=at, level=LogLevel.WARNING, message=message))
        events.append(LogLine(step_key=key, at=at, node=node, message=f"OK created {model.name}"))
    events.append(StepFinished(step_key=key, at=at, state=StepState.SUCCEEDED))
    return events


async def whole_run(story: Story, trigger: RunTrigger = RunTrigger.MANUAL) -> int:
    """A run that succeeded; its id."""
    run_id = await start_run(story, trigger)
    loaded = load_events(utcnow() - dt.timedelta(seconds=14))
    await play(story, run_id, loaded)
    await play(story, run_id, transform_events(await plan_of(story, run_id), loaded[-1].at))
    await finish(story, run_id)
    return run_id
