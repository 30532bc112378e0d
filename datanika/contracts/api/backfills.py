"""Backfills: an interval of the past that is loaded again, a chunk a run."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from pydantic import Field

from datanika.contracts.api.base import Answer, Body
from datanika.contracts.enums import BackfillState
from datanika.contracts.overrides import StepKeys
from datanika.contracts.text import WHOLE, Flag, Moment

ChunkSeconds = Annotated[int, Field(ge=60, le=10 * 366 * 86_400, strict=True), WHOLE]


class BackfillIn(Body):
    """Rows whose cursor is in the interval are loaded again; the cursors stay where they are."""

    interval_start: Moment = Field(
        description="The first moment to load.", examples=["2026-01-01T00:00:00Z"]
    )
    interval_end: Moment = Field(
        description="The first moment not to load.", examples=["2026-02-01T00:00:00Z"]
    )
    chunk_seconds: ChunkSeconds = Field(
        description="How much of it one run loads; at most 1000 runs.", examples=[86_400]
    )
    steps: StepKeys | None = Field(
        default=None, description="Only these steps; null: all.", examples=[["load"]]
    )
    full: Flag = Field(
        default=False,
        description="Transform steps run with every chunk, instead of with the last one only.",
    )


class BackfillOut(Answer):
    id: int
    pipeline_id: int
    state: BackfillState
    interval_start: dt.datetime
    interval_end: dt.datetime
    chunk_seconds: int
    steps: list[str] | None
    full: bool
    chunks: int = Field(description="How many there are.")
    chunks_done: int = Field(description="How many of them have succeeded.")
    run_id: int | None = Field(description="The run of the chunk that it has come to.")
    created_by: int | None
    created_at: dt.datetime
    finished_at: dt.datetime | None
