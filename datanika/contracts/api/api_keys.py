"""Keys for programs."""

from __future__ import annotations

import datetime as dt

from pydantic import Field

from datanika.contracts.api.base import Answer, Body
from datanika.contracts.text import Moment, Name


class ApiKeyIn(Body):
    name: Name = Field(examples=["nightly trigger"])
    scopes: list[str] = Field(min_length=1, examples=[["run:trigger", "run:read"]])
    expires_at: Moment | None = Field(default=None, description="Never, if left out.")


class ApiKeyOut(Answer):
    id: int
    name: str
    prefix: str
    scopes: list[str]
    expires_at: dt.datetime | None
    last_used_at: dt.datetime | None
    revoked_at: dt.datetime | None
    created_at: dt.datetime


class ApiKeyCreatedOut(ApiKeyOut):
    key: str = Field(repr=False, description="Shown this once.")
