"""The graph of a run, with a place for each thing in it. Lengths are CSS pixels."""

from __future__ import annotations

from pydantic import Field

from datanika.contracts.api.base import Answer
from datanika.contracts.enums import StepState


class GraphNodeOut(Answer):
    """A table or a dbt node. ``x``, ``y`` are relative to its box."""

    id: str
    box: str
    label: str
    kind: str
    state: StepState
    rows: int | None
    seconds: float | None
    tests: int = Field(description="dbt tests of it; they are counted and not drawn.")
    tests_passed: int
    tests_warned: int
    tests_failed: int
    x: int
    y: int


class GraphBoxOut(Answer):
    """A step of the plan."""

    id: str
    label: str
    kind: str
    state: StepState
    x: int
    y: int
    width: int
    height: int


class GraphEdgeOut(Answer):
    source: str
    target: str


class RunGraphOut(Answer):
    boxes: list[GraphBoxOut]
    nodes: list[GraphNodeOut]
    edges: list[GraphEdgeOut]
