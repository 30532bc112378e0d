"""A pipeline of one load and one transform, in a new organisation's rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from datanika.contracts.enums import WriteDisposition
from datanika.contracts.spec import (
    IncrementalCursor,
    LoadStep,
    PipelineSpec,
    RetryPolicy,
    TableSpec,
    TransformationSpec,
    TransformStep,
)
from datanika.db import get_session
from datanika.services.actor import Actor
from datanika.services.connection_service import ConnectionService
from datanika.services.pipeline_service import PipelineService
from datanika.services.transformation_service import TransformationService

CANARY = "s3cr3t-canary-5b1f"
"""The password of the destination: it may appear in a resolved step and nowhere else."""


@dataclass(frozen=True)
class MadePipeline:
    id: int
    source_id: int
    destination_id: int


def two_steps(source_id: int, destination_id: int, schema: str = "raw") -> PipelineSpec:
    """Load ``orders`` into ``schema``, then dbt build."""
    return PipelineSpec(
        steps=(
            LoadStep(
                key="load",
                source_id=source_id,
                destination_id=destination_id,
                target_schema=schema,
                tables=(TableSpec(name="orders.csv", write_disposition=WriteDisposition.REPLACE),),
                retry=RetryPolicy(retries=0),
            ),
            TransformStep(key="transform", depends_on=("load",), destination_id=destination_id),
        )
    )


async def make_pipeline(
    actor: Actor, name: str = "orders", destination: dict[str, Any] | None = None
) -> MadePipeline:
    """``destination`` is the configuration of a postgres connection."""
    config = destination or {
        "host": "db.example.com",
        "database": "warehouse",
        "user": "loader",
        "password": CANARY,
    }
    async with get_session(actor.scope) as session:
        connections = ConnectionService(session, actor)
        source = await connections.create(f"{name} files", "files", {"format": "csv"})
        target = await connections.create(f"{name} warehouse", "postgres", config)
        await TransformationService(session, actor).create(
            TransformationSpec(
                name=f"stg_{name}",
                destination_id=target.id,
                sql="select * from {{ source('raw', 'orders') }}",
            )
        )
        spec = two_steps(source.id, target.id)
        pipeline = await PipelineService(session, actor).create(name, "", spec)
        return MadePipeline(pipeline.id, source.id, target.id)


async def make_incremental(
    actor: Actor, how: WriteDisposition = WriteDisposition.MERGE, column: str = "at"
) -> int:
    """A pipeline that loads ``orders`` by its cursor, and ``plain`` without one."""
    async with get_session(actor.scope) as session:
        connections = ConnectionService(session, actor)
        source = await connections.create("files", "files", {"format": "csv"})
        target = await connections.create("ducks", "duckdb", {"path": "w.duckdb"})
        key = ("id",) if how is WriteDisposition.MERGE else ()
        spec = PipelineSpec(
            steps=(
                LoadStep(
                    key="load",
                    source_id=source.id,
                    destination_id=target.id,
                    target_schema="raw",
                    tables=(
                        TableSpec(
                            name="orders.csv",
                            write_disposition=how,
                            primary_key=key,
                            cursor=IncrementalCursor(column=column),
                        ),
                        TableSpec(name="plain.csv"),
                    ),
                ),
            )
        )
        return (await PipelineService(session, actor).create("incremental", "", spec)).id
