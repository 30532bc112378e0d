"""The plan: what a pipeline compiles to. Plain data, no secrets, a stable hash."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import Field

from datanika.contracts.base import Contract
from datanika.contracts.enums import StepKind
from datanika.contracts.overrides import Interval, LeftOut
from datanika.contracts.spec import (
    ColumnSpec,
    ConnectionRef,
    IncrementalCursor,
    LoadStep,
    TableSpec,
    TransformationSpec,
    TransformStep,
)


class ModelNode(Contract):
    """A dbt resource that a transform step will build, with the resources it reads."""

    name: str
    kind: str
    destination_id: int
    checksum: str = Field(description="sha256 of the resource's content.")
    refs: tuple[str, ...] = ()
    sources: tuple[tuple[str, str], ...] = Field(default=(), description="(schema, table).")


class PlanLoad(Contract):
    kind: Literal[StepKind.LOAD] = StepKind.LOAD
    step: LoadStep
    source: ConnectionRef
    destination: ConnectionRef
    full_refresh: bool = Field(
        default=False, description="Replace the tables by all that the source has."
    )
    interval: Interval | None = Field(
        default=None, description="Load only rows whose cursor is inside, and leave it where it is."
    )


class PlanTransform(Contract):
    kind: Literal[StepKind.TRANSFORM] = StepKind.TRANSFORM
    step: TransformStep
    destination: ConnectionRef
    models: tuple[ModelNode, ...] = ()
    done: tuple[str, ...] = Field(
        default=(), description="dbt's unique ids of nodes that an earlier run built."
    )
    production_schema: str | None = Field(
        default=None,
        description="Set where the step builds into a schema of somebody's own: the "
        "`default_schema` that it has otherwise, where it reads what is not selected.",
    )


PlanStep = Annotated[PlanLoad | PlanTransform, Field(discriminator="kind")]


class Plan(Contract):
    """Steps in a topological order that is the same for the same input."""

    steps: tuple[PlanStep, ...]
    stages: tuple[tuple[str, ...], ...] = Field(
        description="Step keys by depth: all steps of a stage may run at once."
    )
    timeout_seconds: int | None = Field(default=None, description="For the whole run.")
    left_out: tuple[LeftOut, ...] = Field(
        default=(), description="What the pipeline would do and this run does not."
    )

    def get(self, key: str) -> PlanLoad | PlanTransform:
        """The step called ``key``; raises KeyError."""
        for planned in self.steps:
            if planned.step.key == key:
                return planned
        raise KeyError(key)

    @property
    def hash(self) -> str:
        """sha256 of the canonical JSON, hex. Same plan, same hash, on every machine."""
        content = self.model_dump(mode="json")
        for planned in content["steps"]:
            if planned.get("production_schema", "") is None:
                del planned["production_schema"]
        leave_out_defaults([planned["step"] for planned in content["steps"]])
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def leave_out_defaults(steps: list[dict[str, Any]]) -> None:
    """Take from the JSON of steps what later versions added and nobody has set, so that the hash
    of what was stored before stays as it is."""
    for step in steps:
        for table in step.get("tables", ()):
            _leave_out(table, _TABLE_SINCE)
            if table["cursor"] is not None:
                _leave_out(table["cursor"], _CURSOR_SINCE)
        if step["kind"] == StepKind.TRANSFORM:
            _leave_out(step, _TRANSFORM_SINCE)


def leave_out_dbt_defaults(transformation: dict[str, Any]) -> None:
    """The same for the JSON of a transformation, which its checksum is made of."""
    _leave_out(transformation, _DBT_SINCE)
    for column in transformation["columns"]:
        _leave_out(column, _COLUMN_SINCE)


def _since(model: type[Contract], *names: str) -> dict[str, Any]:
    """JSON of the defaults of fields that came after hashes were stored."""
    return model.model_construct().model_dump(mode="json", include=set(names), warnings=False)


def _leave_out(content: dict[str, Any], defaults: dict[str, Any]) -> None:
    """A field at its default says nothing new: a plan from before it keeps its hash."""
    for name, default in defaults.items():
        if content.get(name) == default:
            content.pop(name, None)


_TABLE_SINCE = _since(
    TableSpec,
    "sync",
    "deletes",
    "merge_strategy",
    "filters",
    "hash",
    "mask",
    "batch_rows",
    "delete_column",
    "schema_contract",
    "on_bad_row",
)
_CURSOR_SINCE = _since(IncrementalCursor, "lag")
_TRANSFORM_SINCE = _since(TransformStep, "fail_fast", "store_failures", "blocked_by")
_DBT_SINCE = _since(
    TransformationSpec,
    "alias",
    "enabled",
    "meta",
    "tests",
    "incremental_strategy",
    "on_schema_change",
    "merge_update_columns",
    "merge_exclude_columns",
    "incremental_predicates",
    "event_time",
    "microbatch",
    "contract_enforced",
    "constraints",
    "snapshot",
    "seed",
    "test",
    "unit_tests",
    "exposure",
    "source",
    "project",
)
_COLUMN_SINCE = _since(ColumnSpec, "data_type", "constraints", "tags", "meta", "quote")
