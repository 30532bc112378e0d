"""How far incremental loads have come."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, StringConstraints

from datanika.contracts.api.base import Answer, Body
from datanika.contracts.enums import WriteDisposition
from datanika.contracts.text import MAX_INTEGER, RowId

CursorText = Annotated[str, StringConstraints(max_length=1000, pattern=r"^[^\x00]*$")]
CursorInteger = Annotated[int, Field(ge=-MAX_INTEGER - 1, le=MAX_INTEGER)]
CursorFloat = Annotated[float, Field(allow_inf_nan=False)]


class CursorVersionOut(Answer):
    """One place a cursor has been at: a run moved it there, or a person."""

    number: int
    column: str = Field(validation_alias=AliasChoices("cursor_column", "column"))
    value: str | None = Field(description="Null: the start.")
    origin: Literal["run", "rewind"]
    run_id: int | None
    moved_by: int | None
    created_at: dt.datetime


class CursorOut(Answer):
    """The cursor of one table that the pipeline loads incrementally."""

    step_key: str
    target: str = Field(description="Destination table.")
    column: str
    write_disposition: WriteDisposition
    version: CursorVersionOut | None = Field(description="Where it is; null before the first load.")
    is_pending: bool = Field(description="A rewind that the next run will take.")


class RewindIn(Body):
    """Give ``to_version``, or ``value``; neither: read everything again."""

    to_version: RowId | None = Field(default=None)
    value: CursorInteger | CursorFloat | CursorText | None = Field(
        default=None,
        description="Read rows with this value of the column, and later ones, again.",
        examples=["2026-01-31 00:00:00"],
    )
    accept_duplicates: bool = Field(
        default=False, description="For append: rows that are read again will be there twice."
    )
