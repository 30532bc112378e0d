"""Who did what."""

from __future__ import annotations

import datetime as dt
from typing import Any

from datanika.contracts.api.base import Answer


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
