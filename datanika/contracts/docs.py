"""What dbt says of a relation beside its data: its documentation, its tests, its freshness."""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

from pydantic import Field

from datanika.contracts.base import Contract
from datanika.contracts.enums import StepState


class ColumnDocs(Contract):
    description: str = ""
    tags: tuple[str, ...] = ()
    meta: dict[str, Any] = Field(default_factory=dict)
    tests: tuple[str, ...] = Field(default=(), description="Names of its tests.")


class EntryDocs(Contract):
    """What the tenant wrote about a model, seed, snapshot or source."""

    node: str = Field(default="", description="dbt's unique id; empty: dbt has not seen it.")
    name: str = ""
    kind: str = Field(default="", description="model, seed, snapshot, source")
    materialization: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    meta: dict[str, Any] = Field(default_factory=dict)
    columns: dict[str, ColumnDocs] = Field(default_factory=dict)
    tests: tuple[str, ...] = Field(default=(), description="Names of all its tests.")


class EntryCheck(Contract):
    """How a test of a relation, or its source's freshness, was found last."""

    kind: Literal["test", "freshness"] = "test"
    state: StepState = Field(description="succeeded, warned, failed, skipped")
    column: str | None = None
    failures: int | None = Field(default=None, description="Of a test: rows that fail it.")
    message: str | None = None
    max_loaded_at: dt.datetime | None = Field(default=None, description="Of the freshness.")
    age_seconds: float | None = None
    at: dt.datetime
    run_id: int
