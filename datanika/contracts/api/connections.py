"""Sources and destinations."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pydantic import Field

from datanika.contracts.api.base import Answer, Body
from datanika.contracts.text import JsonObject, Name, Text


class ConnectionIn(Body):
    name: Name = Field(examples=["warehouse"])
    kind: str = Field(max_length=64, examples=["postgres"])
    description: Text = ""
    config: JsonObject = Field(
        repr=False,
        description="As the kind's `config_schema` says; secrets included.",
        examples=[
            {
                "host": "db.example.com",
                "port": 5432,
                "database": "warehouse",
                "user": "loader",
                "password": "…",
            }
        ],
    )


class ConnectionPatch(Body):
    """``config`` replaces the whole configuration; secrets left out keep their value."""

    name: Name | None = Field(default=None, examples=["warehouse"])
    description: Text | None = None
    config: JsonObject | None = Field(default=None, repr=False)


class ConnectionCopyIn(Body):
    name: str = Field(min_length=1, max_length=200, examples=["warehouse (copy)"])


class ConnectionOut(Answer):
    """Never a secret: ``secrets`` names those that are set, ``secret_references`` those of them
    that the platform's operator keeps. Then only an operator may change ``config``."""

    id: int
    name: str
    kind: str
    description: str
    config: dict[str, Any]
    secrets: list[str]
    secret_references: list[str] = Field(default_factory=list)
    revision: int
    tested_at: dt.datetime | None = Field(
        default=None, description="When this configuration was tested last."
    )
    test_code: str | None = Field(
        default=None, description="Why that test failed; null when it did not."
    )
    created_at: dt.datetime
    updated_at: dt.datetime
