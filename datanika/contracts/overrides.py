"""How one run differs from what its pipeline says."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from datanika.contracts.base import Contract
from datanika.contracts.spec import Identifier
from datanika.contracts.text import Flag

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
