"""What every body, answer and page of the REST API is."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from datanika.contracts.text import storable


class Body(BaseModel):
    """What a client sends: a field that does not exist is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _can_be_stored(cls, data: Any) -> Any:
        return storable(data)


class Answer(BaseModel):
    """What the server says. A client of an older version ignores what is new."""

    model_config = ConfigDict(from_attributes=True)


class Page[T](Answer):
    """One page of a list. ``next_cursor`` goes into ``?cursor=``; null at the end."""

    items: list[T]
    next_cursor: str | None = None


class FieldProblem(Answer):
    """One thing that is wrong with the input."""

    field: str
    code: str
    message: str


class Problem(Answer):
    """An error, as RFC 9457 wants it, with a stable ``code`` and the way out in ``hint``."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    hint: str | None = None
    field: str | None = Field(default=None, description="The input at fault, as a dotted path.")
    errors: list[FieldProblem] | None = Field(
        default=None, description="Everything that is wrong with the input."
    )
    request_id: str | None = None
