"""What ``GET /runs/{run_id}/events`` sends, one class for each event. ``id`` is where to go on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from datanika.contracts.api.base import Answer
from datanika.contracts.api.runs import LogOut, RunOut, RunStepOut

CURSOR_PATTERN = r"^[0-9]{1,15}(-[0-9a-f]{16})?$"
"""The id of a log line, and a digest of the states that were sent with it."""


class LogArrived(Answer):
    """A log line: every one once, in the order of their ids."""

    event: Literal["log"] = "log"
    id: str
    data: LogOut


class StepChanged(Answer):
    """A step, table or dbt node as it is now."""

    event: Literal["step"] = "step"
    id: str
    data: RunStepOut


class RunChanged(Answer):
    """The run in another state or attempt."""

    event: Literal["run"] = "run"
    id: str
    data: RunOut


class RunEnded(Answer):
    """The run is over and everything was sent: the last event."""

    event: Literal["end"] = "end"
    id: str
    data: RunOut


StreamedEvent = Annotated[
    LogArrived | StepChanged | RunChanged | RunEnded, Field(discriminator="event")
]
