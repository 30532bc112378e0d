"""Who did what."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pydantic import Field

from datanika.contracts.api.base import Answer


class AuditVerdictOut(Answer):
    """Whether the log is as it was written."""

    is_whole: bool
    entries: int
    first_bad_id: int | None = Field(
        description="The first entry that was changed, moved or follows a deleted one (the last "
        "one left where the end was cut off, 0 where nothing is left)."
    )


class AuditOut(Answer):
    id: int
    at: dt.datetime
    actor: str
    user_id: int | None
    action: str
    resource_type: str
    resource_id: int | None
    old: dict[str, Any] | None
    new: dict[str, Any] | None
