"""Pipelines and their plans."""

from __future__ import annotations

import datetime as dt

from pydantic import Field

from datanika.contracts.api.base import Answer, Body
from datanika.contracts.enums import OverlapPolicy
from datanika.contracts.plan import Plan
from datanika.contracts.spec import PipelineSpec
from datanika.contracts.text import Flag, Name, Text

_OVERLAP = (
    "What becomes of a run that a schedule or a dependency starts while another is not over: it "
    "is skipped, it queues, or both run at once."
)


class PipelineIn(Body):
    name: Name = Field(examples=["orders"])
    description: Text = ""
    spec: PipelineSpec
    overlap_policy: OverlapPolicy = Field(default=OverlapPolicy.SKIP, description=_OVERLAP)


class PipelinePatch(Body):
    name: Name | None = Field(default=None, examples=["orders"])
    description: Text | None = None
    spec: PipelineSpec | None = None
    is_paused: Flag | None = Field(default=None, description="A paused one runs by hand only.")
    overlap_policy: OverlapPolicy | None = Field(default=None, description=_OVERLAP)


class PipelineItem(Answer):
    """A pipeline in a list: without its specification."""

    id: int
    name: str
    description: str
    is_paused: bool
    pause_code: str | None = Field(
        description="Why the platform paused it; null where a person did.",
        examples=["too_many_failures"],
    )
    pause_reason: str | None = Field(description="The same in words.")
    consecutive_failures: int = Field(description="Failed runs since the last that succeeded.")
    overlap_policy: OverlapPolicy
    revision: int
    version: int = Field(description="Number of the present specification.")
    is_deployed: bool = Field(description="Whether Prefect has the present version.")
    created_at: dt.datetime
    updated_at: dt.datetime


class PipelineOut(PipelineItem):
    spec: PipelineSpec


class PipelineVersionOut(Answer):
    """A specification as it was saved. Versions are never changed."""

    id: int
    pipeline_id: int
    number: int
    spec_hash: str
    created_by: int | None
    created_at: dt.datetime
    spec: PipelineSpec


class PlanOut(Answer):
    """The compiled plan, and the same in words and as a Mermaid graph."""

    plan: Plan
    hash: str
    text: str
    mermaid: str
    warnings: list[str]
