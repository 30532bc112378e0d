"""A shop's raw table in a warehouse, its pipeline, and runs that are told event by event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from datanika.contracts.enums import StepState
from datanika.contracts.events import (
    ColumnChange,
    ColumnInfo,
    Failure,
    LineageFound,
    NodeFinished,
    NodeStarted,
    RunEvent,
    SchemaChanged,
    StepFinished,
    StepStarted,
)
from datanika.contracts.lineage import (
    ColumnLineage,
    LineageKind,
    SourceColumn,
    StatementLineage,
)
from datanika.contracts.spec import LoadStep, PipelineSpec, TableSpec, TransformStep
from datanika.db import get_session
from datanika.services.actor import Actor
from datanika.services.connection_service import ConnectionService
from datanika.services.pipeline_service import PipelineService
from tests.support import story as stories
from tests.support.postgres import Warehouse
from tests.support.story import Story

MODEL = "stg_orders"
ORDERS = (
    ColumnInfo(name="id", data_type="bigint", nullable=False),
    ColumnInfo(name="customer", data_type="text"),
    ColumnInfo(name="amount", data_type="numeric"),
)


@dataclass(frozen=True)
class Shop:
    story: Story
    source_id: int
    warehouse_id: int


async def make_shop(actor: Actor, warehouse: Warehouse) -> Shop:
    """``raw.orders`` with three rows, one of which has no amount, and a pipeline that loads it and
    builds what reads it."""
    warehouse.query(
        "CREATE SCHEMA raw CREATE TABLE orders (id bigint PRIMARY KEY, customer text, amount int)"
    )
    warehouse.query("INSERT INTO raw.orders VALUES (1, 'Ada', 30), (2, 'Bob', NULL), (3, 'Cy', 12)")
    async with get_session(actor.scope) as session:
        connections = ConnectionService(session, actor)
        source = await connections.create("shop_files", "files", {"format": "csv"}, "")
        target = await connections.create("warehouse", "postgres", warehouse.config, "")
        pipeline = await PipelineService(session, actor).create(
            "shop",
            "",
            PipelineSpec(
                steps=(
                    LoadStep(
                        key="load",
                        source_id=source.id,
                        destination_id=target.id,
                        target_schema="raw",
                        tables=(TableSpec(name="orders.csv", target="orders"),),
                    ),
                    TransformStep(key="transform", depends_on=("load",), destination_id=target.id),
                )
            ),
        )
    return Shop(Story(actor, pipeline.id), source.id, target.id)


async def loaded(shop: Shop, rows: int, changes: Sequence[ColumnChange] = ()) -> int:
    """A run that loads ``raw.orders``; its id. It is not over yet."""
    run_id = await stories.start_run(shop.story)
    node = {"step_key": "load", "node": "raw.orders", "name": "orders"}
    events: list[RunEvent] = [
        StepStarted(step_key="load", attempt=1),
        NodeStarted(**node, resource_type="table"),
    ]
    if changes:
        events.append(SchemaChanged(step_key="load", node="raw.orders", changes=tuple(changes)))
    events += [
        NodeFinished(
            **node,
            resource_type="table",
            state=StepState.SUCCEEDED,
            rows=rows,
            relation="raw.orders",
            columns=ORDERS,
            source_columns=ORDERS,
        ),
        StepFinished(step_key="load", state=StepState.SUCCEEDED, rows=rows),
    ]
    await stories.play(shop.story, run_id, events)
    return run_id


async def built(shop: Shop, run_id: int, *, failure: str | None) -> None:
    """The model of that run, with its test ``not_null`` on ``amount``, which fails with
    ``failure``; and the end of the run."""
    model = {"step_key": "transform", "node": f"model.org1.{MODEL}", "name": MODEL}
    test = f"not_null_{MODEL}_amount"
    failed = Failure(code="dbt_test_failed", message=failure) if failure else None
    state = StepState.FAILED if failure else StepState.SUCCEEDED
    await stories.play(
        shop.story,
        run_id,
        [
            StepStarted(step_key="transform", attempt=1),
            NodeFinished(
                **model,
                resource_type="model",
                state=StepState.SUCCEEDED,
                rows=3 if failure else 2,
                relation=f"analytics.{MODEL}",
                columns=(ORDERS[0], ColumnInfo(name="amount", data_type="integer")),
                depends_on=("source.org1.raw.orders",),
                details={"materialized": "view"},
            ),
            LineageFound(
                step_key="transform",
                node=f"model.org1.{MODEL}",
                relation=f"analytics.{MODEL}",
                lineage=StatementLineage(
                    columns=tuple(
                        ColumnLineage(
                            column=name,
                            kind=LineageKind.COPY,
                            inputs=(SourceColumn(relation="raw.orders", column=name),),
                        )
                        for name in ("id", "amount")
                    ),
                    rows=(),
                    reads=("raw.orders",),
                ),
            ),
            NodeFinished(
                step_key="transform",
                node=f"test.org1.{test}.abc",
                name=test,
                resource_type="test",
                state=state,
                depends_on=(f"model.org1.{MODEL}",),
                failure=failed,
            ),
            StepFinished(step_key="transform", state=state, failure=failed),
        ],
    )
    await stories.finish(shop.story, run_id, failed)
