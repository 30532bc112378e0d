"""Uploaded files."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field

from datanika.contracts.api.base import Answer, Body
from datanika.contracts.text import Integer


class FileOut(Answer):
    id: int
    name: str = Field(description="What a pipeline's table calls it.")
    format: Literal["csv", "jsonl", "parquet", "excel", "sqlite"] = Field(
        description="The format of the `files` connection that reads it; a `sqlite` file is "
        "opened by a connection of that kind."
    )
    bytes: int
    sha256: str
    created_by: int | None
    created_at: dt.datetime
    updated_at: dt.datetime


class FilePreviewIn(Body):
    delimiter: str = Field(
        default=",", min_length=1, max_length=1, pattern=r"^[^\x00\r\n\"]$", description="CSV only."
    )
    limit: Integer = Field(default=50, ge=1, le=100, strict=True)
