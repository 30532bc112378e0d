"""The data plane's reports: the fence of attempts, events, the end of a run."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest
from sqlalchemy import select

from datanika.contracts.api import RunStepOut
from datanika.contracts.enums import LogLevel, RunState, StepState
from datanika.contracts.events import (
    ColumnBreach,
    ColumnChange,
    ColumnInfo,
    Failure,
    LogLine,
    NodeFinished,
    NodeProgress,
    NodeStarted,
    RunEvent,
    RunFinish,
    SchemaChanged,
    StepFinished,
    StepStarted,
)
from datanika.contracts.overrides import LeftOut
from datanika.contracts.plan import Plan
from datanika.contracts.shape import BreachKind
from datanika.contracts.steps import ResolvedLoad, ResolvedTransform
from datanika.db import SYSTEM, TenantScope, get_session
from datanika.errors import Conflict, InvalidInput, NotFound
from datanika.models import CatalogEntry, Run, RunLog
from datanika.services.actor import Actor
from datanika.services.run_lifecycle import LEASE
from datanika.services.run_recorder import RunRecorder
from datanika.services.run_service import RunService
from tests.support.pipelines import CANARY, MadePipeline
from tests.support.recorded_runs import claim, claimed_run, finish, run_of, send, steps_of, trigger

pytestmark = pytest.mark.usefixtures("database")


def table(**more: Any) -> NodeFinished:
    return NodeFinished(
        step_key="load",
        node="raw.orders",
        name="orders",
        resource_type="table",
        state=StepState.SUCCEEDED,
        rows=3,
        relation="raw.orders",
        columns=(ColumnInfo(name="id", data_type="bigint"),),
        **more,
    )


async def test_a_step_comes_with_its_credentials_and_its_dbt_project(
    actor: Actor, pipeline: MadePipeline
) -> None:
    claimed = await claimed_run(actor, pipeline)
    async with get_session(actor.scope) as session:
        recorder = RunRecorder(session, claimed.run_id, 1)
        load = await recorder.resolve("load")
        transform = await recorder.resolve("transform")
        with pytest.raises(NotFound):
            await recorder.resolve("no_such_step")
    assert isinstance(load, ResolvedLoad)
    assert load.destination.config["password"] == CANARY
    assert load.pipeline_key == f"p{pipeline.id}_load"
    assert isinstance(transform, ResolvedTransform)
    assert "models/stg_orders.sql" in transform.files
    assert CANARY not in repr(load)


async def test_a_resumed_load_knows_the_tables_that_it_leaves_out(
    actor: Actor, pipeline: MadePipeline
) -> None:
    """Their changes must not be let go."""
    claimed = await claimed_run(actor, pipeline)
    out = LeftOut(
        step_key="load",
        node="raw.done",
        name="done",
        kind="table",
        reason="done_before",
        note="Run 1 did it.",
        run_id=1,
    )
    async with get_session(actor.scope) as session:
        run = await session.get_one(Run, claimed.run_id)
        plan = Plan.model_validate(run.plan).model_copy(update={"left_out": (out,)})
        run.plan = plan.model_dump(mode="json")
        await session.flush()
        load = await RunRecorder(session, claimed.run_id, 1).resolve("load")
    assert isinstance(load, ResolvedLoad)
    assert load.other_targets == ("done",)


async def test_a_retry_knows_the_breaches_of_tables_that_it_does_not_load_again(
    actor: Actor, pipeline: MadePipeline
) -> None:
    first = await claim(actor, pipeline, await trigger(actor, pipeline, "first"))
    breach = ColumnBreach(relation="raw.orders", column="n", how=BreachKind.DISCARDED)
    other = ColumnBreach(relation="raw.orders", column="m", how=BreachKind.FROZEN)
    await send(first, [table().model_copy(update={"breaches": (breach, other)})])
    shown = RunStepOut.model_validate((await steps_of(first.run_id))["load", "raw.orders"])
    assert shown.breaches == [breach, other]
    out = LeftOut(
        step_key="load", node="raw.orders", name="orders", kind="table", reason="done_before",
        note="", run_id=first.run_id,
    )  # fmt: skip
    claimed = await claim(actor, pipeline, await trigger(actor, pipeline, "second"))
    async with get_session(actor.scope) as session:
        run = await session.get_one(Run, claimed.run_id)
        recorder = RunRecorder(session, claimed.run_id, 1)
        plain = await recorder.resolve("transform")
        plan = Plan.model_validate(run.plan)
        run.plan = plan.model_copy(update={"left_out": (out,)}).model_dump(mode="json")
        await session.flush()
        told = await recorder.resolve("transform")
    assert isinstance(plain, ResolvedTransform) and isinstance(told, ResolvedTransform)
    assert (plain.breaches, told.breaches) == ((), (breach, other))


async def test_events_become_steps_nodes_rows_and_logs_in_order(
    actor: Actor, pipeline: MadePipeline
) -> None:
    claimed = await claimed_run(actor, pipeline)
    await send(
        claimed,
        [
            StepStarted(step_key="load", attempt=1),
            NodeStarted(step_key="load", node="raw.orders", name="orders", resource_type="table"),
            *(LogLine(step_key="load", message=f"line {number}") for number in range(50)),
            NodeProgress(step_key="load", node="raw.orders", rows=2, total=3),
        ],
    )
    run = await run_of(claimed.run_id)
    assert (run.state, run.rows) == (RunState.RUNNING, 2)
    await send(
        claimed,
        [table(), StepFinished(step_key="load", state=StepState.SUCCEEDED, rows=3, bytes=120)],
    )
    steps = await steps_of(claimed.run_id)
    node = steps["load", "raw.orders"]
    assert (node.state, node.rows, node.rows_total, node.relation) == (
        "succeeded", 3, 3, "raw.orders",
    )  # fmt: skip
    load = steps["load", ""]
    assert (load.state, load.rows, load.bytes) == ("succeeded", 3, 120)
    assert load.duration_seconds is not None
    assert (await run_of(claimed.run_id)).rows == 3
    async with get_session(actor.scope) as session:
        lines = await RunService(session, actor).logs(claimed.run_id)
        rest = await RunService(session, actor).logs(claimed.run_id, after_id=lines[47].id)
    assert [line.message for line in lines] == [f"line {number}" for number in range(50)]
    assert [line.message for line in rest] == ["line 48", "line 49"]


async def test_a_batch_that_is_sent_again_changes_nothing(
    actor: Actor, pipeline: MadePipeline
) -> None:
    claimed = await claimed_run(actor, pipeline)
    batch: list[RunEvent] = [
        StepStarted(step_key="load", attempt=1),
        LogLine(step_key="load", message="once", level=LogLevel.WARNING),
        table(),
        LogLine(step_key="load", message="twice"),
    ]
    await send(claimed, batch)
    await send(claimed, batch)
    async with get_session(SYSTEM) as session:
        messages = list(await session.scalars(select(RunLog.message).order_by(RunLog.id)))
    assert messages == ["once", "twice"]
    assert len(await steps_of(claimed.run_id)) == 3


async def test_what_was_built_is_in_the_catalog_with_its_upstream(
    actor: Actor, pipeline: MadePipeline
) -> None:
    claimed = await claimed_run(actor, pipeline)
    model = NodeFinished(
        step_key="transform",
        node="model.org1.stg_orders",
        name="stg_orders",
        resource_type="model",
        state=StepState.SUCCEEDED,
        relation="analytics.stg_orders",
        depends_on=("source.org1.raw.orders",),
        details={"materialized": "view"},
    )
    failed = model.model_copy(update={"relation": "analytics.broken", "state": StepState.FAILED})
    await send(claimed, [table(), model, failed.model_copy(update={"node": "model.org1.broken"})])
    async with get_session(SYSTEM) as session:
        rows = list(await session.scalars(select(CatalogEntry).order_by(CatalogEntry.id)))
    assert [(row.schema_name, row.name, row.kind, row.rows) for row in rows] == [
        ("raw", "orders", "table", 3),
        ("analytics", "stg_orders", "view", None),
    ]
    assert rows[0].connection_id == pipeline.destination_id
    assert rows[1].upstream == ["source.org1.raw.orders"]


async def test_a_step_that_is_not_in_the_plan_is_refused(
    actor: Actor, pipeline: MadePipeline
) -> None:
    claimed = await claimed_run(actor, pipeline)
    with pytest.raises(InvalidInput):
        await send(claimed, [StepStarted(step_key="other", attempt=1)])


async def test_a_heartbeat_renews_the_lease(actor: Actor, pipeline: MadePipeline) -> None:
    claimed = await claimed_run(actor, pipeline)
    almost_over = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)
    async with get_session(SYSTEM) as session:
        row = await session.get_one(Run, claimed.run_id)
        row.lease_expires_at = almost_over
    assert await send(claimed, []) is False
    run = await run_of(claimed.run_id)
    assert run.lease_expires_at is not None
    assert run.lease_expires_at > almost_over + LEASE / 2
    assert run.state == RunState.STARTING


async def test_a_superseded_attempt_can_do_nothing(actor: Actor, pipeline: MadePipeline) -> None:
    run_id, flow_run_id = await trigger(actor, pipeline), str(uuid.uuid4())
    zombie = await claim(actor, pipeline, run_id, flow_run_id)
    await send(zombie, [StepStarted(step_key="load", attempt=1), table()])
    heir = await claim(actor, pipeline, run_id, flow_run_id)
    assert heir.attempt == 2
    assert {step.state for step in (await steps_of(run_id)).values()} == {"pending"}
    async with get_session(actor.scope) as session:
        recorder = RunRecorder(session, run_id, zombie.attempt)
        for call in (
            recorder.plan(),
            recorder.resolve("load"),
            recorder.record([]),
            recorder.finish(RunFinish(state=RunState.SUCCEEDED)),
        ):
            with pytest.raises(Conflict) as refused:
                await call
            assert refused.value.code == "stale_attempt"
    await finish(heir, RunState.SUCCEEDED)


async def test_cancelling_reaches_the_flow_with_its_next_events(
    actor: Actor, pipeline: MadePipeline
) -> None:
    claimed = await claimed_run(actor, pipeline)
    await send(claimed, [StepStarted(step_key="load", attempt=1)])
    async with get_session(actor.scope) as session:
        run = await RunService(session, actor).cancel(claimed.run_id)
        assert run.state == RunState.CANCELLING
    assert await send(claimed, []) is True
    await finish(claimed, RunState.CANCELLED)
    assert (await run_of(claimed.run_id)).state == RunState.CANCELLED
    assert {step.state for step in (await steps_of(claimed.run_id)).values()} == {"cancelled"}


async def test_a_failure_is_kept_in_words_and_what_was_open_ends(
    actor: Actor, pipeline: MadePipeline
) -> None:
    claimed = await claimed_run(actor, pipeline)
    await send(claimed, [StepStarted(step_key="load", attempt=1)])
    failure = Failure(code="source_unreachable", message="No such host.", hint="Check the host.")
    await finish(claimed, RunState.FAILED, failure)
    run = await run_of(claimed.run_id)
    assert (run.state, run.error_code, run.error_message, run.error_hint) == (
        "failed", "source_unreachable", "No such host.", "Check the host.",
    )  # fmt: skip
    assert run.lease_expires_at is None
    assert run.finished_at is not None
    states = {key: step.state for (key, _), step in (await steps_of(claimed.run_id)).items()}
    assert states == {"load": "failed", "transform": "skipped"}


async def test_finishing_twice_is_fine_and_differently_is_refused(
    actor: Actor, pipeline: MadePipeline
) -> None:
    claimed = await claimed_run(actor, pipeline)
    await finish(claimed, RunState.SUCCEEDED)
    await finish(claimed, RunState.SUCCEEDED)
    with pytest.raises(Conflict):
        await finish(claimed, RunState.FAILED)
    with pytest.raises(InvalidInput):
        await finish(claimed, RunState.RUNNING)


async def test_what_changed_in_a_source_is_kept_with_the_run_and_compared_with_the_last_success(
    actor: Actor, pipeline: MadePipeline
) -> None:
    claimed = await claimed_run(actor, pipeline)
    node = {"step_key": "load", "node": "raw.orders"}
    read = (ColumnInfo(name="id", data_type="int64"),)
    change = ColumnChange(change="added", column="new", after="string")
    end = {**node, "name": "orders", "resource_type": "table", "relation": "raw.orders"}
    await send(
        claimed,
        [
            NodeStarted(**node, name="orders", resource_type="table"),
            SchemaChanged(**node, changes=(change,)),
            NodeFinished(
                **end, state=StepState.SUCCEEDED, source_columns=read, details={"loaded_rows": 1}
            ),
        ],
    )
    step = (await steps_of(claimed.run_id))["load", "raw.orders"]
    told = RunStepOut.model_validate(step)
    assert told.schema_changes == [change]
    assert told.details["loaded_rows"] == 1
    # A load that fails changes nothing of what is compared with.
    await send(claimed, [NodeFinished(**end, state=StepState.FAILED)])
    async with get_session(TenantScope(claimed.org_id)) as session:
        resolved = await RunRecorder(session, claimed.run_id, claimed.attempt).resolve("load")
    assert isinstance(resolved, ResolvedLoad)
    assert resolved.known_columns == {"orders": read}
    assert resolved.hash_key == ""
