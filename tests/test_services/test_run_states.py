"""A run that selects by state builds what changed since the last run that succeeded."""

from __future__ import annotations

import uuid

from datanika.contracts.enums import RunState
from datanika.contracts.events import RunFinish
from datanika.contracts.plan import Plan
from datanika.contracts.spec import PipelineSpec, TransformationSpec, TransformStep
from datanika.db import get_session
from datanika.services.actor import Actor
from datanika.services.connection_service import ConnectionService
from datanika.services.pipeline_service import PipelineService
from datanika.services.run_recorder import RunRecorder, claim_run
from datanika.services.run_service import RunService
from datanika.services.transformation_service import TransformationService


async def run(actor: Actor, pipeline_id: int, state: RunState) -> tuple[str, ...]:
    """What a run selects; it ends in ``state``."""
    async with get_session(actor.scope) as session:
        accepted = await RunService(session, actor).trigger(pipeline_id, str(uuid.uuid4()))
        run_id = accepted.id
        [planned] = Plan.model_validate(accepted.plan).steps
    async with get_session(actor.scope) as session:
        claim = await claim_run(
            session,
            org_id=actor.org_id,
            pipeline_id=pipeline_id,
            flow_run_id=str(uuid.uuid4()),
            run_id=run_id,
        )
        await RunRecorder(session, run_id, claim.attempt).finish(RunFinish(state=state))
    assert planned.kind == "transform"
    return planned.step.select


async def test_only_a_run_that_succeeded_is_compared_with(actor: Actor) -> None:
    async with get_session(actor.scope) as session:
        connections = ConnectionService(session, actor)
        there = (await connections.create("dwh", "duckdb", {"path": "w.duckdb"})).id
        service = TransformationService(session, actor)
        for name in ("a", "b"):
            row = await service.create(
                TransformationSpec(name=name, destination_id=there, sql="select 1 as x")
            )
        step = TransformStep(key="t", destination_id=there, select=("state:modified+",))
        pipelines = PipelineService(session, actor)
        pipeline = (await pipelines.create("p", "", PipelineSpec(steps=(step,)))).id
    assert await run(actor, pipeline, RunState.FAILED) == ("a+", "b+")
    assert await run(actor, pipeline, RunState.SUCCEEDED) == ("a+", "b+")
    assert await run(actor, pipeline, RunState.SUCCEEDED) == ("tag:datanika_nothing_modified",)
    async with get_session(actor.scope) as session:
        await TransformationService(session, actor).update(
            row.id, TransformationSpec(name="b", destination_id=there, sql="select 2 as x")
        )
    assert await run(actor, pipeline, RunState.FAILED) == ("b+",)
    assert await run(actor, pipeline, RunState.SUCCEEDED) == ("b+",)
    assert await run(actor, pipeline, RunState.SUCCEEDED) == ("tag:datanika_nothing_modified",)
