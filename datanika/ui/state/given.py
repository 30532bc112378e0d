"""What a form has given, as one of the API's bodies; and work that goes on after the answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from datanika.contracts.text import MAX_ID
from datanika.errors import InvalidInput, NotFound

logger = logging.getLogger(__name__)

_running: set[asyncio.Task[None]] = set()


def read[Body: BaseModel](model: type[Body], given: Mapping[str, Any]) -> Body:
    """``given`` checked as the API checks it; raises :class:`InvalidInput` without quoting it."""
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = ".".join(map(str, first["loc"])) or None
        raise InvalidInput(f"{first['msg']}.", field=name) from None


def an_id(number: object) -> int:
    """``number`` as a row's id; raises :class:`NotFound` for what no row can have."""
    if isinstance(number, int) and 1 <= number <= MAX_ID:
        return number
    raise NotFound("There is no such thing.")


def texts(form: Mapping[str, Any], *names: str) -> dict[str, str]:
    """The fields ``names`` of a form, stripped; an empty one is left out."""
    found = {name: str(form.get(name) or "").strip() for name in names}
    return {name: text for name, text in found.items() if text}


def secret(form: Mapping[str, Any], name: str) -> str | None:
    """A password as it was typed; None for an empty field."""
    return str(form.get(name) or "") or None


def ticked(form: Mapping[str, Any], prefix: str) -> list[str]:
    """What follows ``prefix`` in the names of the boxes that are ticked."""
    return [
        name.removeprefix(prefix)
        for name, value in form.items()
        if str(name).startswith(prefix) and value not in (None, "", False, "false")
    ]


def later(work: Coroutine[Any, Any, Any]) -> None:
    """Do ``work`` after the event was answered. What it raises is logged."""

    async def guarded() -> None:
        try:
            await work
        except Exception:
            logger.exception("What an event left to do failed")

    task = asyncio.create_task(guarded())
    _running.add(task)
    task.add_done_callback(_running.discard)
