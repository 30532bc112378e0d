"""How one run differs from what its pipeline says."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from datanika.contracts.base import Contract
from datanika.contracts.enums import DbtCommand
from datanika.contracts.spec import Identifier
from datanika.contracts.text import Flag, Integer, Line

Selectors = Annotated[tuple[Line, ...], Field(min_length=1, max_length=200)]
PARTIAL = ("steps", "command", "select", "exclude", "defer")
"""Overrides of runs that are no success of their pipeline, whatever they do."""
StepKeys = Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=200)]


class RunOverrides(Contract):
    """What a person may change for one run."""

    full_refresh: Flag = Field(
        default=False,
        description="Load every table from its beginning and replace what is there; build "
        "incremental models from nothing.",
    )
    steps: StepKeys | None = Field(
        default=None, description="Only these steps; what they depend on is left out."
    )
    command: DbtCommand | None = Field(
        default=None,
        description="What dbt does in place of what the transform steps say. With it, `select`, "
        "`exclude` or `defer`, and without `steps`, only transform steps run.",
    )
    select: Selectors | None = Field(
        default=None, description="In place of the transform steps' `select`."
    )
    exclude: Selectors | None = Field(
        default=None, description="In place of the transform steps' `exclude`."
    )
    threads: Integer | None = Field(default=None, ge=1, le=16, strict=True)
    fail_fast: Flag | None = None
    store_failures: Flag | None = None
    defer: Flag = Field(
        default=False,
        description="Build into a schema of your own, `dev_u<your id>`, and read what is not "
        "selected from where the pipeline builds it. Nothing of the pipeline's is touched.",
    )

    @property
    def is_partial(self) -> bool:
        """Whether a success of the run says nothing about the pipeline."""
        return any(getattr(self, name) for name in PARTIAL)


class Interval(Contract):
    """From ``start`` (included) to ``end`` (not)."""

    start: AwareDatetime
    end: AwareDatetime

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.start >= self.end:
            raise ValueError("the end must be after the start")
        return self

    def __str__(self) -> str:
        return f"[{self.start.isoformat()}, {self.end.isoformat()})"

    def holds(self, moment: dt.datetime) -> bool:
        """Whether ``moment``, which has a zone, is inside."""
        return self.start <= moment < self.end


class LeftOut(Contract):
    """A step, or a table or dbt node inside one, that a run does not do, and why.

    ``node`` is as in run events; empty for a whole step. ``run_id`` is the run that did it.
    """

    step_key: str
    node: str = ""
    name: str
    kind: str
    reason: Literal["done_before", "not_chosen", "not_by_interval", "with_last_chunk"]
    note: str
    run_id: int | None = None
