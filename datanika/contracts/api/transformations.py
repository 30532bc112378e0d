"""What tenants write for dbt."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pydantic import Field

from datanika.contracts.api.base import Answer
from datanika.contracts.spec import TransformationSpec


class TransformationOut(Answer):
    id: int
    name: str
    kind: str
    destination_id: int
    description: str
    spec: TransformationSpec
    revision: int = Field(description="Also the number of its present version.")
    created_at: dt.datetime
    updated_at: dt.datetime


class TransformationVersionOut(Answer):
    """A transformation as it was saved. Versions are never changed."""

    id: int
    transformation_id: int
    number: int
    created_by: int | None = Field(description="The user, or who made the key.")
    created_at: dt.datetime
    spec: TransformationSpec


class ChangedField(Answer):
    """Something said about a transformation that is not the same in both versions."""

    name: str = Field(examples=["materialization"])
    before: Any
    after: Any


class TransformationDiff(Answer):
    """What changed between two versions."""

    from_version: int
    to_version: int
    is_same: bool
    code: str = Field(description="A unified diff of the SQL; empty where it is the same.")
    metadata: str = Field(description="A unified diff of everything else, as YAML.")
    added_lines: int = Field(description="Of the SQL.")
    removed_lines: int
    fields: list[ChangedField] = Field(description="Everything else, field by field.")
