"""Sources and destinations."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pydantic import Field

from datanika.contracts.api.base import Answer, Body


class ConnectionIn(Body):
    name: str = Field(min_length=1, max_length=200, examples=["warehouse"])
    kind: str = Field(examples=["postgres"])
    description: str = ""
    config: dict[str, Any] = Field(
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

    name: str | None = Field(default=None, min_length=1, max_length=200)
    description: str | None = None
    config: dict[str, Any] | None = Field(default=None, repr=False)


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
    created_at: dt.datetime
    updated_at: dt.datetime
